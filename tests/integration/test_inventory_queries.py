"""What the stock room answers over HTTP, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from inventory_bench import Bench, PostgresBackend, new_database, receive, reserve
from prometheus_client import CollectorRegistry
from yarl import URL

from messaging.http import PROBLEM_JSON, make_app
from services.inventory.queries import routes


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
        app = make_app(routes(pool), CollectorRegistry(), ready, lambda: True, {})
        async with TestClient(TestServer(app)) as client:
            yield client


async def test_a_sku_shows_its_price_and_its_pieces(bench: Bench, client: TestClient[Any, Any]) -> None:
    await bench.ask("A", receive("A", 10))
    await bench.ask("o1", reserve("r1", ("A", 3)))
    response = await client.get("/skus/A")
    assert response.status == 200
    assert await response.json() == {
        "sku": "A",
        "description": None,
        "unit_price_minor": 100,
        "currency": "GBP",
        "received": 10,
        "adjusted": 0,
        "on_hand": 7,
        "held": 3,
        "shipped": 0,
    }


@pytest.mark.parametrize("path", ["/skus/none", "/skus/%00", "/skus/%20A", "/skus/" + "x" * 65])
async def test_what_is_not_in_the_catalogue_is_a_problem(client: TestClient[Any, Any], path: str) -> None:
    response = await client.get(URL(path, encoded=True))
    assert (response.status, response.content_type) == (404, PROBLEM_JSON)


@pytest.mark.parametrize("sku", ["a/b", "ü 100%", "{x}", "?a=b#c", "..", "日本"])
async def test_any_sku_that_can_be_received_can_be_asked_for(
    bench: Bench, client: TestClient[Any, Any], sku: str
) -> None:
    await bench.ask(sku, receive(sku, 1))
    quoted = "".join(f"%{byte:02X}" for byte in sku.encode())
    response = await client.get(URL(f"/skus/{quoted}", encoded=True))
    assert (await response.json())["sku"] == sku


async def test_the_list_goes_on_where_the_last_page_ended(bench: Bench, client: TestClient[Any, Any]) -> None:
    assert await (await client.get("/skus")).json() == {"items": [], "next": None}
    for number in range(120):
        bench.send(f"S{number:03}", receive(f"S{number:03}", 1))
    await bench.drain()
    found, after = [], ""
    while after is not None:
        page = await (await client.get("/skus", params={"after": after} if after else {})).json()
        assert len(page["items"]) <= 50
        found += [item["sku"] for item in page["items"]]
        after = page["next"]
    assert found == [f"S{number:03}" for number in range(120)]
    last = await (await client.get("/skus?limit=40&after=S079")).json()
    assert (len(last["items"]), last["next"]) == (40, None)


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "limit=-1", "after=", "after=%00", "sku=A"])
async def test_a_bad_parameter_is_a_problem(client: TestClient[Any, Any], query: str) -> None:
    response = await client.get(f"/skus?{query}")
    assert (response.status, response.content_type) == (400, PROBLEM_JSON)
