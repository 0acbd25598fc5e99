"""Nothing is stuck: what was decided is published, what is due has been done, what was called has ended. And what follows from an
order's end follows once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from audit.facts import OUTCOMES, OrderFacts, SentElsewhere, UnreadableRecord
from audit.partitions import PartitionFacts
from audit.rules.breach import Finding, Terms

#: Which outcome each kind of mail tells of.
MAIL_OF: Final = {"confirmation": "orders.order-completed.v1", "cancellation": "orders.order-cancelled.v1"}


def outbox_is_drained(partition: PartitionFacts, terms: Terms) -> Iterator[Finding]:
    """Every message that was decided stands on its topic, as soon as a grace period has passed."""
    late = partition.as_of - timedelta(seconds=terms.grace_s)
    stuck = [row for row in partition.outbox if row.created_at <= late]
    if stuck:
        first = stuck[0]
        found = f"{len(stuck)} waiting, first {first.type} for {first.topic} since {first.created_at.isoformat()}"
        yield Finding("an empty outbox", found, f"seq {first.seq}")


def no_timer_is_overdue(partition: PartitionFacts, terms: Terms) -> Iterator[Finding]:
    """A timer that is due fires, as soon as a grace period has passed, unless its key's messages wait behind one that failed."""
    late = partition.as_of - timedelta(seconds=terms.grace_s)
    parked = {lane.key for lane in partition.parked}
    for timer in partition.timers:
        if timer.due_at < late and timer.key not in parked:
            yield Finding("it has fired", f"due since {timer.due_at.isoformat()}", f"timer {timer.name} of {timer.key}")


def lanes_can_be_opened(partition: PartitionFacts, terms: Terms) -> Iterator[Finding]:
    """Where a key's messages wait for a person, that person can still decide: the letter that they wait behind is not settled."""
    for lane in partition.parked:
        if lane.error is not None and lane.settled:
            found = f"{lane.records} messages behind a letter that is settled"
            yield Finding("a letter that is open", found, f"{lane.topic}/{lane.offset} of {lane.key}")


def no_effect_is_overdue(partition: PartitionFacts, terms: Terms) -> Iterator[Finding]:
    """A call outside the database that was asked for has ended, as soon as a grace period has passed."""
    late = partition.as_of - timedelta(seconds=terms.grace_s)
    for effect in partition.effects:
        if effect.created_at < late:
            found = f"asked for at {effect.created_at.isoformat()}"
            yield Finding("it has ended", found, f"{effect.kind} {effect.id} of {effect.key}")


def everything_has_ended(order: OrderFacts, terms: Terms) -> Iterator[Finding]:
    """No order is open but those that wait behind a dead letter (judged only where the audit is told to expect it)."""
    if terms.expect_ended and order.row is not None and not order.row.ended and not order.parked_at:
        yield Finding("an end", order.row.status)


def every_topic_record_is_an_event(record: UnreadableRecord) -> Iterator[Finding]:
    """Every record on orders.events.v1 is an event of an order."""
    yield Finding("an event", record.problem)


def every_shop_command_answered(sent: SentElsewhere) -> Iterator[Finding]:
    """Every command that the broker took from the sender for inventory or customer is answered."""
    if not sent.answered:
        yield Finding(f"an answer to {sent.type} on {sent.topic}", "none is remembered", sent.id)


def one_mail_per_cause(order: OrderFacts) -> Iterator[Finding]:
    """At most one mail of a kind is sent about an order, under one Message-ID, and what causes it is the order's outcome."""
    kinds = Counter((mail.kind, mail.cause) for mail in order.mails)
    for (kind, cause), times in kinds.items():
        if times > 1:
            yield Finding(f"one {kind}", f"{times} of cause {cause}", kind)
    if len({mail.message_id for mail in order.mails}) != len(kinds):
        yield Finding("a Message-ID for each mail", ", ".join(sorted(mail.message_id for mail in order.mails)))
    outcomes = {entry.event_id: entry.type for entry in order.history if entry.type in OUTCOMES}
    for kind, cause in kinds:
        if cause not in outcomes or outcomes[cause] != MAIL_OF.get(kind):
            found = f"{kind} caused by {cause} ({outcomes.get(cause, 'no outcome of this order')})"
            yield Finding(f"a mail of the kind that tells {MAIL_OF.get(kind, 'nothing')}", found, kind)
