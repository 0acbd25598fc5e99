"""The watcher against real databases: what it tells is what stands there, and an invariant that is broken does not read 0."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from workbench import fresh_database

from audit.watcher import looks, sql
from audit.watcher.__main__ import DATABASES
from audit.watcher.watcher import Settings, Watcher
from contracts.metrics import CONSUMER_STILL, ORDERS_ATTENTION_OLDEST
from contracts.topics import ORDERS_COMMANDS
from messaging.decision import SetTimer
from messaging.ports import Commit, Ownership
from messaging.postgres import PostgresStore
from provision.databases import ensure_schemas

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(minutes=10)
ORDER = """
INSERT INTO orders (order_id, version, workflow, workflow_version, status, phase, waiting_for, deadline, customer_id, currency,
                    total_minor, items, created_at, updated_at, state)
VALUES ($1, 1, 'order', 2, $2, $2, $3, $4, 'c', 'GBP', $5, '[]', $6, $6, '{}')
"""
CHARGE = """
INSERT INTO charge (order_id, charge_id, status, amount_minor, currency, attempt, message, void_attempt, void_message,
                    captured_minor, refunded_minor, version, created_at)
VALUES ($1, 'ch-' || $1, 'captured', $2, 'GBP', 1, '', 0, '', $2, 0, 1, $3)
"""
MOVED = """
INSERT INTO gateway.charges (charge_id, order_id, amount_minor, currency, payment_method, state, lands_at, calls, refunded_minor,
                             version)
