"""Every table of every service twice: as the memory stores hold it, and as PostgreSQL does, as rows that can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from pydantic import BaseModel

from contracts.registry import TYPE_OF
from messaging.memory import MemoryDatabase
from messaging.ports import wire_headers
from messaging.postgres_lanes import headers_of
from services.orders.store import dump_order, parse_order
from simulation import views
from simulation.parts import Parts

#: A table: rows as tuples of plain values, in no order.
Rows = list[tuple[Any, ...]]
Tables = dict[str, Rows]

#: What is compared of each table of the runtime, which every service has. When rows were written is the server's own business.
RUNTIME: Final = {
    "partition_ownership": """
        SELECT partition, epoch, owner, offsets::text, next_seq, published_seq, acked::text FROM partition_ownership""",
    "outbox": "SELECT partition, seq, target, topic, type, key, value, headers::text FROM outbox",
    "published": """
        SELECT p.partition, u.seq, u.topic, u.at FROM published p, unnest(p.seqs, p.topics, p.offsets) AS u (seq, topic, at)""",
    "timer": "SELECT partition, key, name, step, due_at FROM timer",
    "effect": "SELECT partition, id, key, kind, request::text FROM effect",
    "parked": """
        SELECT partition, place, key, topic, "offset", record_key, value, headers::text, appended_at, state, failures, error,
               operator, reason FROM parked""",
    "letter_done": 'SELECT topic, partition, "offset", act, outcome, operator, reason FROM letter_done',
}

SERVICE: Final[dict[str, dict[str, str]]] = {
    "orders": {
        "orders": """
            SELECT order_id, version, workflow, workflow_version, status, phase, reason, waiting_for, deadline, paused,
                   customer_id, currency, total_minor, items::text, created_at, updated_at, state::text FROM every_order""",
        "command": "SELECT order_id, source, id, type, accepted, reason, message FROM every_command",
        "history": """
            SELECT order_id, seq, at, type, event_id, data::text, sent::text, cause, cause_type, cause_at, cause_topic,
                   cause_partition, cause_offset, answers, worker FROM every_entry""",
    },
    "inventory": {
        "stock": """
            SELECT sku, description, unit_price_minor, currency, received, adjusted, held, shipped, on_hand FROM stock""",
        "reservation": """
            SELECT order_id, reservation_id, state, lines::text, currency, refusal_reason, refusal_message, created_at,
                   updated_at, partition, expires_at, announce_at, announced FROM reservation""",
        "shop_command": "SELECT key, source, id, type, answer::text FROM shop_command",
        "irregularity": "SELECT order_id, reservation_id, kind, state, cause, at FROM irregularity",
    },
    "payment": {
        "charge": """
            SELECT order_id, charge_id, status, amount_minor, currency, payment_method, attempt, attempt_end, message, failure,
                   void_attempt, void_end, void_message, void_failure, captured_minor, refunded_minor, version FROM charge""",
        "refund": """
            SELECT order_id, charge_id, refund_id, amount_minor, currency, own, attempt, attempt_end, message, failure
            FROM refund""",
    },
    "customer": {
        "customer": "SELECT customer_id, name, email, registered_at, updated_at, erased_at FROM customer",
        "answer": "SELECT source, command_id, type, data::text FROM answer",
        "counted_order": "SELECT order_id, customer_id FROM counted_order",
        "loyalty": "SELECT customer_id, completed_orders FROM loyalty",
        "erasure": "SELECT source, command_id, customer_id, operator, reason, at FROM erasure",
    },
    "recommendation": {},
    "notification": {
        "mail": """
            SELECT order_id, kind, cause, customer_id, message_id, status, attempts, lookups, last_error, event::text, ended_at,
                   created_at, sent_at FROM mail""",
        "contact": "SELECT customer_id, name, email, registered_at, erased, sequence FROM contact",
    },
}

#: Tables of which memory has no twin: what stands in them follows from others of the same database, or somebody forgot a row. Each
#: query finds what does not.
FOLLOWS: Final[dict[str, dict[str, str]]] = {
    "orders": {
        "order_sku": """
            SELECT coalesce(f.order_id, s.order_id), coalesce(f.sku, s.sku), f.sku IS NULL
            FROM (SELECT DISTINCT order_id, line ->> 'sku', created_at FROM orders, json_array_elements(items) AS line)
                AS f (order_id, sku, created_at)
            FULL JOIN order_sku AS s USING (order_id, sku, created_at) WHERE f.sku IS NULL OR s.sku IS NULL""",
        "archive": "SELECT order_id FROM archive JOIN orders USING (order_id)",
        "archive_sum": """
            SELECT what, word, reason, sum(total) FROM (
                SELECT what, word, reason, total FROM archive_sum
                UNION ALL SELECT 'status', status, '', -count(*) FROM archive GROUP BY status
                UNION ALL SELECT 'owed', currency, '', -sum(total_minor) FROM archive
                    WHERE status = 'COMPLETED' AND currency IS NOT NULL AND total_minor IS NOT NULL GROUP BY currency
                UNION ALL SELECT 'verdict',
                        CASE accepted WHEN true THEN 'accepted' WHEN false THEN 'rejected' ELSE 'undecided' END,
                        coalesce(reason, 'none'), -count(*)
                    FROM archive, json_populate_recordset(NULL::command, document -> 'commands') GROUP BY 2, 3
            ) AS s GROUP BY what, word, reason HAVING sum(total) <> 0""",
    }
}

#: Columns of JSON, which are compared by what they say.
_JSON: Final = frozenset({"offsets", "acked", "request", "items", "data", "sent", "lines", "answer", "event"})


async def stored(connection: asyncpg.Connection[asyncpg.Record], service: str) -> Tables:
    """What the service's database holds."""
    queries = {**RUNTIME, **SERVICE[service]}
    return {name: [_row(row) for row in await connection.fetch(query)] for name, query in queries.items()}


