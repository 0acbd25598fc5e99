"""The stock room's tables in PostgreSQL: one query per table to load a batch, one statement per table to write it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, cast

from pydantic import TypeAdapter
from pydantic_core import to_json

from contracts.inventory import EVENTS
from contracts.registry import TYPE_OF
from contracts.values import PricedItem
from messaging.postgres import PostgresTransaction
from services.inventory.ledger import CommandKey, Refusal, Reservation, ReservationKey, ShopAnswer, Stock

_LINES: Final = TypeAdapter(tuple[PricedItem, ...])

RESERVATION_COLUMNS: Final = """
order_id, reservation_id, state, lines::text AS lines, currency, refusal_reason, refusal_message, created_at, updated_at,
partition, expires_at, announce_at, announced
"""

# Reservations and answers are one partition's own: the fence keeps others away, no lock is needed.
LOAD_RESERVATIONS: Final = f"""
SELECT {RESERVATION_COLUMNS}
FROM unnest($1::text[], $2::text[]) AS w (order_id, reservation_id) JOIN reservation r USING (order_id, reservation_id)
"""

# What is over, the earliest first, and of equals always the same one: what is told of it has its id from its place in the order.
# The partial index holds nothing else than what is held.
HOLDS_DUE: Final = f"""
SELECT {RESERVATION_COLUMNS}
FROM reservation WHERE partition = $1 AND state = 'held' AND announce_at <= $2
ORDER BY announce_at, order_id, reservation_id LIMIT $3
"""

NEXT_ANNOUNCEMENT: Final = """
SELECT min(announce_at) FROM reservation
WHERE partition = $1 AND state = 'held' AND announce_at > coalesce($2::timestamptz, '-infinity')
"""

LOAD_ANSWERS: Final = """
SELECT c.key, c.source, c.id, c.type, c.answer::text AS answer
FROM unnest($1::text[], $2::text[], $3::text[]) AS w (key, source, id) JOIN shop_command c USING (key, source, id)
"""

# All partitions sell the same pieces. Whoever locks in the order of the SKUs never waits for one who waits for him.
LOCK_STOCK: Final = """
SELECT sku, description, unit_price_minor, currency, received, adjusted, held, shipped
FROM stock WHERE sku = ANY ($1::text[]) ORDER BY sku FOR UPDATE
"""

# Who only asks locks nothing and waits for nobody.
SEE_STOCK: Final = """
SELECT sku, description, unit_price_minor, currency, received, adjusted, held, shipped
FROM stock WHERE sku = ANY ($1::text[])
"""

# A new SKU is made under its own key, so no two partitions make the same one.
ADD_STOCK: Final = """
INSERT INTO stock (sku, description, unit_price_minor, currency, received, adjusted, held, shipped)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
RETURNING 1
"""

# The rows are locked since they were read, so whole values may be written.
CHANGE_STOCK: Final = """
UPDATE stock SET description = r.description, unit_price_minor = r.unit_price_minor, currency = r.currency,
    received = r.received, adjusted = r.adjusted, held = r.held, shipped = r.shipped
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
    AS r (sku, description, unit_price_minor, currency, received, adjusted, held, shipped)
WHERE stock.sku = r.sku
RETURNING 1
"""

ADD_RESERVATIONS: Final = """
INSERT INTO reservation (order_id, reservation_id, state, lines, currency, refusal_reason, refusal_message,
    created_at, updated_at, partition, expires_at, announce_at)
SELECT r.order_id, r.reservation_id, r.state, r.lines::jsonb, r.currency, r.refusal_reason, r.refusal_message,
    r.created_at, r.updated_at, r.partition, r.expires_at, r.announce_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
    $9::timestamptz[], $10::integer[], $11::timestamptz[], $12::timestamptz[])
    AS r (order_id, reservation_id, state, lines, currency, refusal_reason, refusal_message, created_at, updated_at, partition,
    expires_at, announce_at)
