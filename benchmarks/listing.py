"""`python -m benchmarks listing`: `GET /orders` over a million orders, filter by filter, with the plans that PostgreSQL makes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Final

import aiohttp
import asyncpg
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.place import Place, place
from messaging.migrate import migrate
from services.orders.api.listing import wanted_of
from services.orders.app import MIGRATIONS

#: Of a million orders most have ended; those that somebody looks for are few, and the worst of them are old.
_FILL: Final = """
INSERT INTO orders (order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, customer_id, currency,
                    total_minor, items, created_at, updated_at, state)
SELECT 'LIST-' || n, 1, 'order', 2, status, CASE status WHEN 'NEEDS_ATTENTION' THEN 'COMPENSATING' ELSE status END,
       CASE WHEN n = 7 THEN 'unknown-customer' WHEN status = 'FAILED' THEN 'out-of-stock'
            WHEN status = 'CANCELLED' THEN 'approval-timeout' END,
       CASE status WHEN 'AWAITING_APPROVAL' THEN 'approval' WHEN 'PAYING' THEN 'payment' WHEN 'NEEDS_ATTENTION' THEN 'refund' END,
       'C-' || n % 10000, 'GBP', 100 + n * 7919 % 1000000,
       ('[{"sku": "S-' || n % 500 || '", "quantity": 1, "unit_price_minor": 1000}]')::json, at, at,
       json_build_object('about', repeat('x', 700))
FROM generate_series(1, $1::bigint) n,
LATERAL (SELECT CASE WHEN n <= 20 THEN 'NEEDS_ATTENTION' WHEN n % 1000 = 7 THEN 'FAILED' WHEN n % 200 = 5 THEN 'CANCELLED'
                     WHEN n % 10 = 1 THEN 'AWAITING_APPROVAL' WHEN n > $1 - 300 THEN 'PAYING' ELSE 'COMPLETED' END AS status,
                now() - ($1 - n) * interval '80 ms' AS at) s
"""
_FILL_SKUS: Final = """
INSERT INTO order_sku (sku, created_at, order_id) SELECT sku, created_at, order_id
FROM orders, LATERAL (VALUES (items -> 0 ->> 'sku'), ('S-ALL')) AS of (sku) WHERE order_id LIKE 'LIST-%'
"""
#: Since when an order waits is read from its history. Those that need a person have been tried again for a day.
_FILL_HISTORY: Final = """
INSERT INTO history (order_id, seq, at, type, cause, cause_type, cause_at, worker, data, sent)
SELECT o.order_id, n, o.created_at + n * interval '1 min', told.type, 'cause', 'orders.start-order.v1', o.created_at, 'worker-1',
       json_build_object('about', repeat('x', 200)),
       CASE told.type WHEN 'orders.asked' THEN '[{"sequence": 1, "type": "payment.refund.v1", "id": "r", "data": {}}]'::json END
FROM orders AS o
CROSS JOIN LATERAL generate_series(1, CASE o.status WHEN 'NEEDS_ATTENTION' THEN 2900 WHEN 'PAYING' THEN 5 ELSE 4 END) AS n
CROSS JOIN LATERAL (SELECT CASE n WHEN 1 THEN 'orders.command-accepted.v1' WHEN 2 THEN 'orders.order-started.v1'
    WHEN 3 THEN 'orders.order-enriched.v1' WHEN 4 THEN 'orders.stock-reserved.v1' WHEN 5 THEN 'orders.payment-approved.v1'
    ELSE CASE n % 2 WHEN 0 THEN 'orders.asked' ELSE 'orders.retry-scheduled' END END AS type) AS told
