"""What strangers send. One valid command, and every way in which it can be bad."""

from __future__ import annotations

import json
from typing import Any

from contracts.envelope import Envelope, InvalidCommand, Unreadable, decode_command
from contracts.topics import ORDERS_COMMANDS
from contracts.values import CommandData

KEY = b"ORD-1"
START = "orders.start-order.v1"


def document(**changes: Any) -> dict[str, Any]:
    """A valid start-order; `None` leaves the attribute out."""
    valid = {
        "specversion": "1.0",
        "id": "cmd-1",
        "source": "shop",
        "type": START,
        "subject": "ORD-1",
        "data": {"customer_id": "17850", "items": [{"sku": "85123A", "quantity": 2}]},
    }
    return {name: value for name, value in {**valid, **changes}.items() if value is not None}


def with_data(**changes: Any) -> dict[str, Any]:
    return document(data={**document()["data"], **changes})


def raw(found: dict[str, Any]) -> bytes:
    return json.dumps(found).encode()


def binary_headers(**changes: bytes | None) -> list[tuple[str, bytes | None]]:
    """The attributes of the valid command as headers."""
    attributes = {name: str(value).encode() for name, value in document().items() if name != "data"}
    headers = {f"ce_{name}": value for name, value in {**attributes, **changes}.items() if value is not None}
    return [("content-type", b"application/json"), *headers.items()]


def ask(
    value: bytes | None, key: bytes | None = KEY, headers: list[tuple[str, bytes | None]] | None = None
) -> Envelope[CommandData] | InvalidCommand | Unreadable:
    """What becomes of the record: a command, a verdict, or a reason for the dead letters. Anything else is a bug and raises."""
    try:
        found = decode_command(ORDERS_COMMANDS, key, value, headers or [])
    except Unreadable as unreadable:
        return _told(unreadable)
    if isinstance(found, InvalidCommand):
        for text, most in ((found.message, 1000), (found.command_type, 128), (found.subject, 64)):
            assert 0 < len(text) <= most
            assert text.isprintable()
    return found


def _told(unreadable: Unreadable) -> Unreadable:
    assert unreadable.reason
    assert str(unreadable)
    assert str(unreadable).isprintable()
    return unreadable