RETURNING 1
"""

# Only what is held ever changes; the condition asserts that it ends once. One batch may extend a hold and end it.
CHANGE_RESERVATIONS: Final = """
UPDATE reservation SET state = r.state, expires_at = r.expires_at, announce_at = r.announce_at, announced = r.announced,
    updated_at = r.updated_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::integer[], $7::timestamptz[])
    AS r (order_id, reservation_id, state, expires_at, announce_at, announced, updated_at)
WHERE reservation.order_id = r.order_id AND reservation.reservation_id = r.reservation_id AND reservation.state = 'held'
RETURNING 1
"""

ADD_ANSWERS: Final = """
INSERT INTO shop_command (key, source, id, type, answer, answered_at)
SELECT r.key, r.source, r.id, r.type, r.answer::jsonb, r.answered_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    AS r (key, source, id, type, answer, answered_at)
RETURNING 1
"""

# A repeat of the same irregular message is the same irregularity.
ADD_IRREGULARITIES: Final = """
INSERT INTO irregularity (order_id, reservation_id, kind, state, cause, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
ON CONFLICT (order_id, reservation_id, kind) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Irregularity:
    """A message that changed nothing although it should have found something to change."""

    order_id: str
    reservation_id: str
    kind: str
    state: str
    cause: str
    at: datetime


@dataclass(slots=True)
class Writes:
    """What one batch changed, sorted into rows that are new and rows that were loaded. Reservations that were held have moved on,
    or are kept for another time."""

    new_stock: list[Stock] = field(default_factory=list)
    changed_stock: list[Stock] = field(default_factory=list)
    new_reservations: list[Reservation] = field(default_factory=list)
    changed_reservations: list[Reservation] = field(default_factory=list)
    answers: list[tuple[CommandKey, ShopAnswer, datetime]] = field(default_factory=list)
    irregularities: list[Irregularity] = field(default_factory=list)


class InventoryStore(Protocol):
    """Where the stock room's state is kept: PostgreSQL, or memory for tests and the simulation."""

    async def reservations(
        self, transaction: Any, keys: Collection[ReservationKey]
    ) -> dict[ReservationKey, Reservation]:
        """Those of the reservations that are known."""

    async def answers(self, transaction: Any, keys: Collection[CommandKey]) -> dict[CommandKey, ShopAnswer]:
        """The answers to those of the commands that were answered before."""

    async def locked_stock(self, transaction: Any, skus: Collection[str]) -> dict[str, Stock]:
        """The rows of those SKUs that are in the catalogue; nobody else changes them until the transaction ends."""

    async def seen_stock(self, transaction: Any, skus: Collection[str]) -> dict[str, Stock]:
        """The rows of those SKUs that are in the catalogue, as they are at this moment; nobody is kept from changing them."""

    async def holds_due(
        self, transaction: Any, partition: int, until: datetime, limit: int
    ) -> dict[ReservationKey, Reservation]:
        """What the partition holds and has to announce by then, the earliest first, at most so many."""

    async def next_announcement(self, transaction: Any, partition: int, after: datetime | None) -> datetime | None:
        """When the first hold of the partition, or the first one after a time, has to be announced."""

    def stage(self, transaction: Any, writes: Writes) -> None:
        """Stage everything for the commit."""


class PostgresInventory:
    """See `InventoryStore`. The runtime's store must be a locking one."""

    async def reservations(
        self, transaction: PostgresTransaction, keys: Collection[ReservationKey]
    ) -> dict[ReservationKey, Reservation]:
        """See `InventoryStore.reservations`."""
        rows = await transaction.fetch(LOAD_RESERVATIONS, [key[0] for key in keys], [key[1] for key in keys])
        return {(row["order_id"], row["reservation_id"]): reservation_of(row) for row in rows}

    async def answers(
        self, transaction: PostgresTransaction, keys: Collection[CommandKey]
    ) -> dict[CommandKey, ShopAnswer]:
        """See `InventoryStore.answers`."""
        rows = await transaction.fetch(
            LOAD_ANSWERS, [key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys]
        )
        return {
            (row["key"], row["source"], row["id"]): cast(
                ShopAnswer, EVENTS[row["type"]].model_validate_json(row["answer"])
            )
            for row in rows
        }

    async def locked_stock(self, transaction: PostgresTransaction, skus: Collection[str]) -> dict[str, Stock]:
        """See `InventoryStore.locked_stock`."""
        rows = await transaction.fetch(LOCK_STOCK, list(skus))
        return {row["sku"]: Stock(*row) for row in rows}

    async def seen_stock(self, transaction: PostgresTransaction, skus: Collection[str]) -> dict[str, Stock]:
        """See `InventoryStore.seen_stock`."""
        rows = await transaction.fetch(SEE_STOCK, list(skus))
        return {row["sku"]: Stock(*row) for row in rows}

    async def holds_due(
        self, transaction: PostgresTransaction, partition: int, until: datetime, limit: int
    ) -> dict[ReservationKey, Reservation]:
        """See `InventoryStore.holds_due`."""
        rows = await transaction.fetch(HOLDS_DUE, partition, until, limit)
        return {(row["order_id"], row["reservation_id"]): reservation_of(row) for row in rows}

    async def next_announcement(
        self, transaction: PostgresTransaction, partition: int, after: datetime | None
    ) -> datetime | None:
        """See `InventoryStore.next_announcement`."""
        (row,) = await transaction.fetch(NEXT_ANNOUNCEMENT, partition, after)
        found: datetime | None = row[0]
        return found

    def stage(self, transaction: PostgresTransaction, writes: Writes) -> None:
        """See `InventoryStore.stage`."""
        _stage(transaction, "stock_new", ADD_STOCK, [_stock_row(row) for row in writes.new_stock])
        _stage(transaction, "stock_changed", CHANGE_STOCK, [_stock_row(row) for row in writes.changed_stock])
        _stage(
            transaction, "reservations_new", ADD_RESERVATIONS, [_reservation_row(r) for r in writes.new_reservations]
        )
        changed = [
            (r.order_id, r.reservation_id, r.state, r.expires_at, r.announce_at, r.announced, r.updated_at)
            for r in writes.changed_reservations
        ]
        _stage(transaction, "reservations_changed", CHANGE_RESERVATIONS, changed)
        answers = [(*key, TYPE_OF[type(answer)][1], answer.model_dump_json(), at) for key, answer, at in writes.answers]
        _stage(transaction, "shop_answers", ADD_ANSWERS, answers)
        found = [(i.order_id, i.reservation_id, i.kind, i.state, i.cause, i.at) for i in writes.irregularities]
        _stage(transaction, "irregularities", ADD_IRREGULARITIES, found, asserted=False)


def _stage(
    transaction: PostgresTransaction, name: str, text: str, rows: Sequence[tuple[object, ...]], asserted: bool = True
) -> None:
    """The rows as columns, where there are any."""
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        transaction.stage(name, text, *columns, rows=len(rows) if asserted else None)


def _stock_row(row: Stock) -> tuple[object, ...]:
    return (
        row.sku,
        row.description,
        row.unit_price_minor,
        row.currency,
        row.received,
        row.adjusted,
        row.held,
        row.shipped,
    )


def _reservation_row(row: Reservation) -> tuple[object, ...]:
    return (
        row.order_id,
        row.reservation_id,
        row.state,
        to_json(row.lines).decode(),
        row.currency,
        row.refusal.reason if row.refusal else None,
        row.refusal.message if row.refusal else None,
        row.created_at,
        row.updated_at,
        row.partition,
        row.expires_at,
        row.announce_at,
    )


def reservation_of(row: Any) -> Reservation:
    """From a row with the `RESERVATION_COLUMNS`."""
    reason = row["refusal_reason"]
    return Reservation(
        order_id=row["order_id"],
        reservation_id=row["reservation_id"],
        state=row["state"],
        lines=_LINES.validate_json(row["lines"]),
        currency=row["currency"],
        refusal=None if reason is None else Refusal(reason, row["refusal_message"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        partition=row["partition"],
        expires_at=row["expires_at"],
        announce_at=row["announce_at"],
        announced=row["announced"],
    )