WHERE o.order_id LIKE 'LIST-%' AND o.status IN ('AWAITING_APPROVAL', 'PAYING', 'NEEDS_ATTENTION')
"""
_QUERIES: Final = (
    "",
    "status=COMPLETED",
    "status=AWAITING_APPROVAL",
    "status=FAILED",
    "status=NEEDS_ATTENTION",
    "status=COMPENSATING",
    "waiting_for=approval",
    "waiting_for=release",
    "waiting_for=refund",
    "waiting_for=operator",
    "customer=C-77",
    "customer=C-77&status=FAILED",
    "sort=oldest",
    "sort=id",
    "sort=total",
    "sort=total&status=FAILED",
    "sort=total&status=AWAITING_APPROVAL",
    "sort=total&customer=C-77",
    "status=AWAITING_APPROVAL&sort=oldest",
    "status=FAILED&sort=id",
    "id_prefix=LIST-77",
    "id_prefix=LIST-7&status=NEEDS_ATTENTION",
    "id_prefix=NONE",
    "reason=out-of-stock",
    "reason=unknown-customer",
    "sku=S-77",
    "sku=S-ALL",
    "sku=S-ALL&status=NEEDS_ATTENTION",
    "sku=S-77&status=CANCELLED&sort=oldest",
)
_TIMES: Final = 30


@dataclass(frozen=True, slots=True)
class Listed:
    """A query, how many orders it found, and how long its answers took."""

    query: str
    found: int
    p50_ms: float
    max_ms: float
    plan: str


def listing(
    orders: Annotated[int, typer.Option(help="Orders in the table.")] = 1_000_000,
    limit: Annotated[int, typer.Option(help="Orders per page.")] = 50,
    plans: Annotated[bool, typer.Option(help="Print the plans.")] = False,
) -> None:
    """How long a page of the list takes. The promise is 20 ms."""
    console = Console(stderr=True)
    with place() as at:
        found = uvloop.run(_measure(at, orders, limit, console))
    table = Table(title=f"A page of {limit} of {orders:,} orders, over HTTP, {_TIMES} times")
    for column in ("filter", "found", "p50 ms", "max ms"):
        table.add_column(column, justify="left" if column == "filter" else "right")
    for listed in found:
        table.add_row(listed.query or "(none)", str(listed.found), f"{listed.p50_ms:.1f}", f"{listed.max_ms:.1f}")
    console.print(table)
    if plans:
        for listed in found:
            console.print(f"\n{listed.query or '(none)'}\n{listed.plan}", highlight=False)


async def _measure(at: Place, orders: int, limit: int, console: Console) -> list[Listed]:
    dsn = at.stack.settings.dsn("orders")
    await fill(dsn, orders, console)
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=900)
    fleet = at.services()
    try:
        await fleet.start("orders-api")
        async with aiohttp.ClientSession(fleet.urls["orders-api"]) as http:
            return [await _list(http, connection, query, limit) for query in _QUERIES]
    finally:
        fleet.stop()
        await connection.close()


async def fill(dsn: str, orders: int, console: Console) -> None:
    """Make the orders' database as it is after so many orders."""
    await migrate(dsn, MIGRATIONS)
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=900)
    try:
        began = time.monotonic()
        await connection.execute(_FILL, orders)
        await connection.execute(_FILL_SKUS)
        await connection.execute(_FILL_HISTORY)
        await connection.execute("VACUUM ANALYZE orders, order_sku, history")
        size = await connection.fetchval("SELECT pg_size_pretty(pg_total_relation_size('orders'))")
        console.print(f"{orders:,} orders in {time.monotonic() - began:.0f} s, {size}")
    finally:
        await connection.close()


async def _list(http: aiohttp.ClientSession, connection: asyncpg.Connection, query: str, limit: int) -> Listed:
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        async with http.get(f"/orders?limit={limit}&{query}".rstrip("&")) as response:
            page = await response.json()
            response.raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    asked = dict(part.split("=") for part in query.split("&") if part)
    wanted, arguments = wanted_of(asked).query(limit + 1)
    lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {wanted}", *arguments)
    return Listed(query, len(page["items"]), median(times), max(times), "\n".join(row[0] for row in lines))
