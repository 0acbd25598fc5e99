"""Orders, verdicts and history in PostgreSQL. Also the interface that the in-memory twin keeps."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import asyncpg
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from contracts.orders import LineItemAdded
from contracts.values import CommandData
from messaging.logs import get_logger
from messaging.postgres import PostgresTransaction
from messaging.stamp import Stamped
from services.orders.archive_sql import RESTORE
from services.orders.domain import Order, Verdict, View
from services.orders.domain.state import Command
from services.orders.history import Entry, entries

log = get_logger(__name__)

#: So many verdicts of a key are read. Where there are more (all commands that name no order are answered under `unknown`), those on
#: the commands at hand are looked up instead.
MOST_VERDICTS: Final = 1_000

# One query for a whole batch: the state of every key and the verdicts given under it; or that it is in the archive.
LOAD: Final = f"""
SELECT k.key, o.state::text AS state, coalesce(o.version, 0) AS version, c.commands, c.told, coalesce(a.archived, false) AS archived
FROM unnest($1::text[]) AS k (key)
LEFT JOIN orders AS o ON o.order_id = k.key
LEFT JOIN LATERAL (
    SELECT true AS archived FROM archive WHERE archive.order_id = k.key AND o.order_id IS NULL LIMIT 1
) AS a ON true
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_array(source, id, type, accepted, reason, message))::text AS commands, count(*) AS told
    FROM (SELECT * FROM command WHERE command.order_id = k.key LIMIT {MOST_VERDICTS + 1}) AS c
) AS c ON true
"""

# The verdicts on these commands.
LOAD_VERDICTS: Final = """
SELECT c.order_id, c.source, c.id, c.type, c.accepted, c.reason, c.message
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (key, source, id)
JOIN command AS c ON c.order_id = k.key AND c.source = k.source AND c.id = k.id
"""

# One order, wherever it is, as `read_view` reads it, with the verdict on one command if there is one.
LOOK: Final = """
SELECT (SELECT state::text FROM every_order WHERE order_id = $1) AS state, (
    SELECT json_agg(json_build_array(source, id, type, accepted, reason, message))::text
    FROM every_command WHERE order_id = $1 AND source = $2 AND id = $3
) AS commands
"""

# The version is the guard: a row that is not as it was read is not returned, and the batch is undone. One that was read and is
# not there any more (it went into the archive) is not made anew: a trigger refuses to (migrations/0007_archive.sql).
SAVE_ORDERS: Final = """
INSERT INTO orders AS o (order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, deadline,
                         customer_id, currency, total_minor, items, created_at, updated_at, state, paused)
SELECT r.order_id, r.version, r.workflow, r.workflow_version, r.status, r.phase, r.reason, r.waiting_for, r.deadline,
       r.customer_id, r.currency, r.total_minor, r.items::json, r.created_at, r.updated_at, r.state::json, r.paused
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::timestamptz[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::timestamptz[],
            $15::timestamptz[], $16::text[], $17::boolean[])
    AS r (order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, deadline,
          customer_id, currency, total_minor, items, created_at, updated_at, state, paused)
ON CONFLICT (order_id) DO UPDATE
SET version = excluded.version, status = excluded.status, phase = excluded.phase, reason = excluded.reason,
    waiting_for = excluded.waiting_for, deadline = excluded.deadline, currency = excluded.currency,
    total_minor = excluded.total_minor, items = excluded.items, updated_at = excluded.updated_at, state = excluded.state,
    paused = excluded.paused
WHERE o.version = excluded.version - 1
RETURNING 1
"""

# A verdict may be settled once, and never changed after that; what was asked is written when it is first known.
SAVE_COMMANDS: Final = """
INSERT INTO command AS c (order_id, source, id, type, accepted, reason, message, at, data)
SELECT r.order_id, r.source, r.id, r.type, r.accepted, r.reason, r.message, r.at, r.data::json
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::text[], $8::timestamptz[], $9::text[])
    AS r (order_id, source, id, type, accepted, reason, message, at, data)
