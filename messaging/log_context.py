"""What a line about a message says of it: where it stood, whose it is, what caused it. Never what it holds."""

from __future__ import annotations

import re
from typing import Any, Final

from contracts.values import is_id
from messaging.decision import EffectDone, Message, TimerFired
from messaging.ports import DueTimer, Parked, Record

_TRACE_ID: Final = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-")


def of_message(message: Message) -> dict[str, Any]:
    """The context of a message that is being decided."""
    trace = _TRACE_ID.match(message.traceparent or "")
    asked = message.data.request if isinstance(message.data, EffectDone) else message.data
    attempt = getattr(asked, "attempt", None)
    found = {
        "key": message.key,
        "type": message.type,
        "cause": message.id,
        "correlation": trace.group(1) if trace else None,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "step": message.data.step if isinstance(message.data, TimerFired) else None,
        "attempt": attempt if isinstance(attempt, int) else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def of_item(item: Record | DueTimer | Message | Parked) -> dict[str, Any]:
    """The context of what a batch is made of, before it is understood."""
    if isinstance(item, Message):
        return of_message(item)
    if isinstance(item, DueTimer):
        return {"key": item.key, "kind": item.name, "step": item.step}
    return of_record(item.record if isinstance(item, Parked) else item)


def of_record(record: Record) -> dict[str, Any]:
    """The context of a record that may be anything."""
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return {**_key(record.key), **place}


def _key(key: bytes | None) -> dict[str, str]:
    """What is no id may be anything, a piece of a payload too."""
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        return {}
    return {"key": text} if is_id(text) else {}