async def astray(connection: asyncpg.Connection[asyncpg.Record], service: str) -> list[str]:
    """What stands in a table of `FOLLOWS` and should not, or does not and should."""
    found = {name: await connection.fetch(query) for name, query in FOLLOWS.get(service, {}).items()}
    return [f"{name}: {[tuple(row) for row in rows[:3]]}" for name, rows in found.items() if rows]


def _row(row: asyncpg.Record) -> tuple[Any, ...]:
    return tuple(_value(name, value) for name, value in row.items())


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _JSON:
        return json.loads(value)
    if name == "headers":
        return list(headers_of(value))
    return _as_told(value) if name == "state" and value.startswith("{") else value


def _as_told(state: str) -> str:
    return dump_order(parse_order(state))


# --- memory -----------------------------------------------------------------------------------------------------------


def remembered(parts: Parts, service: str) -> Tables:
    """What the service's memory holds, as its database should."""
    return {**_runtime(parts.of[service].database), **_SERVICES[service](parts)}


def _plain(model: BaseModel) -> Any:
    return json.loads(model.model_dump_json())


def _runtime(database: MemoryDatabase) -> Tables:
    owned = sorted(database.ownership.items())
    return {
        "partition_ownership": [
            (p, o.epoch, None, dict(o.offsets), o.next_seq, o.published_seq, dict(o.acked)) for p, o in owned
        ],
        "outbox": [
            (
                p,
                w.seq,
                w.partition,
                w.topic,
                w.type,
                w.key,
                w.value,
                None if w.headers is None else list(wire_headers(w)),
            )
            for p, rows in database.outbox.items()
            for _, w in rows.values()
        ],
        "published": [(p, seq, row.topic, row.offset) for part in database.published for (p, seq), row in part.items()],
        "timer": [(p, t.key, t.name, t.step, t.due_at) for (p, _, _), t in database.timers.items()],
        "effect": [(p, e.id, e.key, e.kind, json.loads(e.request)) for (p, _), e in database.effects.items()],
        "parked": [
            (
                *(p, row.place, row.key, row.record.topic, row.record.offset, row.record.key, row.record.value),
                *(list(row.record.headers), row.record.timestamp, row.state, row.failures, row.error),
                *(row.operator, row.reason),
            )
            for (p, _), row in database.parked.items()
        ],
        "letter_done": [
            (d.letter.topic, d.letter.partition, d.letter.offset, d.act, d.outcome, d.operator, d.reason)
            for d in database.letters.values()
        ],
    }


def _orders(parts: Parts) -> Tables:
    kept = parts.orders
    orders: Rows = []
    for state, version in kept.states.values():
        order = parse_order(state)
        told = views.order_view(order)
        asked = ("reason", "waiting_for", "deadline", "paused", "customer_id", "currency", "total_minor", "items")
        known = order.order_id, version, order.workflow, order.workflow_version, order.status, order.phase.value
        orders.append((*known, *(told[name] for name in asked), order.created_at, order.updated_at, _as_told(state)))
    return {
        "orders": orders,
        "command": [
            (key, v.command.source, v.command.id, v.command.type, v.accepted, v.reason, v.message)
            for key, told in kept.verdicts.items()
            for v in told.values()
        ],
        "history": [_entry(key, entry) for key, entries in kept.history.items() for entry in entries],
    }


