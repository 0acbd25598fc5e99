"""What an order did to the stock, asked over HTTP of a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from inventory_bench import Bench, PostgresBackend, completed, new_database, receive, release, reserve
from prometheus_client import CollectorRegistry

from messaging.http import PROBLEM_JSON, make_app
from services.inventory.movements import movement_routes


@pytest.fixture
async def bench(server_dsn: str) -> AsyncIterator[Bench]:
    async with new_database(server_dsn) as dsn:
        bench = Bench(PostgresBackend(dsn))
        await bench.start()
        yield bench
        await bench.stop()


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[TestClient[Any, Any]]:
    async def ready() -> bool:
        return True

    assert isinstance(bench.backend, PostgresBackend)
    async with asyncpg.create_pool(bench.backend.dsn, min_size=0, max_size=4, command_timeout=30) as pool:
        app = make_app(movement_routes(pool), CollectorRegistry(), ready, lambda: True, {})
        async with TestClient(TestServer(app)) as client:
            yield client


async def test_what_was_held_refused_given_back_and_shipped_is_told_in_the_order_of_time(
    bench: Bench, client: TestClient[Any, Any]
) -> None:
    await bench.ask("A", receive("A", 10))
    await bench.ask("o1", reserve("r1", ("A", 3)))
    await bench.ask("o1", reserve("r2", ("A", 20)))
    await bench.ask("o1", reserve("r3", ("A", 1)))
    await bench.ask("o1", release("r4"))
    await bench.ask("o1", release("r3"))
    await bench.ask("o2", reserve("r1", ("A", 1)))
    await bench.ask("o1", completed("r1"))
    answer = await (await client.get("/movements?order_id=o1")).json()
    told = {(item["kind"], item["reservation_id"], item["reason"]) for item in answer["items"]}
    assert told == {
        ("held", "r1", None),
        ("refused", "r2", "out-of-stock"),
        ("held", "r3", None),
        ("tombstone", "r4", "released"),
        ("released", "r3", None),
        ("shipped", "r1", None),
    }
    times = [item["at"] for item in answer["items"]]
    assert (times, answer["next"]) == (sorted(times), None)
    held = answer["items"][0]
    assert (held["order_id"], held["currency"]) == ("o1", "GBP")
    assert held["items"] == [{"sku": "A", "quantity": 3, "unit_price_minor": 100}]


async def test_an_order_that_nobody_knows_moved_nothing_and_no_order_is_a_problem(client: TestClient[Any, Any]) -> None:
    for nobody in ("/movements?order_id=o9", "/movements?order_id=%00"):
        assert await (await client.get(nobody)).json() == {"items": [], "next": None}
    for bad in ("/movements", "/movements?order=o1"):
        answer = await client.get(bad)
        assert (answer.status, answer.content_type) == (400, PROBLEM_JSON)
