"""What the orchestrator has on record is what it has told on orders.events.v1, no more and no less."""

from __future__ import annotations

from collections.abc import Iterator

from audit.facts import OUTCOMES, OrderFacts, Published
from audit.rules.breach import Finding


def history_is_published(order: OrderFacts) -> Iterator[Finding]:
    """Every event of an order's history is on the topic, with the same type and sequence."""
    on_topic = {event.event_id: event for event in order.published}
    for entry in order.history:
        if entry.event_id is None or (order.published_to is not None and entry.seq > order.published_to):
            continue
        event = on_topic.get(entry.event_id)
        if event is None:
            yield Finding(f"{entry.type} with sequence {entry.seq}", "not on the topic", entry.event_id)
        elif (event.type, event.sequence) != (entry.type, entry.seq):
            found = f"{event.type} with sequence {event.sequence}"
            yield Finding(f"{entry.type} with sequence {entry.seq}", found, entry.event_id)


def published_is_recorded(order: OrderFacts) -> Iterator[Finding]:
    """Every event of an order on the topic stands in its history (a second outcome is told by one-outcome)."""
    recorded = {entry.event_id for entry in order.history}
    for event_id, event in {event.event_id: event for event in order.published}.items():
        if event_id not in recorded and event.type not in OUTCOMES:
            yield Finding("an entry in the history", f"{event.type} at {_place(event)} without one", event_id)


def sequence_rises(order: OrderFacts) -> Iterator[Finding]:
    """On the topic an order's events stand on one partition, in rising sequence; what comes again is the same event, unchanged."""
    first: dict[str, Published] = {}
    last: Published | None = None
    for event in order.published:
        known = first.setdefault(event.event_id, event)
        if known is not event:
            if (known.type, known.sequence) != (event.type, event.sequence):
                yield Finding(f"{known.type} with sequence {known.sequence} again", _told(event), event.event_id)
            continue
        if last is not None and event.partition != last.partition:
            yield Finding(f"partition {last.partition}", f"{event.type} at {_place(event)}", event.event_id)
        elif event.sequence is None or (last is not None and event.sequence <= (last.sequence or 0)):
            after = "a sequence" if last is None else f"a sequence above {last.sequence}"
            yield Finding(after, f"{event.sequence} at {_place(event)}", event.event_id)
        last = event


def _place(event: Published) -> str:
    return f"{event.partition}/{event.offset}"


def _told(event: Published) -> str:
    return f"{event.type} with sequence {event.sequence} at {_place(event)}"
