"""A step in words, so that the way to a broken promise reads as a conversation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from contracts.envelope import InvalidCommand
from messaging.decision import EffectDone, TimerFired
from simulation.checker.values import Numbers
from simulation.checker.world import Record

#: What a reader wants to know of a message, where it has it.
_FACTS: Final = ("attempt", "amount_minor", "reason", "resolution", "sku", "quantity")


def told(what: str, number: int, numbers: Numbers) -> str:
    """What happens, with what (below 0: with nothing)."""
    if number < 0:
        return what
    about = numbers.values[number]
    if isinstance(about, timedelta):
        return f"{what} {about.total_seconds():g} s"
    return f"{what} {_named(about)}"


def _named(record: Record) -> str:
    data = record.data
    if isinstance(data, EffectDone):
        return f"{data.kind} {data.request.attempt}: {data.outcome.end.value}"
    if isinstance(data, TimerFired):
        return f"its timer ({data.name})"
    name = "an invalid command" if isinstance(data, InvalidCommand) else type(data).__name__
    facts = ", ".join(f"{fact} {_fact(data, fact)}" for fact in _FACTS if getattr(data, fact, None) is not None)
    sender = f" from the {record.source}" if record.source in {"client", "person"} else ""
    return name + (f" ({facts})" if facts else "") + sender


def _fact(data: Any, name: str) -> str:
    return str(getattr(data, name))
