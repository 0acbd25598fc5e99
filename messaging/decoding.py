"""From a record to what is to be done with it: decide, forward, set aside, or pass over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from contracts.envelope import (
    Envelope,
    InvalidCommand,
    Unreadable,
    decode_command,
    decode_event,
    event_type,
    too_large,
)
from contracts.letters import without_facts
from contracts.topics import COMMAND_TOPICS, MAX_DEAD_LETTER_BYTES, UNANSWERED_TOPICS, dead_letter_topic
from messaging.decision import Message
from messaging.partitioner import partition_of
from messaging.ports import Headers, Record, Wire, size_of

#: A record above this cannot travel on: Kafka takes 1,048,588 bytes by default, and what came compressed may be far larger.
#: A command that is answered goes on without its data. A dead letter is kept whole as long as its topic takes it, and cut beyond
#: that.
MAX_PUBLISHED_BYTES: Final = 1_000_000
#: The key whose later records wait behind a dead letter.
LANE_HEADER: Final = "dlq-lane"
#: Room for the facts that a dead letter adds.
_FACTS_BYTES: Final = 4_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that cannot be handled, and why. `error` never repeats the payload. `lane`: the key whose later records wait
    behind it."""

    record: Record
    reason: str
    error: str
    lane: str | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """A command that another partitioner put elsewhere than Java's: it goes on to `partition`, unchanged unless it is too large."""

    record: Record
    partition: int


def decode(
    record: Record, partitions: int, interests: Mapping[str, frozenset[str]]
) -> Message | DeadLetter | Forward | None:
    """What a record is to its reader; None for an event that the reader takes no interest in."""
    try:
        if record.topic in COMMAND_TOPICS:
            return _command(record, partitions)
        named = event_type(record.value, record.headers)
        if named not in interests.get(record.topic, frozenset()):
            return None
        envelope = decode_event(named, record.value)
    except Unreadable as error:
        return DeadLetter(record, error.reason, str(error))
    if partition_of(envelope.subject, partitions) != record.partition:
        # Whoever reads it here does not own what it is about: its number in the order, and what is in memory of it, are another's.
        # Unlike a command it does not go on: each of its readers would send it there once.
        return DeadLetter(record, "foreign-partition", "The event stands on another partition than its subject's.")
    return _message(record, named, envelope)


def _command(record: Record, partitions: int) -> Message | DeadLetter | Forward:
    found = decode_command(record.topic, record.key, record.value, record.headers)
    target = partition_of(found.subject, partitions)
    if target != record.partition:
        if size_of(record.key, record.value, record.headers) > MAX_PUBLISHED_BYTES:
            if record.topic in UNANSWERED_TOPICS:
                told = "The command stands on another key's partition and is too large to go on."
                return DeadLetter(record, "too-large", told)
            value, headers = too_large(found)
            record = record._replace(key=found.subject.encode(), value=value, headers=headers)
        return Forward(record, target)
    if isinstance(found, InvalidCommand):
        return Message(
            type=found.command_type,
            key=found.subject,
            data=found,
            id=found.command_id,
            source=found.source,
            at=record.timestamp,
            uid=_uid(record),
            topic=record.topic,
            offset=record.offset,
            partition=record.partition,
        )
    return _message(record, found.type, found)


def _message(record: Record, named: str, envelope: Envelope[Any]) -> Message:
    return Message(
        type=named,
        key=envelope.subject,
        data=envelope.data,
        id=envelope.id,
        source=envelope.source,
        at=record.timestamp,
        uid=_uid(record),
        traceparent=envelope.traceparent,
        topic=record.topic,
        offset=record.offset,
        partition=record.partition,
        answers=envelope.causationid,
        sequence=envelope.sequence or 0,
    )


def _uid(record: Record) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


def dead_letter_wire(seq: int, service: str, dead: DeadLetter, now: datetime) -> Wire:
    """The dead letter as it will stand on its topic: key, value and headers as they were, and where and why beside them. Headers
    `dlq-*` that the record came with are left out.

    What is too large to be published is cut, first the value, then the headers, then the key; `dlq-truncated` says so."""
    record = dead.record
    key, value, original = _cut(record)
    facts = {
        "dlq-reason": dead.reason,
        "dlq-error": dead.error[:1000],
        "dlq-topic": record.topic,
        "dlq-partition": str(record.partition),
        "dlq-offset": str(record.offset),
        "dlq-time": now.isoformat(),
    }
    if dead.lane is not None:
        facts[LANE_HEADER] = dead.lane
    if (key, value, original) != (record.key, record.value, record.headers):
        facts["dlq-truncated"] = f"the value had {len(record.value or b'')} bytes, the key {len(record.key or b'')}"
    # A client's headers of such names would be taken for ours.
    headers = [
        *without_facts(original),
        *((name, text.encode("utf-8", errors="replace")) for name, text in facts.items()),
    ]
    return Wire(seq, dead_letter_topic(record.topic, service), record.partition, key, value, "dead-letter", headers)


def _cut(record: Record) -> tuple[bytes | None, bytes | None, Headers]:
    room = MAX_DEAD_LETTER_BYTES - _FACTS_BYTES
    key, value, headers = record.key, record.value, record.headers
    if size_of(key, value, headers) <= room:
        return key, value, headers
    if size_of(key, None, headers) > room:
        headers = []
        key = key[:1000] if key is not None else None
    if value is not None:
        value = value[: max(0, room - size_of(key, None, headers))]
    return key, value, headers


def forward_wire(seq: int, forward: Forward) -> Wire:
    """The command for the partition where its key belongs."""
    record = forward.record
    return Wire(seq, record.topic, forward.partition, record.key, record.value, "forwarded", list(record.headers))