ON CONFLICT (order_id, source, id) DO UPDATE
SET accepted = excluded.accepted, reason = excluded.reason, message = excluded.message
WHERE c.accepted IS NULL
RETURNING 1
"""

ADD_HISTORY: Final = """
INSERT INTO history (order_id, seq, at, type, event_id, data, sent, cause, cause_type, cause_at, cause_topic, cause_partition,
                     cause_offset, answers, worker)
SELECT r.order_id, r.seq, r.at, r.type, r.event_id, r.data::json, r.sent::json, r.cause, r.cause_type, r.cause_at, r.cause_topic,
       r.cause_partition, r.cause_offset, r.answers, $15
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::timestamptz[], $11::text[], $12::integer[], $13::bigint[], $14::text[])
    AS r (order_id, seq, at, type, event_id, data, sent, cause, cause_type, cause_at, cause_topic, cause_partition, cause_offset,
          answers)
"""

# Which orders have a line of a SKU, for lists.
ADD_SKUS: Final = """
INSERT INTO order_sku (sku, created_at, order_id)
SELECT r.sku, r.created_at, r.order_id
FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS r (sku, created_at, order_id)
ON CONFLICT DO NOTHING
"""

_ORDER: Final[TypeAdapter[Order]] = TypeAdapter(Order)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch changes: the new state of orders with the version it makes, verdicts with what was asked (None where an answer
    settled them), and everything that was said, for the history."""

    orders: Sequence[tuple[Order, int]]
    verdicts: Sequence[tuple[str, Verdict, CommandData | None]]
    history: Sequence[Stamped]
    at: datetime


class Kept(NamedTuple):
    """What is kept of a key: its view, and the version of its row (0: there is none). `whole`: every verdict is there; else those
    that were asked for."""

    view: View
    version: int
    whole: bool = True


#: A command's source and id.
Named = tuple[str, str]


class OrdersStore(Protocol):
    """Where orders are kept."""

    async def load(self, transaction: Any, asked: Mapping[str, Collection[Named]]) -> Mapping[str, Kept]:
        """What is kept of these keys; the verdicts on the named commands, if on no others."""

    def stage(self, transaction: Any, changes: Changes) -> None:
        """Stage the changes for the batch's commit."""


def dump_order(order: Order) -> str:
    """The state as JSON, without what is at its default: a third of the bytes, which are written with every step. So a default
    of what is stored never changes its meaning; what would, is a field of its own."""
    return _ORDER.dump_json(order, exclude_defaults=True).decode()


def dump_asked(data: CommandData) -> str:
    """What a command asked for, as its sender wrote it: without the defaults."""
    return data.model_dump_json(exclude_unset=True)


def parse_order(state: str) -> Order:
    """The state from its JSON."""
    return _ORDER.validate_json(state)


