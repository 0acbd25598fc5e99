"""Records that make no sense, of every sort that the contract knows a fate for."""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

from contracts.topics import (
    CUSTOMER_COMMANDS,
    INVENTORY_COMMANDS,
    INVENTORY_EVENTS,
    ORDERS_COMMANDS,
    ORDERS_OPERATIONS,
    PAYMENT_COMMANDS,
    PAYMENT_EVENTS,
)

_NO_JSON: Final = ("", "{", "[]", "null", "\x00\x01\xff", '{"id": 1', '"text"', "[" * 60)
_TOPICS: Final = (
    ORDERS_COMMANDS,
    ORDERS_COMMANDS,
    ORDERS_COMMANDS,
    ORDERS_OPERATIONS,
    INVENTORY_COMMANDS,
    CUSTOMER_COMMANDS,
)


def hostile(random: Random, key: str) -> tuple[str, str | None, str | None]:
    """A topic, a key and a value. The value is text in Latin-1, or nothing."""
    sort = random.randrange(10)
    if sort == 0:
        return random.choice((*_TOPICS, PAYMENT_COMMANDS, INVENTORY_EVENTS, PAYMENT_EVENTS)), key, None
    if sort < 3:
        return (
            random.choice((*_TOPICS, PAYMENT_COMMANDS, INVENTORY_EVENTS, PAYMENT_EVENTS)),
            key,
            random.choice(_NO_JSON),
        )
    return random.choice(_TOPICS), _key(random, key), _bent(random, key)


def _key(random: Random, key: str) -> str | None:
    return random.choice((key, key, key, key, None, "another"))


def _bent(random: Random, key: str) -> str:
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"h-{random.randrange(10**6)}",
        "source": "stranger",
        "type": random.choice(("orders.start-order.v1", "orders.cancel-order.v1", "orders.nonsense.v1")),
        "subject": key,
        "data": {"customer_id": "ann", "items": [{"sku": "nut", "quantity": random.choice((0, -1, 1.5, "2", 10**20))}]},
    }
    match random.randrange(7):
        case 0:
            del envelope[random.choice(("id", "source", "subject", "type", "data", "specversion"))]
        case 1:
            envelope[random.choice(("id", "source", "subject"))] = random.choice(
                ("", " x", "y" * 65, 7, None, "a\u0000b")
            )
        case 2:
            envelope["data"] = random.choice(
                (None, [], "x", {"reason": ""}, {"reason": "x", "more": 1}, {"reason": "\ud800"})
            )
        case 3:
            return json.dumps(envelope)[:-1] + ', "id": "twice"}'
        case 4:
            return json.dumps({**envelope, "data": {"reason": float("nan")}})
        case _:
            pass
    return json.dumps(envelope)