def _entry(key: str, entry: Any) -> tuple[Any, ...]:
    said, cause = entry.said, entry.said.caused_by
    sent = [{"sequence": s.seq, "type": s.type, "id": s.event_id, "data": _data(s.data)} for s in entry.sent] or None
    where = cause.id, cause.type, cause.at, cause.topic, cause.partition, cause.offset, cause.answers
    return (key, said.seq, said.at, said.type, said.event_id, _data(said.data), sent, *where, "replay")


def _data(data: Any) -> Any:
    return _plain(data) if isinstance(data, BaseModel) else data


def _inventory(parts: Parts) -> Tables:
    tables = parts.inventory
    return {
        "stock": [(*asdict(row).values(), row.on_hand) for row in tables.stock.values()],
        "reservation": [
            (
                *(r.order_id, r.reservation_id, r.state, [_plain(line) for line in r.lines], r.currency),
                *((None, None) if r.refusal is None else (r.refusal.reason, r.refusal.message)),
                *(r.created_at, r.updated_at, r.partition, r.expires_at, r.announce_at, r.announced),
            )
            for r in tables.reservations.values()
        ],
        "shop_command": [(*key, TYPE_OF[type(a)][1], _plain(a)) for key, a in tables.answers.items()],
        "irregularity": [tuple(asdict(found).values()) for found in tables.irregularities.values()],
    }


def _payment(parts: Parts) -> Tables:
    def line(one: Any) -> tuple[Any, ...]:
        return one.attempt, None if one.end is None else one.end.value, one.message, one.failure

    charges = parts.charges.all()
    return {
        "charge": [
            (
                *(c.order_id, c.charge_id, c.status.value, c.amount_minor, c.currency, c.payment_method),
                *line(c.call),
                *line(c.void),
                *(c.captured_minor, c.refunded_minor, c.version),
            )
            for c in charges
        ],
        "refund": [
            (c.order_id, c.charge_id, r.refund_id, r.amount_minor, r.currency, r.own, *line(r.line))
            for c in charges
            for r in c.refunds
        ],
    }


def _customer(parts: Parts) -> Tables:
    kept = parts.customers
    return {
        "customer": [tuple(asdict(customer).values()) for customer in kept.customers.values()],
        "answer": [(*key, TYPE_OF[type(a)][1], _plain(a)) for key, a in kept.answers.items()],
        "counted_order": list(kept.counted.items()),
        "loyalty": list(kept.completed.items()),
        "erasure": [(e.source, e.command_id, e.customer_id, e.operator, e.reason, e.at) for e in kept.erasures],
    }


def _notification(parts: Parts) -> Tables:
    kept = parts.notification
    return {
        "mail": [
            (
                *(
                    m.order_id,
                    m.kind,
                    m.cause,
                    m.customer_id,
                    m.message_id,
                    m.status,
                    m.attempts,
                    m.lookups,
                    m.last_error,
                ),
                *(None if m.event is None else _plain(m.event), m.ended_at, m.created_at, m.sent_at),
            )
            for m in kept.mails.values()
        ],
        "contact": [
            (c.customer_id, c.name, c.email, c.registered_at, c.erased, c.sequence) for c in kept.contacts.values()
        ],
    }


_SERVICES: Final[dict[str, Callable[[Parts], Tables]]] = {
    "orders": _orders,
    "inventory": _inventory,
    "payment": _payment,
    "customer": _customer,
    "recommendation": lambda parts: {},
    "notification": _notification,
}


def _told(row: tuple[Any, ...]) -> str:
    """The row as a text that is the same where the values are: neither the members of an object have an order, nor has UTC one way
    to be told."""
    return repr([_told_value(value) for value in row])


def _told_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


def differences(memory: Tables, database: Tables) -> Iterable[str]:
    """Rows that only one of the two has, in words."""
    for name in sorted(memory.keys() | database.keys()):
        ours, theirs = (sorted(map(_told, rows.get(name, []))) for rows in (memory, database))
        if ours != theirs:
            lacking, beyond = sorted(set(ours) - set(theirs))[:3], sorted(set(theirs) - set(ours))[:3]
            yield f"{name}: {len(ours)} rows in memory, {len(theirs)} in PostgreSQL; only here {lacking}, only there {beyond}"
