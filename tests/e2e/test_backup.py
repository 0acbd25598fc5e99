"""All databases are dumped, lost and put back, with orders under way: everything goes on, and the audit finds nothing.

The way is docs/operations.md's: the services are stopped first, so that the dump is not older than what stands on the topics.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.postgres import find_bin, postgres_process
from devstack.settings import Settings, read_settings
from e2e.shop import Shop
from e2e.stack import Place, Stack, uses_running_stack
from e2e.tools import orderctl
from e2e.tools import run as run_aside

WAIT_S = 180


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack of this test's own."""
    if uses_running_stack():
        pytest.skip("the running stack is not ours to lose (E2E_STACK=running)")
    found = Stack("e2e-backup")
    try:
        yield found
    finally:
        found.down(wipe=True)


@contextmanager
def database_alone(settings: Settings) -> Iterator[dict[str, str]]:
    """PostgreSQL without anybody else, on the stack's folder, which is made anew where it is gone."""
    spec = postgres_process(settings, lambda _: None)
    user = pwd.getpwnam(spec.user) if spec.user else None
    ids = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    process = subprocess.Popen(spec.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **ids)
    where = {"PGHOST": spec.address, "PGPORT": "5432", "PGUSER": "postgres"}
    ready = [str(find_bin(settings) / "pg_isready")]
    deadline = time.monotonic() + WAIT_S
    while subprocess.run(ready, env=where, capture_output=True, check=False).returncode != 0:
        assert time.monotonic() < deadline, "PostgreSQL did not come up"
    try:
        yield where
    finally:
        process.send_signal(spec.stop_signal)
        process.wait(WAIT_S)


def run(settings: Settings, where: dict[str, str], program: str, *arguments: str) -> None:
    argv = [str(find_bin(settings) / program), *arguments]
    done = subprocess.run(argv, env=where, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


async def orders_under_way(shop: Shop) -> tuple[str, str, str]:
    """One that is completed, one that waits for its approval, and one that is on its way."""
    sku = await shop.shelf(50)
    done = await shop.start({sku: 1})
    await shop.approve(done)
    await shop.ended(done)
    waiting = await shop.held({sku: 2})
    going = await shop.held({sku: 3})
    await shop.send("orders.approve-payment.v1", going, {"approved_by": "e2e"})
    return done, waiting, going


@pytest.mark.proof
@pytest.mark.slow
async def test_databases_that_were_dumped_lost_and_put_back_lose_no_order(stack: Stack, tmp_path: Path) -> None:
    place: Place = stack.up()
    async with Shop(place) as shop:
        done, waiting, going = await orders_under_way(shop)
    stack.down(wipe=False)
    settings = read_settings(home=stack.home)
    dump = tmp_path / "everything.sql"
    with database_alone(settings) as where:
        run(settings, where, "pg_dumpall", "--clean", "--if-exists", "-f", str(dump))
    program, _, lost, *_ = postgres_process(settings, lambda _: None).argv
    assert program.endswith("postgres")
    shutil.rmtree(lost)
    with database_alone(settings) as where:
        run(settings, where, "psql", "-q", "-d", "postgres", "-f", str(dump))
    await stack.wait_ready()
    async with Shop(place) as shop:
        assert (await shop.order(done))["status"] == "COMPLETED"
        assert (await shop.order(waiting))["status"] == "AWAITING_APPROVAL"
        await shop.approve(waiting)
        for order_id in (waiting, going):

            async def completed(order_id: str = order_id) -> bool | None:
                return (await shop.order(order_id))["status"] == "COMPLETED" or None

            await shop.eventually(completed, f"{order_id} completes")
    audited = await orderctl(place, "audit", "--expect-ended", timeout_s=300)
    assert audited.returncode == 0, audited.output
    await archived_and_known(place, [done, waiting, going])


async def archived_and_known(place: Place, ended: list[str]) -> None:
    """Ended orders go into the archive: they are told as before, what comes late is rejected, and the audit finds nothing."""
    async with Shop(place) as shop:
        before = [await shop.read("orders-api", f"/orders/{one}/history") for one in ended]
        argv = [sys.executable, "-m", "services.orders.archive", "--days", "0", "--json"]
        moved = await run_aside(argv, env={**os.environ, **place.env})
        assert (moved.returncode, json.loads(moved.stdout)["archived"]) == (0, len(ended)), moved.output
        assert [row["order_id"] for row in await shop.everything("orders-api", "/orders")] == []
        assert [await shop.read("orders-api", f"/orders/{one}/history") for one in ended] == before
        assert (await shop.order(ended[0]))["status"] == "COMPLETED"
        audited = await orderctl(place, "audit", "--expect-ended", timeout_s=300)
        assert audited.returncode == 0, audited.output
        late = await shop.cancel(ended[0])
        assert (late.short, late.data["reason"]) == ("command-rejected", "too-late")
        assert [row["order_id"] for row in await shop.everything("orders-api", "/orders")] == [ended[0]]
    audited = await orderctl(place, "audit", "--expect-ended", timeout_s=300)
    assert audited.returncode == 0, audited.output
