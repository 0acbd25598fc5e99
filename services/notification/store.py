"""Notification's tables: read with one query each, written with one set-based statement each."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Protocol

import asyncpg

from messaging.postgres import PostgresTransaction
from services.notification.domain import EVENT_OF, Contact, Mail, MailKey

LOAD_MAILS: Final = """
SELECT order_id, kind, cause, customer_id, message_id, status, attempts, lookups, last_error, event::text,
    ended_at, created_at, sent_at
FROM mail WHERE order_id = ANY ($1::text[])
"""

LOAD_CONTACTS: Final = """
SELECT customer_id, name, email, registered_at, erased, sequence FROM contact WHERE customer_id = ANY ($1::text[])
"""

SAVE_MAILS: Final = """
INSERT INTO mail (order_id, kind, cause, customer_id, message_id, status, attempts, lookups, last_error, event,
    ended_at, created_at, sent_at)
SELECT r.order_id, r.kind, r.cause, r.customer_id, r.message_id, r.status, r.attempts, r.lookups, r.last_error, r.event::jsonb,
    r.ended_at, r.created_at, r.sent_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::integer[], $9::text[],
    $10::text[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[])
    AS r (order_id, kind, cause, customer_id, message_id, status, attempts, lookups, last_error, event,
        ended_at, created_at, sent_at)
ON CONFLICT (order_id, kind) DO UPDATE
SET status = excluded.status, attempts = excluded.attempts, lookups = excluded.lookups, last_error = excluded.last_error,
    event = excluded.event, sent_at = excluded.sent_at
RETURNING 1
"""

SAVE_CONTACTS: Final = """
INSERT INTO contact (customer_id, name, email, registered_at, erased, sequence)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[], $6::bigint[])
ON CONFLICT (customer_id) DO UPDATE
SET name = excluded.name, email = excluded.email, registered_at = excluded.registered_at, erased = excluded.erased,
    sequence = excluded.sequence
RETURNING 1
"""


class MailStore(Protocol):
    """Where the handler's state lives."""

    async def load_mails(self, transaction: Any, order_ids: Collection[str]) -> dict[MailKey, Mail]:
        """The mails about these orders."""

    async def load_contacts(self, transaction: Any, customer_ids: Collection[str]) -> dict[str, Contact]:
        """The customers among these that are known, or were before they were erased."""

    def stage_mails(self, transaction: Any, mails: Collection[Mail]) -> None:
        """Mails, new or changed."""

    def stage_contacts(self, transaction: Any, contacts: Collection[Contact]) -> None:
        """Customers, new or changed."""


class PostgresMails:
    """`MailStore` on PostgreSQL."""

    async def load_mails(self, transaction: PostgresTransaction, order_ids: Collection[str]) -> dict[MailKey, Mail]:
        """See `MailStore.load_mails`."""
        rows = await transaction.fetch(LOAD_MAILS, list(order_ids))
        return {(row["order_id"], row["kind"]): _mail(row) for row in rows}

    async def load_contacts(
        self, transaction: PostgresTransaction, customer_ids: Collection[str]
    ) -> dict[str, Contact]:
        """See `MailStore.load_contacts`."""
        rows = await transaction.fetch(LOAD_CONTACTS, list(customer_ids))
        return {row["customer_id"]: Contact(*row.values()) for row in rows}

    def stage_mails(self, transaction: PostgresTransaction, mails: Collection[Mail]) -> None:
        """See `MailStore.stage_mails`."""
        rows = [_columns(mail) for mail in mails]
        if rows:
            transaction.stage("mails", SAVE_MAILS, *map(list, zip(*rows, strict=True)), rows=len(rows))

    def stage_contacts(self, transaction: PostgresTransaction, contacts: Collection[Contact]) -> None:
        """See `MailStore.stage_contacts`."""
        rows = [(c.customer_id, c.name, c.email, c.registered_at, c.erased, c.sequence) for c in contacts]
        if rows:
            transaction.stage("contacts", SAVE_CONTACTS, *map(list, zip(*rows, strict=True)), rows=len(rows))


def _mail(row: asyncpg.Record) -> Mail:
    event = None if row["event"] is None else EVENT_OF[row["kind"]].model_validate_json(row["event"])
    return Mail(**{**row, "event": event})


def _columns(mail: Mail) -> tuple[Any, ...]:
    return (
        mail.order_id,
        mail.kind,
        mail.cause,
        mail.customer_id,
        mail.message_id,
        mail.status,
        mail.attempts,
        mail.lookups,
        mail.last_error,
        None if mail.event is None else mail.event.model_dump_json(),
        mail.ended_at,
        mail.created_at,
        mail.sent_at,
    )