VALUES ('ch-' || $1, $1, $2, 'GBP', 'pm', 'captured', $3, 1, 0, 1)
"""

STOCK = """
INSERT INTO stock (sku, unit_price_minor, currency, received, adjusted, held, shipped)
VALUES ('a', 1, 'GBP', 5, 0, 0, 1), ('b', 1, 'GBP', 2, -2, 0, 0)
"""
#: What this stock is the sum of.
STOCK_SAYS = """
WITH received AS (
    INSERT INTO shop_command (key, source, id, type, answer, answered_at) VALUES
        ('a', 's', '1', 'inventory.stock-received.v1', '{"sku": "a", "quantity": 5}', now()),
        ('b', 's', '2', 'inventory.stock-received.v1', '{"sku": "b", "quantity": 2}', now()),
        ('b', 's', '3', 'inventory.stock-adjusted.v1', '{"sku": "b", "delta": -2}', now())
)
INSERT INTO reservation (order_id, reservation_id, state, lines, currency, created_at, updated_at)
VALUES ('o-1', 'r', 'shipped', '[{"sku": "a", "quantity": 1, "unit_price_minor": 1250}]', 'GBP', now(), now())
"""
NEEDED = """
INSERT INTO history (order_id, seq, at, type, cause, cause_type, cause_at, worker, data)
SELECT $1, seq, $2::timestamptz + seq * interval '1 minute', type, 'c', 't', $2, 'w', '{}'
FROM unnest($3::text[]) WITH ORDINALITY AS t (type, seq)
"""


@pytest.fixture
async def urls(server_dsn: str) -> AsyncIterator[dict[str, str]]:
    """Every database, brought up to date by the job that does so before anything starts."""
    async with AsyncExitStack() as stack:
        found = {name: await stack.enter_async_context(fresh_database(server_dsn)) for name in DATABASES}
        one_each = {name: (url,) for name, url in found.items()}
        applied = await ensure_schemas(one_each)
        assert all(applied.values())
        assert not any((await ensure_schemas(one_each)).values()), "twice is harmless"
        yield found


async def execute(url: str, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def test_it_tells_what_stands_in_the_databases_and_that_the_broker_is_away(urls: dict[str, str]) -> None:
    orders, payment, gateway = urls["orders"], urls["payment"], urls["gateway"]
    for order_id, status, total in (("o-1", "COMPLETED", 1250), ("o-2", "CANCELLED", 700)):
        await execute(orders, ORDER, order_id, status, None, None, total, LONG_AGO)
    # Being paid now: its money is nobody's yet.
    await execute(orders, ORDER, "o-3", "PAYING", "payment", NOW + timedelta(hours=1), 300, LONG_AGO)
    await execute(orders, ORDER, "o-4", "RESERVING", "stock", LONG_AGO, 300, LONG_AGO)
    for order_id, amount in (("o-1", 1250), ("o-3", 300)):
        await execute(payment, CHARGE, order_id, amount, LONG_AGO)
        await execute(gateway, MOVED, order_id, amount, LONG_AGO)
    await execute(urls["inventory"], STOCK)
    await execute(urls["inventory"], STOCK_SAYS)
    await execute(
        urls["customer"], "INSERT INTO timer (partition, key, name, step, due_at) VALUES (0, 'k', 't', 1, $1)", LONG_AGO
    )
    watcher = Watcher(Settings("127.0.0.1:1", {name: (url,) for name, url in urls.items()}, 4))
    try:
        await watcher.look()
        told = watcher.registry.get_sample_value
        assert told("watch_up", {"source": "kafka"}) == 0
        looks_at = (*urls, "money", "stock")
        assert {name: told("watch_up", {"source": name}) for name in looks_at} == dict.fromkeys(looks_at, 1)
        assert told("orders_by_status", {"status": "COMPLETED"}) == 1
        assert told("orders_waiting", {"waiting_for": "payment"}) == 1
        assert told("orders_overdue") == 1
        assert told("timers_overdue", {"service": "customer"}) == 1
        assert told("timers_overdue", {"service": "orders"}) == 0
        assert told("inventory_units", {"place": "on_hand"}) == 4
        assert told("inventory_skus_exhausted") == 1
        assert told("payment_captured_minor", {"currency": "GBP"}) == 1550
        for account in ("payment", "gateway"):
            assert told("invariant_money_imbalance_minor", {"account": account, "currency": "GBP"}) == 0
        assert told("invariant_stock_imbalance_units") == 0
        assert told("orders_end_to_end_seconds_count", {"status": "COMPLETED"}) == 1
        await watcher.look()
        assert told("orders_end_to_end_seconds_count", {"status": "COMPLETED"}) == 1, "each order is told once"
    finally:
        await watcher.close()


async def test_money_that_a_completed_order_does_not_cost_is_told_until_a_person_has_settled_it(
    urls: dict[str, str],
) -> None:
    await execute(urls["orders"], ORDER, "o-1", "CANCELLED", None, None, 1250, LONG_AGO)
    await execute(urls["payment"], CHARGE, "o-1", 1250, LONG_AGO)
    watcher = Watcher(Settings("127.0.0.1:1", {name: (url,) for name, url in urls.items()}, 4))
    try:
        await watcher.look()
        told = watcher.registry.get_sample_value
        labels = {"account": "payment", "currency": "GBP"}
        assert told("invariant_money_imbalance_minor", labels) == 1250
        await execute(
            urls["orders"],
            "INSERT INTO history (order_id, seq, at, type, cause, cause_type, cause_at, worker, data) VALUES"
            " ('o-1', 1, $1, 'orders.attention-resolved.v1', 'c', 't', $1, 'w', '{\"operator\": \"night\"}')",
            LONG_AGO,
        )
        await watcher.look()
        assert told("invariant_money_imbalance_minor", labels) in (0, None)
    finally:
        await watcher.close()


async def test_stock_that_was_shipped_or_came_in_by_nobodys_word_is_told(urls: dict[str, str]) -> None:
    url = urls["inventory"]
    await execute(url, STOCK)
    await execute(url, STOCK_SAYS)
    await execute(url, "UPDATE stock SET received = 12, shipped = 6 WHERE sku = 'a'")
    db = await asyncpg.connect(url)
    try:
        assert [sample.value for sample in await looks.stock(db)] == [7 + 5]
    finally:
        await db.close()


async def test_a_look_that_is_not_answered_says_so_and_tells_no_invariant(urls: dict[str, str]) -> None:
    await execute(urls["orders"], ORDER, "o-1", "COMPLETED", None, None, 1250, LONG_AGO)
    watcher = Watcher(Settings("127.0.0.1:1", {name: (url,) for name, url in urls.items()}, 4))
    told = watcher.registry.get_sample_value
    labels = {"account": "payment", "currency": "GBP"}
    try:
        await watcher.look()
        assert (told("watch_up", {"source": "money"}), told("invariant_money_imbalance_minor", labels)) == (1, -1250)
        await execute(urls["gateway"], "ALTER FUNCTION gateway.entries(timestamptz) RENAME TO no_more")
        await watcher.look()
        assert (told("watch_up", {"source": "money"}), told("invariant_money_imbalance_minor", labels)) == (0, None)
        assert told("watch_up", {"source": "gateway"}) == 1, "it is there; what was asked was not answered"
        await execute(urls["gateway"], "ALTER FUNCTION gateway.no_more(timestamptz) RENAME TO entries")
        await watcher.look()
        assert (told("watch_up", {"source": "money"}), told("invariant_money_imbalance_minor", labels)) == (1, -1250)
    finally:
        await watcher.close()


async def test_however_often_it_is_asked_a_long_list_is_not_compared_row_by_row(urls: dict[str, str]) -> None:
    apart = [f"o-{n}" for n in range(2_000)]
    for url, query, arguments in (
        (urls["orders"], sql.OWED, (apart,)),
        (urls["payment"], sql.TAKEN, (apart, NOW)),
        (urls["gateway"], sql.MOVED, (apart, NOW)),
    ):
        db = await asyncpg.connect(url)
        try:
            await db.execute("SET plan_cache_mode = force_generic_plan")
            plan = await db.fetch(f"EXPLAIN {query}", *arguments)
            assert any("hashed SubPlan" in row[0] for row in plan), plan
        finally:
            await db.close()


async def test_an_order_needs_a_person_since_it_was_said_however_often_something_is_tried_since(
    urls: dict[str, str],
) -> None:
    began = datetime.now(UTC) - timedelta(hours=5)
    await execute(urls["orders"], ORDER, "o-1", "NEEDS_ATTENTION", "refund", None, 1250, NOW)
    said = ["orders.order-started.v1", "orders.attention-needed.v1", "orders.retry-scheduled", "orders.retry-scheduled"]
    await execute(urls["orders"], NEEDED, "o-1", began, said)
    db = await asyncpg.connect(urls["orders"])
    try:
        told = {sample.metric: sample.value for sample in await looks.orders(db)}
    finally:
        await db.close()
    assert told[ORDERS_ATTENTION_OLDEST] == pytest.approx((5 * 60 - 2) * 60, abs=60)


async def test_a_partition_with_lag_stands_still_until_its_offsets_move_whoever_takes_it_over_and_whatever_else_it_commits(
    urls: dict[str, str],
) -> None:
    url, topic, partition, now = urls["orders"], ORDERS_COMMANDS, 0, datetime.now(UTC)
    db, store = await asyncpg.connect(url), PostgresStore(url)

    async def commit(owned: Ownership, reads: int = 0, **changes: Any) -> None:
        stands = owned.offsets[topic]
        offsets = {topic: stands + reads} if reads else {}
        transaction = await store.begin()
        await transaction.commit(Commit(partition, owned.epoch, {topic: stands}, offsets, owned.next_seq, **changes))

    async def still_s(end: int) -> float:
        told = {(s.metric, s.labels): s.value for s in await looks.runtime(db, "orders", {(topic, partition): end})}
        return told[CONSUMER_STILL, ("orders",)]

    async def ten_minutes_go_by() -> None:
        ago = "- interval '10 minutes'"
        await db.execute(f"UPDATE partition_ownership SET moved_at = moved_at {ago}, updated_at = updated_at {ago}")

    try:
        await store.take_over(partition, "a", [topic])
        await ten_minutes_go_by()
        assert await still_s(end=5) >= 600
        owned = await store.take_over(partition, "b, in a circle of crashes", [topic])
        assert await still_s(end=5) >= 600
        await commit(owned, timers={("k", "t"): SetTimer("k", "t", 1, now)})
        assert await still_s(end=5) >= 600, "a timer is no progress with what waits"
        await commit(owned, reads=2)
        assert await still_s(end=5) < 600
        await ten_minutes_go_by()
        owned = await store.take_over(partition, "c", [topic])
        assert (owned.offsets[topic], await still_s(end=5) >= 600) == (2, True)
        assert await still_s(end=2) == 0, "without lag nothing stands still"
    finally:
        await store.close()
        await db.close()


async def test_a_piece_too_many_of_one_sku_does_not_make_up_for_one_too_few_of_another(urls: dict[str, str]) -> None:
    inventory = urls["inventory"]
    await execute(inventory, STOCK)
    await execute(inventory, STOCK_SAYS)
    await execute(inventory, "UPDATE stock SET adjusted = adjusted + CASE sku WHEN 'a' THEN -1 ELSE 1 END")
    watcher = Watcher(Settings("127.0.0.1:1", {name: (url,) for name, url in urls.items()}, 4))
    try:
        await watcher.look()
        assert watcher.registry.get_sample_value("invariant_stock_imbalance_units") == 2
        assert watcher.registry.get_sample_value("invariant_reserved_imbalance_units") == 0
    finally:
        await watcher.close()


async def test_held_stock_without_a_reservation_is_told(urls: dict[str, str]) -> None:
    await execute(
        urls["inventory"],
        "INSERT INTO stock (sku, unit_price_minor, currency, received, adjusted, held, shipped)"
        " VALUES ('a', 1, 'GBP', 5, 0, 2, 0)",
    )
    watcher = Watcher(Settings("127.0.0.1:1", {name: (url,) for name, url in urls.items()}, 4))
    try:
        await watcher.look()
        assert watcher.registry.get_sample_value("invariant_reserved_imbalance_units") == 2
    finally:
        await watcher.close()


async def test_a_database_that_is_away_is_told_and_nothing_of_it_is_told_on(urls: dict[str, str]) -> None:
    watcher = Watcher(Settings("127.0.0.1:1", {name: (url,) for name, url in urls.items()}, 4))
    try:
        await watcher.look()
        told = watcher.registry.get_sample_value
        assert told("inventory_skus") == 0
        name = urls["inventory"].partition("?")[0].rpartition("/")[2]
        await execute(urls["orders"], f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await execute(
            urls["orders"],
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
            name,
        )
        await watcher.look()
        assert told("watch_up", {"source": "inventory"}) == 0
        assert told("inventory_skus") is None
        assert told("watch_up", {"source": "orders"}) == 1
    finally:
        await watcher.close()


async def test_two_that_share_a_database_are_both_looked_at(urls: dict[str, str]) -> None:
    # The simulated gateway's ledger is a schema of its own: it can stand in payment's database.
    shared = {**urls, "gateway": urls["payment"]}
    await ensure_schemas({"gateway": (urls["payment"],)})
    watcher = Watcher(Settings("127.0.0.1:1", {name: (url,) for name, url in shared.items()}, 4))
    try:
        await watcher.look()
        await watcher.look()  # over the connections of the first
        told = watcher.registry.get_sample_value
        assert [told("watch_up", {"source": source}) for source in ("payment", "gateway")] == [1, 1]
    finally:
        await watcher.close()
