"""The customer service's tables: read with one query each, written with one set-based statement each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from contracts.customer import CommandRejected, CustomerRegistered
from contracts.registry import TYPE_OF
from messaging.postgres import PostgresTransaction
from services.customer.domain import Answer, CommandKey, Customer

LOAD_CUSTOMERS: Final = """
SELECT customer_id, name, email, registered_at, updated_at FROM customer WHERE customer_id = ANY ($1::text[])
"""

LOAD_ANSWERS: Final = """
SELECT a.source, a.command_id, a.type, a.data::text
FROM unnest($1::text[], $2::text[]) AS k (source, command_id) JOIN answer a USING (source, command_id)
"""

SAVE_CUSTOMERS: Final = """
INSERT INTO customer AS c (customer_id, name, email, registered_at, updated_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (customer_id) DO UPDATE SET name = excluded.name, email = excluded.email, updated_at = excluded.updated_at
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

_MODEL_OF: Final[dict[str, type[Answer]]] = {
    TYPE_OF[model][1]: model for model in (CustomerRegistered, CommandRejected)
}


class CustomerStore(Protocol):
    """Where the handler's state lives."""

    async def load_customers(self, transaction: Any, ids: Collection[str]) -> dict[str, Customer]:
        """The customers among `ids` that are known."""

    async def load_answers(self, transaction: Any, commands: Collection[CommandKey]) -> dict[CommandKey, Answer]:
        """What those of `commands` that were answered before were told."""

    def stage_customers(self, transaction: Any, customers: Collection[Customer]) -> None:
        """Customers, new or changed."""

    def stage_answers(self, transaction: Any, answers: Mapping[CommandKey, Answer], now: datetime) -> None:
        """New answers. The commit raises `StaleRowError` where somebody else has answered one of them meanwhile."""


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

    def stage_customers(self, transaction: PostgresTransaction, customers: Collection[Customer]) -> None:
        """See `CustomerStore.stage_customers`."""
        rows = [(c.customer_id, c.name, c.email, c.registered_at, c.updated_at) for c in customers]
        if rows:
            transaction.stage("customers", SAVE_CUSTOMERS, *map(list, zip(*rows, strict=True)), rows=len(rows))

    def stage_answers(
        self, transaction: PostgresTransaction, answers: Mapping[CommandKey, Answer], now: datetime
    ) -> None:
        """See `CustomerStore.stage_answers`."""
        # In one order everywhere, so that two partitions with the same commands cannot wait for each other.
        rows = [(*key, TYPE_OF[type(answers[key])][1], answers[key].model_dump_json()) for key in sorted(answers)]
        if rows:
            columns = map(list, zip(*rows, strict=True))
            transaction.stage("answers", ADD_ANSWERS, *columns, now, rows=len(rows))
