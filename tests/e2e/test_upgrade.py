"""An earlier release is replaced by this one, process after process, with orders in flight: all end, and the audit finds nothing.

The way is docs/operations.md's. What ran before is taken from the clone's history; it runs on the packages of this release, of
which it needs fewer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from waiting import until

from devstack.probes import is_ready
from devstack.processes import ProcessSpec, service_processes
from devstack.settings import read_settings
from e2e.shop import Shop
from e2e.stack import CLONE, Place, Stack, uses_running_stack
from e2e.tools import orderctl

#: Of 23 November 2026: before the console, tracing, the archive, and eight of today's migrations.
EARLIER: Final = os.environ.get("UPGRADE_FROM") or "a9c27230810dd12470774968391e3df1958d3d15"
READY_S: Final = 300.0
BUYERS: Final = 2


class Release:
    """A tree of the code, and the processes that run from it. Each writes where devstack's would."""

    def __init__(self, tree: Path, logs: Path, env: dict[str, str]) -> None:
        self._tree = tree
        self._logs = logs
        self._env = env
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def has(self, spec: ProcessSpec) -> bool:
        """Whether this release knows the process."""
        return self._tree.joinpath(*spec.argv[-1].split(".")).is_dir()

    async def start(self, *specs: ProcessSpec) -> None:
        """Start these; returns when they are ready."""
        for spec in specs:
            self._run(spec)

        async def all_ready() -> bool:
            # Else it is somebody else who answers.
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            assert not ended, f"{', '.join(ended)} of {self._tree} ended; see {self._logs}"
            return all(await asyncio.gather(*(is_ready(spec) for spec in specs)))

        await until(all_ready, f"{', '.join(spec.name for spec in specs)} of {self._tree}", READY_S, every_s=0.2)

    def _run(self, spec: ProcessSpec) -> None:
        with (self._logs / f"{spec.name}.log").open("ab") as log:
            # The folder it starts in comes first on its path: that is whose code it runs.
            self._processes[spec.name] = subprocess.Popen(
                spec.argv, cwd=self._tree, env={**self._env, **spec.env}, stdout=log, stderr=log
            )

    async def stop(self, name: str) -> None:
        """SIGTERM; returns when it has ended."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 60)

    def end(self) -> None:
        """Whatever still runs."""
        for process in self._processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The earlier release's tree."""
    found = subprocess.run(["git", "archive", EARLIER], cwd=CLONE, capture_output=True, check=False)
    if found.returncode != 0:
        told = found.stderr.decode(errors="replace").strip()
        pytest.skip(f"no {EARLIER[:9]} in this clone's history (a shallow one has none: git fetch --unshallow): {told}")
    tree = tmp_path / "earlier"
    tree.mkdir()
    subprocess.run(["tar", "-x", "-C", str(tree)], input=found.stdout, check=True)
    return tree


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack of this test's own."""
    if uses_running_stack():
        pytest.skip("the running stack is not ours to replace (E2E_STACK=running)")
    found = Stack("e2e-upgrade")
    try:
        yield found
    finally:
        found.down(wipe=True)


async def migrations(place: Place) -> set[str]:
    """What was done to the database of orders."""
    connection = await asyncpg.connect(place.env["ORDERS_DATABASE_URL"], timeout=30)
    try:
        return {row["name"] for row in await connection.fetch("SELECT name FROM migration")}
    finally:
        await connection.close()


async def buy_on(shop: Shop, sku: str, stopped: asyncio.Event) -> int:
    """Order after order; how many were completed."""
    count = 0
    while not stopped.is_set():
        assert (await shop.buy({sku: 1})).short == "order-completed"
        count += 1
    return count


async def replace_all(shop: Shop, old: Release, new: Release, specs: tuple[ProcessSpec, ...], paying: str) -> None:
    """Each process by the one of this release; while there is no payment, `paying` is approved."""
    for spec in specs:
        if old.has(spec):
            await old.stop(spec.name)
        if spec.name == "payment":
            await shop.approve(paying)

            async def is_paying() -> bool | None:
                return (await shop.order(paying))["status"] == "PAYING" or None

            await shop.eventually(is_paying, f"{paying} waits for the payment")
        await new.start(spec)


@pytest.mark.proof
@pytest.mark.slow
async def test_orders_in_flight_end_while_an_earlier_release_is_replaced_process_by_process(
    stack: Stack, earlier: Path
) -> None:
    place = stack.up(only_backends=True)
    specs = service_processes(read_settings(place.env))
    logs = stack.home / "logs"
    old, new = Release(earlier, logs, dict(place.env)), Release(CLONE, logs, dict(place.env))
    try:
        await old.start(*(spec for spec in specs if old.has(spec)))
        before = await migrations(place)
        async with Shop(place) as shop:
            sku = await shop.shelf(10_000)
            stopped = asyncio.Event()
            buyers = [asyncio.create_task(buy_on(shop, sku, stopped)) for _ in range(BUYERS)]
            waiting = [await shop.held({sku: 2}, workflow_version=1 + n % 2) for n in range(6)]
            late = await shop.held({sku: 1}, payment_method="pm_card_late")
            await shop.approve(late)
            await replace_all(shop, old, new, specs, waiting.pop())
            assert await migrations(place) > before, "the earlier release was an earlier one"
            stopped.set()
            assert min(await asyncio.gather(*buyers)) > 0
            for n, order_id in enumerate(waiting):
                verdict = await (shop.cancel(order_id) if n % 2 else shop.approve(order_id))
                assert verdict.short == "command-accepted", verdict.data
                ended = await shop.ended(order_id)
                assert ended.short == ("order-cancelled" if n % 2 else "order-completed")
            assert (await shop.ended(late)).short == "order-completed"
        audited = await orderctl(place, "audit", "--expect-ended", timeout_s=300)
        assert audited.returncode == 0, audited.output
    finally:
        old.end()
        new.end()
