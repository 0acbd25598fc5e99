"""Ended orders go into the archive and are still known there: to those who ask, to the audit, and to commands that come late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from workbench import fresh_database

from audit import sql as audit_sql
from audit.watcher import sql as watcher_sql
from contracts.orders import AddLineItem, CancelOrder, StartOrder
from contracts.values import Item
from messaging.decision import Message
from messaging.errors import StaleRowError
from messaging.ports import Commit
from messaging.postgres import PostgresStore
from messaging.stamp import Stamped
from services.orders.api.queries import ONE
from services.orders.api.record import COMMANDS, HISTORY
from services.orders.app import MIGRATIONS
from services.orders.archive import archive, due, main
from services.orders.archive_sql import ARCHIVE
from services.orders.domain import Order, View, decide
from services.orders.domain.state import Phase
from services.orders.store import LOAD, LOOK, Changes, PostgresOrders, read_view

THEN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = THEN + timedelta(days=100)
START = StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=2), Item(sku="milk", quantity=1)))


def message(key: str, data: Any, at: datetime = THEN) -> Message:
    return Message(
        f"orders.{type(data).__name__}",
        key,
        data,
        f"{key}-{type(data).__name__}",
        "test",
        at,
        "uid",
        None,
        "topic",
        7,
        0,
    )


def started(key: str, at: datetime = THEN) -> View:
    return decide(View(), message(key, START, at), at).state


def at_rest(view: View, phase: Phase, at: datetime = THEN) -> Order:
    """As if everything had happened that leads there."""
    assert view.order is not None
    money = {"currency": "GBP", "total_minor": 750} if phase is Phase.COMPLETED else {}
    return replace(view.order, phase=phase, updated_at=at, **money)


@dataclass
class Office:
    """The owner of partition 0, and a look at the tables."""

    dsn: str
    db: asyncpg.Connection[asyncpg.Record]
    store: PostgresStore
    orders: PostgresOrders
    epoch: int
    seq: int = 0

    async def write(self, order: Order, version: int, view: View | None = None) -> None:
        """A batch that writes this order, the verdicts of `view`, and a line of history."""
        self.seq += 1
        cause = message(order.order_id, START)
        said = Stamped(self.seq, order.order_id, "orders.noted", {"type": "x"}, THEN, "cmd", None, None, cause)
        told = [] if view is None else [(order.order_id, verdict, START) for verdict in view.fresh]
        transaction = await self.store.begin()
        try:
            self.orders.stage(transaction, Changes([(order, version)], told, [said], THEN))
            await transaction.commit(Commit(0, self.epoch, {}, {}, 1))
        finally:
            await self.store.rollback(transaction)

    async def ended(self, key: str, phase: Phase = Phase.COMPLETED, at: datetime = THEN) -> View:
        """An order that ended then; returns what is known of it."""
        view = started(key, at)
        assert view.order is not None
        await self.write(view.order, 1, view)
        order = at_rest(view, phase, at)
        await self.write(order, 2)
        return replace(view, order=order, fresh=())

    async def load(self, *keys: str) -> dict[str, tuple[View, int]]:
        """As a worker does."""
        transaction = await self.store.begin()
        try:
            kept = await self.orders.load(transaction, dict.fromkeys(keys, ()))
            return {key: (row.view, row.version) for key, row in kept.items()}
        finally:
            await self.store.rollback(transaction)

    async def counts(self) -> dict[str, int]:
        """How many rows the tables have."""
        tables = ("orders", "command", "history", "order_sku", "archive")
        return {table: await self.db.fetchval(f"SELECT count(*) FROM {table}") for table in tables}

    async def record(self, key: str) -> list[Any]:
        """All that the query API reads about an order."""
        asked = [(query, (key,)) for query in (ONE, HISTORY, COMMANDS)] + [(LOOK, (key, "test", f"{key}-StartOrder"))]
        return [[dict(row) for row in await self.db.fetch(query, *arguments)] for query, arguments in asked]

    async def books(self) -> list[Any]:
        """All that audit and watcher count."""
        plain = (audit_sql.ORDERS, audit_sql.HISTORY, audit_sql.COMMANDS, watcher_sql.BY_STATUS, watcher_sql.VERDICTS)
        found = [[dict(row) for row in await self.db.fetch(query)] for query in plain]
        for query in (audit_sql.COMPLETED_SUMS, watcher_sql.OWED):
            found.append([dict(row) for row in await self.db.fetch(query, [])])
        return [sorted(rows, key=repr) for rows in found]


@pytest.fixture
async def office(server_dsn: str) -> AsyncIterator[Office]:
    async with fresh_database(server_dsn, MIGRATIONS) as dsn:
        db = await asyncpg.connect(dsn)
        store = PostgresStore(dsn)
        try:
            yield Office(dsn, db, store, PostgresOrders("worker"), (await store.take_over(0, "test", ())).epoch)
        finally:
            await store.close()
            await db.close()


async def test_an_archived_order_is_out_of_the_way_and_is_told_as_before(office: Office) -> None:
    await office.ended("O-1")
    record, books = await office.record("O-1"), await office.books()
    assert await archive(office.dsn, LATER) == 1
    assert await office.counts() == {"orders": 0, "command": 0, "history": 0, "order_sku": 0, "archive": 1}
    assert await office.record("O-1") == record
    assert await office.books() == books


async def test_what_comes_for_an_archived_order_finds_it_where_it_was(office: Office) -> None:
    known = await office.ended("O-1")
    before, record, books = await office.counts(), await office.record("O-1"), await office.books()
    await archive(office.dsn, LATER)
    loaded = await office.load("O-1", "O-2")
    assert loaded == {"O-1": (known, 2), "O-2": (View(), 0)}
    assert await office.counts() == before
    assert await office.record("O-1") == record
    assert await office.books() == books
    assert await archive(office.dsn, LATER) == 1, "and it may go again"


async def test_its_id_is_not_forgotten(office: Office) -> None:
    await office.ended("O-1", Phase.CANCELLED)
    await archive(office.dsn, LATER)
    view, _ = (await office.load("O-1"))["O-1"]
    again = decide(view, message("O-1", START), LATER)
    assert [said.data.duplicate for said in again.says] == [True]
    other = Message("orders.StartOrder", "O-1", replace_items(START), "another-id", "test", LATER, "uid")
    (verdict,) = decide(view, other, LATER).state.fresh
    assert (verdict.accepted, verdict.reason) == (False, "conflict")
    (late,) = decide(view, message("O-1", CancelOrder(reason="changed-my-mind"), LATER), LATER).state.fresh
    assert (late.accepted, late.reason) == (False, "too-late")


def replace_items(start: StartOrder) -> StartOrder:
    return start.model_copy(update={"items": (Item(sku="coffee", quantity=1),)})


async def test_what_is_open_young_or_settled_by_a_person_stays(office: Office) -> None:
    opened = started("open")
    assert opened.order is not None
    await office.write(opened.order, 1, opened)
    await office.ended("young", at=LATER)
    await office.ended("by-hand")
    await office.db.execute(
        """INSERT INTO history (order_id, seq, at, type, cause, cause_type, cause_at, worker, data)
        VALUES ('by-hand', 999, $1, 'orders.attention-resolved.v1', 'c', 't', $1, 'w', '{"operator": "op"}')""",
        THEN,
    )
    await office.ended("old")
    assert await due(office.dsn, LATER) == 1
    assert await archive(office.dsn, LATER) == 1
    kept = {row["order_id"] for row in await office.db.fetch("SELECT order_id FROM orders")}
    assert kept == {"open", "young", "by-hand"}


async def test_a_batch_that_read_an_order_before_it_was_archived_writes_nothing(office: Office) -> None:
    known = await office.ended("O-1")
    assert known.order is not None
    await archive(office.dsn, LATER)
    with pytest.raises(StaleRowError):
        await office.write(known.order, 3)
    assert (await office.counts())["orders"] == 0
    assert await office.load("O-1") == {"O-1": (known, 2)}


async def test_a_verdict_that_was_given_meanwhile_stands_beside_the_others_when_the_order_is_back(
    office: Office,
) -> None:
    known = await office.ended("O-1")
    await archive(office.dsn, LATER)
    late = decide(known, message("O-1", AddLineItem(sku="tea", quantity=1), LATER), LATER)
    transaction = await office.store.begin()
    office.orders.stage(transaction, Changes([], [("O-1", verdict, None) for verdict in late.state.fresh], [], LATER))
    await transaction.commit(Commit(0, office.epoch, {}, {}, 1))
    told = {row["id"]: row["accepted"] for row in await office.db.fetch(COMMANDS, "O-1")}
    assert told == {"O-1-StartOrder": True, "O-1-AddLineItem": False}
    assert (await office.load("O-1"))["O-1"] == (View(known.order, late.state.verdicts), 2)
    for source, command_id in late.state.verdicts:
        found = read_view(await office.db.fetchrow(LOOK, "O-1", source, command_id))
        assert found == View(known.order, {(source, command_id): late.state.verdicts[source, command_id]})


async def test_the_command_counts_moves_in_parts_and_tells_so(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.orders.archive.BATCH", 2)
    for number in range(5):
        await office.ended(f"O-{number}", at=THEN + timedelta(minutes=number))
    env = {"ORDERS_DATABASE_URL": office.dsn}

    async def command(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, [*arguments], env)
        return code, *capsys.readouterr()

    code, out, _ = await command("--days", "0", "--dry-run", "--json")
    assert (code, json.loads(out)["archived"], (await office.counts())["archive"]) == (0, 5, 0)
    code, out, err = await command("--days", "0", "--most", "3", "--json")
    assert (code, json.loads(out)["archived"]) == (0, 3)
    assert err.splitlines() == [f"database 1 of 1: {moved} orders archived" for moved in (2, 3)]
    assert {row["order_id"] for row in await office.db.fetch("SELECT order_id FROM orders")} == {"O-3", "O-4"}
    code, out, _ = await command("--days", "0")
    assert (code, out.split(" orders")[0]) == (0, "2")


async def test_a_database_that_does_not_answer_and_wrong_settings_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    gone = {"ORDERS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    assert await asyncio.to_thread(main, ["--days", "1"], gone) == 1
    assert "did not answer" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["--days", "1"], {"ORDERS_DATABASE_URL": "nonsense"}) == 2
    assert "ORDERS_DATABASE_URL" in capsys.readouterr().err


FILL = (
    """
    INSERT INTO orders (order_id, version, workflow, workflow_version, status, phase, customer_id, items, created_at, updated_at,
                        state)
    SELECT 'O-' || n, 1, 'order', 2, 'COMPLETED', 'COMPLETED', 'C', '[]', at, at, '{}'
    FROM generate_series(1, $1::integer) n, LATERAL (SELECT $2::timestamptz + n * interval '1 s' AS at) s
    """,
    """
    INSERT INTO command (order_id, source, id, type, accepted, at)
    SELECT 'O-' || n, 's', 'c' || k, 't', true, $2 FROM generate_series(1, $1::integer) n, generate_series(1, 2) k
    """,
    """
    INSERT INTO history (order_id, seq, at, type, cause, cause_type, cause_at, worker, data)
    SELECT 'O-' || n, k, $2, 't', 'c', 't', $2, 'w', '{}' FROM generate_series(1, $1::integer) n, generate_series(1, 8) k
    """,
)


async def test_one_order_is_found_and_archived_along_the_keys_however_many_there_are(office: Office) -> None:
    for query in FILL:
        await office.db.execute(query, 5_000, THEN)
    await archive(office.dsn, LATER, 1_000)
    await office.db.execute("VACUUM ANALYZE")
    asked: list[tuple[str, tuple[Any, ...]]] = [(query, ("O-4000",)) for query in (ONE, HISTORY, COMMANDS)]
    asked += [(LOOK, ("O-4000", "s", "c1")), (LOAD, (["O-4000"],)), (ARCHIVE, (LATER, THEN, "", 5))]
    for query, arguments in asked:
        plan = "\n".join(row[0] for row in await office.db.fetch(f"EXPLAIN {query}", *arguments))
        for table in ("orders", "command", "history", "archive"):
            assert f"Seq Scan on {table}" not in plan, plan
