"""The customer service's tables: read with one query each, written with one set-based statement each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from contracts.customer import CommandRejected, CustomerErased, CustomerRegistered
from contracts.registry import TYPE_OF
from messaging.postgres import PostgresTransaction
from services.customer.domain import Answer, CommandKey, Customer, Erasure

LOAD_CUSTOMERS: Final = """
SELECT customer_id, name, email, registered_at, updated_at, erased_at FROM customer WHERE customer_id = ANY ($1::text[])
"""

LOAD_ANSWERS: Final = """
SELECT a.source, a.command_id, a.type, a.data::text
FROM unnest($1::text[], $2::text[]) AS k (source, command_id) JOIN answer a USING (source, command_id)
"""

LOAD_COUNTED: Final = "SELECT order_id FROM counted_order WHERE order_id = ANY ($1::text[])"

LOAD_COMPLETED: Final = "SELECT customer_id, completed_orders FROM loyalty WHERE customer_id = ANY ($1::text[])"

SAVE_CUSTOMERS: Final = """
INSERT INTO customer AS c (customer_id, name, email, registered_at, updated_at, erased_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
ON CONFLICT (customer_id) DO UPDATE
SET name = excluded.name, email = excluded.email, updated_at = excluded.updated_at, erased_at = excluded.erased_at
RETURNING 1
"""

# The same command under two keys may be decided by two partitions at once. The later one writes a row less than it asked for:
# its batch is undone, and decided again it finds the answer.
ADD_ANSWERS: Final = """
INSERT INTO answer (source, command_id, type, data, at)
SELECT r.source, r.command_id, r.type, r.data::jsonb, $5
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS r (source, command_id, type, data)
ON CONFLICT (source, command_id) DO NOTHING
RETURNING 1
"""

# What `without_address` does to an answer. It reaches those that were there before the batch; the batch adds its own as they are
# to stay.
FORGET_ANSWERS: Final = """
UPDATE answer SET type = 'customer.customer-erased.v1', data = data - ARRAY['name', 'email']
WHERE type = 'customer.customer-registered.v1' AND data ->> 'customer_id' = ANY ($1::text[])
"""

ADD_ERASURES: Final = """
INSERT INTO erasure (source, command_id, customer_id, operator, reason, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
ON CONFLICT (source, command_id) DO NOTHING
"""

# An order's row is written by the owner of its partition alone; a row that is there already undoes the batch, and with it the
# counts below.
ADD_COUNTED: Final = """
INSERT INTO counted_order (order_id, customer_id, at)
SELECT r.order_id, r.customer_id, $3 FROM unnest($1::text[], $2::text[]) AS r (order_id, customer_id)
ON CONFLICT (order_id) DO NOTHING
RETURNING 1
"""

# All partitions add to the same counts. Whoever adds in the order of the customers never waits for one who waits for him.
ADD_COMPLETED: Final = """
INSERT INTO loyalty (customer_id, completed_orders)
SELECT r.customer_id, r.orders FROM unnest($1::text[], $2::bigint[]) AS r (customer_id, orders) ORDER BY r.customer_id
ON CONFLICT (customer_id) DO UPDATE SET completed_orders = loyalty.completed_orders + excluded.completed_orders
RETURNING 1
"""

_MODEL_OF: Final[dict[str, type[Answer]]] = {
    TYPE_OF[model][1]: model for model in (CustomerRegistered, CustomerErased, CommandRejected)
}


@dataclass(slots=True)
class Loaded:
    """What is known of everything that a batch is about; the batch keeps it up to date as it goes. `completed` counts orders
    by customer, `counted` are the orders that are in those counts."""

    customers: dict[str, Customer] = field(default_factory=dict)
    answers: dict[CommandKey, Answer] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)
    completed: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Writes:
    """What one batch changed. `counted`: the customers of newly counted orders, by order; `erased`: whose earlier answers lose
    name and address; `at`: when it was decided."""

    at: datetime | None = None
    answers: dict[CommandKey, Answer] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    erasures: list[Erasure] = field(default_factory=list)
    counted: dict[str, str] = field(default_factory=dict)


class CustomerStore(Protocol):
    """Where the handler's state lives."""

    async def load_customers(self, transaction: Any, ids: Collection[str]) -> dict[str, Customer]:
        """The customers among `ids` that are known."""

    async def load_answers(self, transaction: Any, commands: Collection[CommandKey]) -> dict[CommandKey, Answer]:
        """What those of `commands` that were answered before were told."""

    async def load_counted(self, transaction: Any, order_ids: Collection[str]) -> set[str]:
        """The orders among these that are counted."""

    async def load_completed(self, transaction: Any, ids: Collection[str]) -> dict[str, int]:
        """How many orders those customers among `ids` completed who completed any."""

    def stage(self, transaction: Any, writes: Writes) -> None:
        """Stage everything for the commit. The commit raises `StaleRowError` where somebody else has answered one of the commands
        or counted one of the orders meanwhile."""


class PostgresCustomers:
    """`CustomerStore` on PostgreSQL."""

    async def load_customers(self, transaction: PostgresTransaction, ids: Collection[str]) -> dict[str, Customer]:
        """See `CustomerStore.load_customers`."""
        rows = await transaction.fetch(LOAD_CUSTOMERS, list(ids))
        return {row["customer_id"]: Customer(*row.values()) for row in rows}

    async def load_answers(
        self, transaction: PostgresTransaction, commands: Collection[CommandKey]
    ) -> dict[CommandKey, Answer]:
        """See `CustomerStore.load_answers`."""
        sources, ids = [source for source, _ in commands], [command_id for _, command_id in commands]
        rows = await transaction.fetch(LOAD_ANSWERS, sources, ids)
        return {
            (row["source"], row["command_id"]): _MODEL_OF[row["type"]].model_validate_json(row["data"]) for row in rows
        }

    async def load_counted(self, transaction: PostgresTransaction, order_ids: Collection[str]) -> set[str]:
        """See `CustomerStore.load_counted`."""
        return {row["order_id"] for row in await transaction.fetch(LOAD_COUNTED, list(order_ids))}

    async def load_completed(self, transaction: PostgresTransaction, ids: Collection[str]) -> dict[str, int]:
        """See `CustomerStore.load_completed`."""
        rows = await transaction.fetch(LOAD_COMPLETED, list(ids))
        return {row["customer_id"]: row["completed_orders"] for row in rows}

    def stage(self, transaction: PostgresTransaction, writes: Writes) -> None:
        """See `CustomerStore.stage`."""
        # In one order everywhere, so that two partitions with the same commands cannot wait for each other.
        answers = [(*key, TYPE_OF[type(a)][1], a.model_dump_json()) for key, a in sorted(writes.answers.items())]
        _stage(transaction, "answers", ADD_ANSWERS, answers, writes.at)
        customers = [
            (c.customer_id, c.name, c.email, c.registered_at, c.updated_at, c.erased_at)
            for c in writes.customers.values()
        ]
        _stage(transaction, "customers", SAVE_CUSTOMERS, customers)
        _stage(transaction, "counted", ADD_COUNTED, list(writes.counted.items()), writes.at)
        _stage(transaction, "completed", ADD_COMPLETED, list(Counter(writes.counted.values()).items()))
        if writes.erased:
            transaction.stage("answers_forgotten", FORGET_ANSWERS, sorted(writes.erased))
        if writes.erasures:
            erasures = [(e.source, e.command_id, e.customer_id, e.operator, e.reason, e.at) for e in writes.erasures]
            transaction.stage("erasures", ADD_ERASURES, *map(list, zip(*erasures, strict=True)))


def _stage(
    transaction: PostgresTransaction, name: str, text: str, rows: Sequence[tuple[object, ...]], *more: object
) -> None:
    """A statement for as many rows, all of which have to be written; `more` are its arguments behind the columns."""
    if rows:
        transaction.stage(name, text, *map(list, zip(*rows, strict=True)), *more, rows=len(rows))