class PostgresOrders:
    """See `OrdersStore`. `worker` is the identity of the process, which stands in the history."""

    def __init__(self, worker: str) -> None:
        self._worker = worker

    async def load(
        self, transaction: PostgresTransaction, asked: Mapping[str, Collection[Named]]
    ) -> Mapping[str, Kept]:
        """See `OrdersStore.load`."""
        rows = await transaction.fetch(LOAD, list(asked))
        archived = [row["key"] for row in rows if row["archived"]]
        if archived:
            # Whoever comes for one of them finds it where it was, and decides as ever.
            await transaction.fetch(RESTORE, archived)
            log.info("orders-restored", count=len(archived))
            rows = await transaction.fetch(LOAD, list(asked))
        kept = {row["key"]: Kept(read_view(row), row["version"]) for row in rows}
        many = {row["key"] for row in rows if row["told"] > MOST_VERDICTS}
        if many:
            told = await self._verdicts(transaction, {key: asked[key] for key in many})
            kept |= {key: Kept(View(kept[key].view.order, told[key]), kept[key].version, whole=False) for key in many}
        return kept

    async def _verdicts(
        self, transaction: PostgresTransaction, asked: Mapping[str, Collection[Named]]
    ) -> Mapping[str, dict[Named, Verdict]]:
        wanted = [(key, source, command_id) for key, named in asked.items() for source, command_id in named]
        found: dict[str, dict[Named, Verdict]] = {key: {} for key in asked}
        for row in await transaction.fetch(LOAD_VERDICTS, *(_columns(wanted) if wanted else ([], [], []))):
            key, source, command_id, kind, *told = row
            found[key][source, command_id] = Verdict(Command(source, command_id, kind), *told)
        return found

    def stage(self, transaction: PostgresTransaction, changes: Changes) -> None:
        """See `OrdersStore.stage`."""
        if changes.orders:
            rows = [_order_row(order, version) for order, version in changes.orders]
            transaction.stage("orders_saved", SAVE_ORDERS, *_columns(rows), rows=len(rows))
        lines = _new_lines(changes)
        if lines:
            transaction.stage("skus_added", ADD_SKUS, *_columns(lines))
        # A command that is asked and settled within one batch is one row.
        settled: dict[tuple[str, str, str], tuple[Verdict, CommandData | None]] = {}
        for key, verdict, asked in changes.verdicts:
            ids = (key, verdict.command.source, verdict.command.id)
            settled[ids] = (verdict, asked or settled.get(ids, (verdict, None))[1])
        if settled:
            rows = [
                (*ids, v.command.type, v.accepted, v.reason, v.message, changes.at, asked and dump_asked(asked))
                for ids, (v, asked) in settled.items()
            ]
            transaction.stage("commands_saved", SAVE_COMMANDS, *_columns(rows), rows=len(rows))
        if changes.history:
            rows = [_history_row(entry) for entry in entries(changes.history)]
            transaction.stage("history_added", ADD_HISTORY, *_columns(rows), self._worker)


def _new_lines(changes: Changes) -> list[tuple[str, datetime, str]]:
    """The SKUs that orders have now and did not have before, once each."""
    orders = {order.order_id: order for order, _ in changes.orders}
    found = {(item.sku, order.order_id) for order, version in changes.orders if version == 1 for item in order.items}
    found |= {(said.data.sku, said.key) for said in changes.history if isinstance(said.data, LineItemAdded)}
    return [(sku, orders[order_id].created_at, order_id) for sku, order_id in sorted(found)]


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _history_row(entry: Entry) -> tuple[Any, ...]:
    said, cause = entry.said, entry.said.caused_by
    return (
        said.key,
        said.seq,
        said.at,
        said.type,
        said.event_id,
        _json(said.data),
        f"[{','.join(map(_request, entry.sent))}]" if entry.sent else None,
        cause.id,
        cause.type,
        cause.at,
        cause.topic,
        cause.partition,
        cause.offset,
        cause.answers,
    )


def _request(said: Stamped) -> str:
    """A request as JSON. Neither its type nor its derived id holds anything that JSON would have to escape."""
    return f'{{"sequence":{said.seq},"type":"{said.type}","id":"{said.event_id}","data":{_json(said.data)}}}'


def _json(data: Any) -> str:
    return data.model_dump_json() if isinstance(data, BaseModel) else to_json(data).decode()


def _order_row(order: Order, version: int) -> tuple[Any, ...]:
    return (
        order.order_id,
        version,
        order.workflow,
        order.workflow_version,
        order.status,
        order.phase.value,
        order.reason,
        order.waiting_for,
        order.deadline,
        order.customer_id,
        order.currency,
        order.total_minor,
        to_json(order.items).decode(),
        order.created_at,
        order.updated_at,
        dump_order(order),
        order.paused_at is not None,
    )


def read_view(row: asyncpg.Record) -> View:
    """What is known of an order, from its row of `LOAD`."""
    order = None if row["state"] is None else parse_order(row["state"])
    told = json.loads(row["commands"]) if row["commands"] else []
    verdicts = {
        (source, command_id): Verdict(Command(source, command_id, kind), accepted, reason, message)
        for source, command_id, kind, accepted, reason, message in told
    }
    return View(order, verdicts)
