"""Databases as they are after a million orders: filled, measured and emptied again. What is made up here begins with `LIST-`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import asyncpg
from rich.console import Console

from benchmarks.listing import fill
from devstack.settings import Settings

#: Ended orders tell their whole way; those that wait were given their histories by `fill`.
_ENDED: Final = """
INSERT INTO history (order_id, seq, at, type, cause, cause_type, cause_at, worker, data)
SELECT o.order_id, n, o.created_at + n * interval '20 ms', 'orders.stock-reserved.v1', 'cause', 'inventory.stock-reserved.v1',
       o.created_at, 'worker-1', json_build_object('about', repeat('x', 200))
FROM orders AS o CROSS JOIN generate_series(1, 7) AS n
WHERE o.order_id LIKE 'LIST-%' AND o.status IN ('COMPLETED', 'CANCELLED', 'FAILED')
"""
_TIMERS: Final = """
INSERT INTO timer (partition, key, name, step, due_at)
SELECT n % 4, 'LIST-' || n, 'order', 1, now() + interval '30 days' + n * interval '1 s' FROM generate_series(1, $1::bigint) n
"""
_RESERVATIONS: Final = """
INSERT INTO reservation (order_id, reservation_id, state, lines, currency, created_at, updated_at)
SELECT 'LIST-' || n, 'LIST-' || n || '/1', CASE n % 10 WHEN 1 THEN 'held' ELSE 'shipped' END,
       ('[{"sku": "S-' || n % 500 || '", "quantity": 1, "unit_price_minor": 1000}]')::jsonb, 'GBP', now(), now()
FROM generate_series(1, $1::bigint) n
"""
_CHARGES: Final = """
INSERT INTO charge (order_id, charge_id, status, amount_minor, currency, payment_method, attempt, attempt_end, message,
                    void_attempt, void_message, captured_minor, refunded_minor, version)
SELECT 'LIST-' || n, 'LIST-' || n || '/charge', 'captured', 1000, 'GBP', 'pm_card_visa', 1, 'captured', '', 0, '', 1000, 0, 2
FROM generate_series(1, $1::bigint) n WHERE n % 10 <> 1
"""
_MAILS: Final = """
INSERT INTO mail (order_id, kind, cause, customer_id, message_id, status, attempts, lookups, ended_at, created_at, sent_at)
SELECT 'LIST-' || n, 'confirmation', 'cause', 'C-' || n % 10000, '<' || n || '@shop>', 'sent', 1, 0, now(), now(), now()
FROM generate_series(1, $1::bigint) n WHERE n % 10 <> 1
"""
#: What is filled where, and by which column it is known.
_MADE_UP: Final = {
    "orders": {"history": "order_id", "order_sku": "order_id", "timer": "key", "orders": "order_id"},
    "inventory": {"reservation": "order_id"},
    "payment": {"charge": "order_id"},
    "notification": {"mail": "order_id"},
}
_SIZES: Final = """
SELECT coalesce(parent.relname, c.relname) AS name, sum(pg_total_relation_size(c.oid))::bigint AS bytes
FROM pg_class AS c
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid LEFT JOIN pg_class AS parent ON parent.oid = i.inhparent
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1
"""


async def grow(settings: Settings, orders: int, timers: int, console: Console) -> None:
    """Add so many orders, a tenth of which await approval, and so many timers that are not due yet, to what is there."""
    await fill(settings.dsn("orders"), orders, console)
    began = time.monotonic()
    statements: dict[str, dict[str, list[int]]] = {
        "orders": {_ENDED: [], _TIMERS: [timers]},
        "inventory": {_RESERVATIONS: [orders]},
        "payment": {_CHARGES: [orders]},
        "notification": {_MAILS: [orders]},
    }
    for database, texts in statements.items():
        connection = await asyncpg.connect(settings.dsn(database), timeout=10, command_timeout=1_800)
        try:
            for text, arguments in texts.items():
                await connection.execute(text, *arguments)
            await connection.execute(f"VACUUM ANALYZE {', '.join(_MADE_UP[database])}")
        finally:
            await connection.close()
    console.print(
        f"Their histories, {timers:,} timers, reservations, charges and mails in {time.monotonic() - began:.0f} s"
    )


async def shrink(settings: Settings) -> None:
    """Take away what `grow` added: the audit knows of no such orders."""
    for database, tables in _MADE_UP.items():
        connection = await asyncpg.connect(settings.dsn(database), timeout=10, command_timeout=1_800)
        try:
            for table, column in tables.items():
                await connection.execute(f"DELETE FROM {table} WHERE {column} LIKE 'LIST-%'")
        finally:
            await connection.close()


async def table_sizes(settings: Settings, databases: tuple[str, ...]) -> Mapping[str, int]:
    """Bytes of each table with its indexes, by `database.table`; the parts of one count for it."""
    found: dict[str, int] = {}
    for database in databases:
        connection = await asyncpg.connect(settings.dsn(database), timeout=10)
        try:
            found |= {f"{database}.{row['name']}": row["bytes"] for row in await connection.fetch(_SIZES)}
        finally:
            await connection.close()
    return found
