"""Lists of orders: every filter finds what it should, and a status that few orders have is found without looking at the others."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from workbench import fresh_database

from messaging.http import make_app
from services.orders.api.queries import STATUSES, OrderQueries, Wanted
from services.orders.app import MIGRATIONS

ORDERS = 2_000
FILL = """
INSERT INTO orders (order_id, version, workflow, workflow_version, status, phase, waiting_for, customer_id, items, created_at,
                    updated_at, state)
SELECT 'O-' || n, 1, 'order', 2, status, status, CASE status WHEN 'AWAITING_APPROVAL' THEN 'approval' END, 'C-' || n % 7, '[]',
       at, at, '{}'
FROM generate_series(1, $1::integer) n,
LATERAL (SELECT CASE WHEN n <= 8 THEN ($2::text[])[n] WHEN n % 10 = 1 THEN 'AWAITING_APPROVAL' ELSE 'COMPLETED' END AS status,
                timestamptz '2026-01-01 00:00Z' + n * interval '1 s' AS at) s
"""
RARE = [status for status in STATUSES if status != "COMPLETED"]


@pytest.fixture
async def orders(server_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """One old order of each status but COMPLETED; then most are completed, and a tenth awaits approval."""
    async with fresh_database(server_dsn, MIGRATIONS) as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(FILL, ORDERS, RARE)
            await connection.execute("VACUUM ANALYZE orders")
            yield connection
        finally:
            await connection.close()


async def page(orders: asyncpg.Connection, wanted: Wanted, limit: int = 50) -> list[str]:
    query, arguments = wanted.query(limit)
    return [row["order_id"] for row in await orders.fetch(query, *arguments)]


async def test_each_status_lists_its_orders_newest_first(orders: asyncpg.Connection) -> None:
    for number, status in enumerate(RARE, start=1):
        if status != "AWAITING_APPROVAL":
            assert await page(orders, Wanted(status=status)) == [f"O-{number}"]
    assert await page(orders, Wanted(status="AWAITING_APPROVAL"), 3) == ["O-1991", "O-1981", "O-1971"]
    assert await page(orders, Wanted(status="COMPLETED"), 2) == ["O-2000", "O-1999"]


async def test_filters_narrow_each_other_and_pages_follow_each_other(orders: asyncpg.Connection) -> None:
    every = await page(orders, Wanted(waiting_for="approval", customer="C-3"), 500)
    assert every == [f"O-{n}" for n in range(ORDERS, 0, -1) if n % 7 == 3 and ((n % 10 == 1 and n > 8) or n == 3)]
    tenth = await orders.fetchval("SELECT created_at FROM orders WHERE order_id = $1", every[9])
    rest = await page(orders, Wanted(waiting_for="approval", customer="C-3", after_at=tenth, after_id=every[9]), 500)
    assert rest == every[10:]
    assert await page(orders, Wanted(customer="C-3", waiting_for="approval", before=tenth), 500) == rest


async def test_over_http_the_pages_of_a_status_follow_each_other_to_the_last(server_dsn: str) -> None:
    async def ready() -> bool:
        return True

    async with fresh_database(server_dsn, MIGRATIONS) as dsn, asyncpg.create_pool(dsn, min_size=0, max_size=2) as pool:
        await pool.execute(FILL, ORDERS, RARE)
        app = make_app(OrderQueries(pool).routes(), CollectorRegistry(), ready, lambda: True, {})
        async with TestClient(TestServer(app)) as client:
            seen: list[str] = []
            following: dict[str, str] = {}
            while True:
                response = await client.get(
                    "/orders", params={"status": "AWAITING_APPROVAL", "limit": "90", **following}
                )
                assert response.status == 200, await response.text()
                told = await response.json()
                seen += [order["order_id"] for order in told["items"]]
                if told["next"] is None:
                    break
                following = {"after": told["next"]}
    assert seen == [f"O-{n}" for n in range(ORDERS, 0, -1) if (n % 10 == 1 and n > 8) or n == 3]


@pytest.mark.parametrize("status", RARE)
async def test_a_status_that_few_orders_have_is_found_by_its_index(orders: asyncpg.Connection, status: str) -> None:
    query, arguments = Wanted(status=status).query(51)
    plan = "\n".join(row[0] for row in await orders.fetch(f"EXPLAIN {query}", *arguments))
    assert "orders_listed" in plan


async def test_an_order_under_way_keeps_its_place_in_the_index_until_its_last_step(orders: asyncpg.Connection) -> None:
    words = []
    for status in ("ENRICHING", "RESERVING", "PAYING", "COMPLETED"):
        words.append(
            await orders.fetchval("UPDATE orders SET status = $1 WHERE order_id = 'O-2000' RETURNING listed", status)
        )
    assert words == ["MOVING", "MOVING", "MOVING", None]
