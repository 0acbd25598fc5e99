"""The orchestrator: the order's row is locked, changed and written with each message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from pydantic_core import from_json, to_json

from benchmarks.peers.usual.consumer import Message, Out, Service, one
from contracts import topics

_INSERT: Final = """
INSERT INTO orders (order_id, status, customer_id, items, payment_method) VALUES ($1, 'ENRICHING', $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING order_id
"""
_ENRICH: Final = """
UPDATE orders SET enriched = enriched | $2, updated_at = now() WHERE order_id = $1 RETURNING enriched, items, customer_id
"""
_RESERVE: Final = """
UPDATE orders SET reserved = true, total_minor = $2, currency = $3, items = $4, updated_at = now(),
    status = CASE WHEN approved THEN 'PAYING' ELSE 'AWAITING_APPROVAL' END
WHERE order_id = $1 RETURNING approved, total_minor, currency, payment_method
"""
_APPROVE: Final = """
UPDATE orders SET approved = true, updated_at = now(), status = CASE WHEN reserved THEN 'PAYING' ELSE status END
WHERE order_id = $1
RETURNING reserved, total_minor, currency, payment_method
"""
_COMPLETE: Final = """
UPDATE orders SET status = 'COMPLETED', updated_at = now() WHERE order_id = $1
RETURNING items, total_minor, currency, customer_id
"""
_HISTORY: Final = "INSERT INTO history (order_id, type, data) SELECT $1, * FROM unnest($2::text[], $3::jsonb[])"

_ENRICHED_BY: Final = {
    "customer.customer-found.v1": 1,
    "inventory.stock-checked.v1": 2,
    "recommendation.recommended.v1": 4,
}


async def handle(db: asyncpg.Connection, message: Message) -> Sequence[Out]:
    """One message about one order."""
    outs = await _decide(db, message)
    events = [out for out in outs if out.topic == topics.ORDERS_EVENTS]
    if events:
        await db.execute(_HISTORY, message.key, [e.type for e in events], [to_json(e.data).decode() for e in events])
    return outs


async def _decide(db: asyncpg.Connection, message: Message) -> Sequence[Out]:
    data = message.data
    match message.type:
        case "orders.start-order.v1":
            return await _start(db, message)
        case "orders.approve-payment.v1":
            row = await one(db, _APPROVE, message.key)
            return [_accepted(message), *(_charge(message.key, row) if row["reserved"] else ())]
        case "inventory.stock-reserved.v1":
            total = sum(item["quantity"] * item["unit_price_minor"] for item in data["items"])
            row = await one(db, _RESERVE, message.key, total, data["currency"], to_json(data["items"]).decode())
            event = _event("stock-reserved", {**data, "total_minor": total})
            return [event, *(_charge(message.key, row) if row["approved"] else ())]
        case "payment.charge-captured.v1":
            row = await one(db, _COMPLETE, message.key)
            order = {**dict(row), "items": from_json(row["items"])}
            return [_event("payment-captured", data), _event("order-completed", order)]
        case _:
            return await _enrich(db, message)


async def _start(db: asyncpg.Connection, message: Message) -> Sequence[Out]:
    data, order_id = message.data, message.key
    method = data.get("payment_method", "pm_card_visa")
    if await db.fetchval(_INSERT, order_id, data["customer_id"], to_json(data["items"]).decode(), method) is None:
        return [_accepted(message, duplicate=True)]
    skus = [item["sku"] for item in data["items"]]
    return [
        _accepted(message),
        _event("order-started", {"workflow": "order", "workflow_version": 2, **data}),
        Out(topics.CUSTOMER_COMMANDS, "customer.look-up-customer.v1", {"customer_id": data["customer_id"]}),
        Out(topics.INVENTORY_COMMANDS, "inventory.check-stock.v1", {"request_id": order_id, "skus": skus}),
        Out(topics.RECOMMENDATION_COMMANDS, "recommendation.recommend.v1", {"request_id": order_id, "skus": skus}),
    ]


async def _enrich(db: asyncpg.Connection, message: Message) -> Sequence[Out]:
    row = await one(db, _ENRICH, message.key, _ENRICHED_BY[message.type])
    if row["enriched"] != 7:
        return ()
    return [
        _event("order-enriched", {"customer_id": row["customer_id"]}),
        Out(
            topics.INVENTORY_COMMANDS,
            "inventory.reserve-stock.v1",
            {"reservation_id": f"{message.key}-r", "items": from_json(row["items"])},
        ),
    ]


def _charge(order_id: str, row: Any) -> Sequence[Out]:
    charge = {
        "charge_id": f"{order_id}-c",
        "amount_minor": row["total_minor"],
        "currency": row["currency"],
        "payment_method": row["payment_method"],
    }
    approved = _event("payment-approved", {"approved_by": "load"})
    return [approved, Out(topics.PAYMENT_COMMANDS, "payment.charge.v1", charge)]


def _event(name: str, data: dict[str, Any]) -> Out:
    return Out(topics.ORDERS_EVENTS, f"orders.{name}.v1", data)


def _accepted(message: Message, duplicate: bool = False) -> Out:
    verdict = {"command_id": message.id, "command_type": message.type, "duplicate": duplicate}
    return _event("command-accepted", verdict)


ORDERS: Final = Service(
    "orders",
    (
        topics.ORDERS_COMMANDS,
        topics.INVENTORY_EVENTS,
        topics.PAYMENT_EVENTS,
        topics.CUSTOMER_EVENTS,
        topics.RECOMMENDATION_EVENTS,
    ),
    frozenset(
        {
            "orders.start-order.v1",
            "orders.approve-payment.v1",
            "inventory.stock-reserved.v1",
            "payment.charge-captured.v1",
            *_ENRICHED_BY,
        }
    ),
    handle,
)
