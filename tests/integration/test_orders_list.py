"""Lists of orders: every filter finds what it should, and a status that few orders have is found without looking at the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from workbench import fresh_database

from contracts.topics import DEFAULT_PARTITIONS
from messaging.http import Problem, make_app
from messaging.partitioner import partition_of
from messaging.spread import Databases
from services.orders.api.listing import REASONS, STATUSES, Wanted, cursor_of, wanted_of
from services.orders.api.queries import OrderQueries
from services.orders.app import MIGRATIONS

ORDERS = 2_000
FILL = """
INSERT INTO orders (order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, customer_id, total_minor,
                    items, created_at, updated_at, state)
SELECT 'O-' || n, 1, 'order', 2, status, status,
       CASE status WHEN 'FAILED' THEN 'out-of-stock' WHEN 'CANCELLED' THEN 'customer-request' END,
       CASE status WHEN 'AWAITING_APPROVAL' THEN 'approval' END, 'C-' || n % 7,
       CASE WHEN n % 3 > 0 THEN n % 100 END, '[]', at, at, '{}'
FROM generate_series(1, $1::integer) n,
LATERAL (SELECT CASE WHEN n <= 8 THEN ($2::text[])[n] WHEN n % 10 = 1 THEN 'AWAITING_APPROVAL' ELSE 'COMPLETED' END AS status,
                timestamptz '2026-01-01 00:00Z' + n * interval '1 s' AS at) s
"""
FILL_SKUS = """
INSERT INTO order_sku (sku, created_at, order_id)
SELECT 'S-' || substring(order_id FROM 3)::integer % 5, created_at, order_id FROM orders
"""
RARE = [status for status in STATUSES if status != "COMPLETED"]


@pytest.fixture
async def orders(server_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """One old order of each status but COMPLETED; then most are completed, and a tenth awaits approval."""
    async with fresh_database(server_dsn, MIGRATIONS) as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(FILL, ORDERS, RARE)
            await connection.execute(FILL_SKUS)
            await connection.execute("VACUUM ANALYZE orders, order_sku")
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


async def spread(dsn: str, number: int, of: int) -> None:
    """Of all orders, those whose partition is in this database."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(FILL, ORDERS, RARE)
        orders = [row["order_id"] for row in await connection.fetch("SELECT order_id FROM orders")]
        elsewhere = [one for one in orders if partition_of(one, DEFAULT_PARTITIONS) % of != number]
        await connection.execute("DELETE FROM orders WHERE order_id = ANY ($1)", elsewhere)
    finally:
        await connection.close()


@pytest.mark.parametrize("count", [1, 3])
async def test_over_http_the_pages_of_a_status_follow_each_other_to_the_last_over_all_databases(
    server_dsn: str, count: int
) -> None:
    async def ready() -> bool:
        return True

    async with AsyncExitStack() as stack:
        dsns = [await stack.enter_async_context(fresh_database(server_dsn, MIGRATIONS)) for _ in range(count)]
        for number, dsn in enumerate(dsns):
            await spread(dsn, number, count)
        databases = Databases(dsns, DEFAULT_PARTITIONS, max_size=2, command_timeout_s=30)
        stack.push_async_callback(databases.close)
        app = make_app(OrderQueries(databases).routes(), CollectorRegistry(), ready, lambda: True, {})
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


SEARCHES: list[dict[str, str]] = [
    {"status": "AWAITING_APPROVAL"},
    {"status": "AWAITING_APPROVAL", "sort": "oldest"},
    {"sku": "S-3", "sort": "oldest"},
    {"sku": "S-1", "status": "AWAITING_APPROVAL"},
    {"id_prefix": "O-19"},
    {"id_prefix": "O-1", "status": "AWAITING_APPROVAL"},
    {"sort": "id"},
    {"sort": "id", "customer": "C-2"},
    {"sort": "total"},
    {"sort": "total", "customer": "C-2"},
    {"sort": "total", "status": "AWAITING_APPROVAL"},
]


def total_of(name: str) -> int:
    n = int(name.removeprefix("O-"))
    return n % 100 if n % 3 else -1


def expected(asked: dict[str, str]) -> list[str]:
    """The answer, by looking at every order."""

    def fits(n: int) -> bool:
        awaits = (n % 10 == 1 and n > len(RARE)) or n == 1 + RARE.index("AWAITING_APPROVAL")
        return (
            (asked.get("status") is None or awaits)
            and asked.get("sku") in {None, f"S-{n % 5}"}
            and asked.get("customer") in {None, f"C-{n % 7}"}
            and f"O-{n}".startswith(asked.get("id_prefix", ""))
        )

    found = [n for n in range(1, ORDERS + 1) if fits(n)]
    if asked.get("sort") == "id" or "id_prefix" in asked:
        return sorted(f"O-{n}" for n in found)
    if asked.get("sort") == "total":
        # Those whose total is not known come last.
        return sorted((f"O-{n}" for n in found), key=lambda name: (total_of(name), name), reverse=True)
    return [f"O-{n}" for n in (found if asked.get("sort") == "oldest" else reversed(found))]


