"""Following an order to its end, also one that began before anybody looked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orderctl.client import Subscription
from orderctl.errors import NoEndError
from orderctl.events import Event
from orderctl.exits import Exit

EXIT_OF: Final = {"completed": Exit.OK, "cancelled": Exit.CANCELLED, "failed": Exit.FAILED}

_Identity = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an order ended: `completed`, `cancelled` or `failed`, and why."""

    order_id: str
    outcome: str
    reason: str | None
    total_minor: int | None
    currency: str | None

    @property
    def exit_code(self) -> Exit:
        """What the client's exit code says about it."""
        return EXIT_OF[self.outcome]


def outcome_of(order_id: str, event: Event) -> Outcome | None:
    """The outcome that the event tells, or None where the order goes on."""
    if event.outcome is None:
        return None
    data = event.data
    return Outcome(order_id, event.outcome, data.get("reason"), data.get("total_minor"), data.get("currency"))


def past_events(order_id: str, history: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The history of the query API as events. Entries that are no published event are left out."""
    return [
        Event(
            type=entry["type"],
            id=str(entry.get("event_id") or ""),
            key=order_id,
            at=entry.get("at"),
            sequence=entry.get("sequence"),
            cause=entry.get("cause"),
            data=entry.get("data") or {},
        )
        for entry in history
        if str(entry.get("type", "")).startswith("orders.") and entry.get("event_id", "") is not None
    ]


async def with_past(past: Sequence[Event], tail: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """First the past, then what comes, without what the past has told already.

    The tail must have begun before the past was asked for; so what both hold is told once. An event is known again by type
    and cause, since the history need not carry the events' ids.
    """
    known: Counter[_Identity] = Counter()
    for event in past:
        known[event.type, event.cause] += 1
        yield event
    async for event in tail:
        identity = (event.type, event.cause)
        if known[identity] > 0:
            known[identity] -= 1
        else:
            yield event


async def once(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """Each event once, whatever was delivered again."""
    seen: set[str] = set()
    async for event in events:
        if event.id and event.id in seen:
            continue
        seen.add(event.id)
        yield event


async def until_end(order_id: str, events: AsyncIterator[Event], timeout_s: float) -> AsyncIterator[Event]:
    """The events up to and with the one that ends the order. Raises `NoEndError` where it does not come in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        try:
            event = await asyncio.wait_for(anext(events), max(0.0, deadline - loop.time()))
        except TimeoutError:
            raise NoEndError(order_id, timeout_s) from None
        yield event
        if event.outcome is not None:
            return


def order_events(order_id: str, past: Sequence[Event], tail: Subscription, timeout_s: float) -> AsyncIterator[Event]:
    """Past and future of the order up to its end. Raises `NoEndError`."""
    return until_end(order_id, once(with_past(past, tail)), timeout_s)
