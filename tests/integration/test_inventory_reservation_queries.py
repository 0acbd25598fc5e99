"""Who holds what, and until when, over HTTP on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from inventory_bench import (
    Bench,
    PostgresBackend,
    after,
    completed,
    extend,
    new_database,
    receive,
    release,
    reserve,
)
from prometheus_client import CollectorRegistry

from messaging.http import PROBLEM_JSON, make_app
from services.inventory.queries import routes

Client = TestClient[Any, Any]


@pytest.fixture
async def bench(server_dsn: str) -> AsyncIterator[Bench]:
    async with new_database(server_dsn) as dsn:
        bench = Bench(PostgresBackend(dsn))
        await bench.start()
        await bench.ask("A", receive("A", 1_000))
        await bench.ask("B", receive("B", 1_000, 50))
        yield bench
        await bench.stop()


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[Client]:
    async def ready() -> bool:
        return True

    assert isinstance(bench.backend, PostgresBackend)
    async with asyncpg.create_pool(bench.backend.dsn, min_size=0, max_size=4, command_timeout=30) as pool:
        app = make_app(routes(pool), CollectorRegistry(), ready, lambda: True, {})
        async with TestClient(TestServer(app)) as client:
            yield client


async def listed(client: Client, **query: Any) -> list[dict[str, Any]]:
    response = await client.get("/reservations", params=query)
    assert response.status == 200, await response.text()
    items: list[dict[str, Any]] = (await response.json())["items"]
    return items


async def test_what_is_held_shows_for_whom_since_when_and_until_when(bench: Bench, client: Client) -> None:
    await bench.ask("o1", reserve("r1", ("A", 3), ("B", 1), for_s=900))
    assert await listed(client, state="held") == [
        {
            "reservation_id": "r1",
            "order_id": "o1",
            "state": "held",
            "items": [
                {"sku": "A", "quantity": 3, "unit_price_minor": 100},
                {"sku": "B", "quantity": 1, "unit_price_minor": 50},
            ],
            "expires_at": "2026-03-01T12:15:00Z",
            "announced": 0,
            "held_since": "2026-03-01T12:00:00Z",
        }
    ]
    await bench.pass_to(after(901))
    assert [item["announced"] for item in await listed(client)] == [1]
    await bench.ask("o1", extend("r1", 1_200))
    (item,) = await listed(client)
    assert (item["expires_at"], item["announced"]) == ("2026-03-01T12:20:00Z", 0)


async def test_the_filters_are_sku_order_and_state(bench: Bench, client: Client) -> None:
    await bench.ask("o1", reserve("r1", ("A", 3), for_s=900))
    await bench.ask("o1", reserve("r2", ("B", 1), for_s=900))
    await bench.ask("o2", reserve("r1", ("A", 1), ("B", 1)))
    await bench.ask("o3", reserve("r1", ("A", 1)))
    await bench.ask("o3", release("r1"))
    await bench.ask("o4", reserve("r1", ("A", 1)))
    await bench.ask("o4", completed("r1"))
    await bench.ask("o5", reserve("r1", ("A", 5_000)))

    async def found(**query: Any) -> list[tuple[str, str, str]]:
        return [(i["order_id"], i["reservation_id"], i["state"]) for i in await listed(client, **query)]

    assert await found(state="held", sku="A") == [("o1", "r1", "held"), ("o2", "r1", "held")]
    assert await found(state="held", order_id="o1") == [("o1", "r1", "held"), ("o1", "r2", "held")]
    assert await found(order_id="o3") == [("o3", "r1", "released")]
    assert await found(sku="A", state="shipped") == [("o4", "r1", "shipped")]
    assert [state for *_, state in await found()] == ["held", "held", "held", "released", "shipped", "refused"]
    assert await found(sku="nothing") == await found(order_id="nobody") == []
    assert [i["held_since"] is None for i in await listed(client, order_id="o5")] == [True]


@pytest.mark.parametrize("state", [{}, {"state": "held"}])
async def test_the_list_goes_on_where_the_last_page_ended(bench: Bench, client: Client, state: dict[str, str]) -> None:
    for number in range(7):
        await bench.ask(f"o{number} x", reserve("r1", ("A", 1)))
        await bench.ask(f"o{number} x", reserve("r2", ("A", 1)))
    found, cursor = [], None
    while True:
        page = await (
            await client.get("/reservations", params={"limit": "3", **state, **({"after": cursor} if cursor else {})})
        ).json()
        found += [(item["order_id"], item["reservation_id"]) for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == [(f"o{number} x", name) for number in range(7) for name in ("r1", "r2")]


@pytest.mark.parametrize(
    "query", ["limit=0", "after=x", "after=%00", "state=gone", "sku=%00", "order_id=", "order=o1", "state=HELD"]
)
async def test_a_bad_parameter_is_a_problem(client: Client, query: str) -> None:
    response = await client.get(f"/reservations?{query}")
    assert (response.status, response.content_type) == (400, PROBLEM_JSON)