@pytest.mark.parametrize("asked", SEARCHES, ids=lambda asked: "&".join(f"{k}={v}" for k, v in asked.items()))
async def test_the_pages_of_every_search_follow_each_other_without_gap_or_repeat(
    orders: asyncpg.Connection, asked: dict[str, str]
) -> None:
    seen: list[str] = []
    following: dict[str, str] = {}
    while True:
        query, arguments = wanted_of(asked | following).query(38)
        rows = await orders.fetch(query, *arguments)
        seen += [row["order_id"] for row in rows[:37]]
        if len(rows) < 38:
            break
        following = {"after": cursor_of(rows[36], asked.get("sort", "newest"))}
    assert seen == expected(asked)


@pytest.mark.parametrize("sort", ["newest", "oldest"])
async def test_the_orders_with_a_sku_are_read_along_its_own_index(orders: asyncpg.Connection, sort: str) -> None:
    await orders.execute("INSERT INTO order_sku SELECT 'S-ALL', created_at, order_id FROM orders")
    await orders.execute("ANALYZE order_sku")
    query, arguments = wanted_of({"sku": "S-ALL", "sort": sort}).query(51)
    plan = "\n".join(row[0] for row in await orders.fetch(f"EXPLAIN {query}", *arguments))
    assert "using order_sku_pkey" in plan
    assert "Sort" not in plan


async def test_a_reason_lists_its_orders(orders: asyncpg.Connection) -> None:
    failed, cancelled = (f"O-{1 + RARE.index(status)}" for status in ("FAILED", "CANCELLED"))
    assert await page(orders, Wanted(reason="out-of-stock")) == [failed]
    assert await page(orders, Wanted(reason="customer-request", status="CANCELLED")) == [cancelled]
    assert [await page(orders, Wanted(reason=reason)) for reason in REASONS].count([]) == len(REASONS) - 2


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"sort": "oldest"},
        {"sort": "id"},
        {"sort": "total"},
        {"id_prefix": "O-77"},
        {"reason": "out-of-stock"},
        {"customer": "C-3"},
    ],
    ids=str,
)
async def test_no_page_is_read_from_the_whole_table(orders: asyncpg.Connection, asked: dict[str, str]) -> None:
    query, arguments = wanted_of(asked).query(51)
    plan = "\n".join(row[0] for row in await orders.fetch(f"EXPLAIN {query}", *arguments))
    assert "Seq Scan" not in plan


@pytest.mark.parametrize(
    "asked",
    [
        {"id_prefix": "O-", "sort": "oldest"},
        {"sort": "price"},
        {"sku": "S-1", "sort": "total"},
        {"sort": "total", "after": "MjAyNi0wMS0wMVQwMDowMDowMCswMDowMCBPLTE="},
        {"after": "MTAgTy0x"},
        {"reason": "none"},
        {"id_prefix": ""},
        {"sku": "S-1", "sort": "id"},
        {"created_before": "yesterday"},
        {"created_before": "0001-01-01T00:00:00+23:59"},
        {"after": "MDAwMS0wMS0wMVQwMDowMDowMCsyMzo1OSBPLTE="},
    ],
)
def test_what_cannot_be_listed_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(Problem) as refused:
        wanted_of(asked)
    assert refused.value.status == 400


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


async def test_an_order_gets_its_place_by_total_when_it_comes_to_rest(orders: asyncpg.Connection) -> None:
    ranks = []
    for status, total in (("RESERVING", None), ("PAYING", 500), ("COMPLETED", 500)):
        update = "UPDATE orders SET status = $1, total_minor = $2 WHERE order_id = 'O-2000' RETURNING ranked"
        ranks.append(await orders.fetchval(update, status, total))
        assert (await page(orders, Wanted(sort="total"), 3)).count("O-2000") == (total is not None)
    assert ranks == [None, None, 500]


async def test_what_waits_for_an_operator_is_found_by_an_index_of_its_own(orders: asyncpg.Connection) -> None:
    await orders.execute(
        "UPDATE orders SET paused = true, waiting_for = 'operator' WHERE order_id IN ('O-11', 'O-1911')"
    )
    await orders.execute("VACUUM ANALYZE orders")
    assert await page(orders, Wanted(waiting_for="operator")) == ["O-1911", "O-11"]
    query, arguments = Wanted(waiting_for="operator").query(51)
    plan = "\n".join(row[0] for row in await orders.fetch(f"EXPLAIN {query}", *arguments))
    assert "orders_paused" in plan


def test_what_several_databases_found_is_put_together_by_total() -> None:
    rows = [{"order_id": name, "total_minor": total} for name, total in (("a", 5), ("b", None), ("c", 90), ("d", 5))]
    assert [row["order_id"] for row in Wanted(sort="total").sorted(rows)] == ["c", "d", "a", "b"]
