"""The participants: each answers a command with an event, or follows the orders' events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from pydantic_core import from_json, to_json

from benchmarks.peers.usual.consumer import Message, Out, Service, one
from contracts import topics

_COMPLETED: Final = "orders.order-completed.v1"

_LEVELS: Final = "SELECT sku, on_hand, unit_price_minor FROM stock WHERE sku = any($1)"
_HOLD: Final = """
UPDATE stock SET on_hand = on_hand - $2, held = held + $2 WHERE sku = $1 AND on_hand >= $2 RETURNING unit_price_minor
"""
_RESERVED: Final = "INSERT INTO reservation (order_id, state, items) VALUES ($1, 'held', $2)"
_SHIPPED: Final = "UPDATE reservation SET state = 'shipped' WHERE order_id = $1 AND state = 'held' RETURNING items"
_SHIP: Final = "UPDATE stock SET held = held - $2, shipped = shipped + $2 WHERE sku = $1"

_INTEND: Final = """
INSERT INTO charge (charge_id, amount_minor, currency, status) VALUES ($1, $2, $3, 'pending') ON CONFLICT DO NOTHING
"""
_TAKE: Final = "INSERT INTO gateway_entry (charge_id, amount_minor) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_CAPTURED: Final = "UPDATE charge SET status = 'captured' WHERE charge_id = $1"

_CUSTOMER: Final = "SELECT customer_id, tier FROM customer WHERE customer_id = $1"
_TIER: Final = """
UPDATE customer SET completed = completed + 1, tier = CASE WHEN completed >= 100 THEN 'gold' ELSE tier END WHERE customer_id = $1
"""
_ALSO: Final = "SELECT skus FROM also_bought WHERE sku = any($1)"


async def inventory(db: asyncpg.Connection, message: Message) -> Sequence[Out]:
    """Check, hold, ship."""
    data = message.data
    match message.type:
        case "inventory.check-stock.v1":
            levels = [dict(row) for row in await db.fetch(_LEVELS, data["skus"])]
            return [_inventory("stock-checked", {"request_id": data["request_id"], "levels": levels})]
        case "inventory.reserve-stock.v1":
            items = [{**item, "unit_price_minor": await _hold(db, item)} for item in _in_order(data["items"])]
            await db.execute(_RESERVED, message.key, to_json(items).decode())
            told = {"reservation_id": data["reservation_id"], "items": items, "currency": "GBP"}
            return [_inventory("stock-reserved", told)]
        case _:
            items = from_json(await db.fetchval(_SHIPPED, message.key))
            for item in _in_order(items):
                await db.execute(_SHIP, item["sku"], item["quantity"])
            return [_inventory("stock-shipped", {"reservation_id": f"{message.key}-r", "items": items})]


async def _hold(db: asyncpg.Connection, item: dict[str, Any]) -> int:
    price = await db.fetchval(_HOLD, item["sku"], item["quantity"])
    if price is None:
        raise RuntimeError(f"{item['sku']} is out of stock; the benchmark's shop never is.")
    return int(price)


def _in_order(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: str(item["sku"]))


def _inventory(name: str, data: dict[str, Any]) -> Out:
    return Out(topics.INVENTORY_EVENTS, f"inventory.{name}.v1", data)


async def take_payment(db: asyncpg.Connection, message: Message) -> None:
    """The intent, committed; the call to the gateway, whose ledger is a table here as it is there. Both may be repeated."""
    data = message.data
    await db.execute(_INTEND, data["charge_id"], data["amount_minor"], data["currency"])
    await db.execute(_TAKE, data["charge_id"], data["amount_minor"])


async def payment(db: asyncpg.Connection, message: Message) -> Sequence[Out]:
    """The outcome, recorded and told."""
    await db.execute(_CAPTURED, message.data["charge_id"])
    return [Out(topics.PAYMENT_EVENTS, "payment.charge-captured.v1", message.data)]


async def customer(db: asyncpg.Connection, message: Message) -> Sequence[Out]:
    """Look up; count what was completed."""
    if message.type == _COMPLETED:
        await db.execute(_TIER, message.data["customer_id"])
        return ()
    row = await one(db, _CUSTOMER, message.data["customer_id"])
    return [Out(topics.CUSTOMER_EVENTS, "customer.customer-found.v1", dict(row))]


async def recommendation(db: asyncpg.Connection, message: Message) -> Sequence[Out]:
    """What is bought together with these."""
    rows = await db.fetch(_ALSO, message.data["skus"])
    told = {"request_id": message.data["request_id"], "skus": [sku for row in rows for sku in from_json(row["skus"])]}
    return [Out(topics.RECOMMENDATION_EVENTS, "recommendation.recommended.v1", told)]


PARTICIPANTS: Final = (
    Service(
        "inventory",
        (topics.INVENTORY_COMMANDS, topics.ORDERS_EVENTS),
        frozenset({"inventory.check-stock.v1", "inventory.reserve-stock.v1", _COMPLETED}),
        inventory,
    ),
    Service("payment", (topics.PAYMENT_COMMANDS,), frozenset({"payment.charge.v1"}), payment, take_payment),
    Service(
        "customer",
        (topics.CUSTOMER_COMMANDS, topics.ORDERS_EVENTS),
        frozenset({"customer.look-up-customer.v1", _COMPLETED}),
        customer,
    ),
    Service(
        "recommendation",
        (topics.RECOMMENDATION_COMMANDS,),
        frozenset({"recommendation.recommend.v1"}),
        recommendation,
    ),
)
