"""From what a decision says to bytes on a topic: identity, cause, order and trace are added here, the same way for everyone."""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import blake2b
from typing import Final, NamedTuple

from contracts.envelope import encode
from contracts.registry import TYPE_OF
from contracts.values import CommandData, EventData
from messaging.decision import Message, Note, Outgoing
from messaging.ports import Wire

_TRACEPARENT: Final = re.compile(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})$")


class Stamped(NamedTuple):
    """An entry of the history: an event that is being published (`wire`), a command to a participant, or a note. `caused_by` is the
    message whose decision said it; `cause` is that message's id."""

    seq: int
    key: str
    type: str
    data: CommandData | EventData | dict[str, object]
    at: datetime
    cause: str
    event_id: str | None
    wire: Wire | None
    caused_by: Message


def derived_id(*parts: str) -> str:
    """An id that follows from what caused it: the same parts give the same 24 hexadecimal digits, always."""
    return blake2b("\x1f".join(parts).encode("utf-8", errors="backslashreplace"), digest_size=12).hexdigest()


def stamp(
    service: str, partition: int, cause: Message, index: int, seq: int, said: Outgoing | Note, now: datetime
) -> Stamped:
    """Give what was said its id (from its cause), its place in the order (`seq`) and its trace."""
    if isinstance(said, Note):
        return Stamped(seq, cause.key, said.type, said.data, now, cause.id, None, None, cause)
    topic, message_type = TYPE_OF[type(said.data)]
    # The place in the order tells apart what the same record says when it is read again (a topic replayed from its beginning).
    event_id = derived_id(service, cause.uid, cause.id, str(index), str(seq))
    value = encode(
        id=event_id,
        source=service,
        type=message_type,
        subject=said.key,
        data=said.data,
        time=now,
        correlationid=said.key,
        causationid=said.answers or cause.id,
        sequence=seq,
        traceparent=_trace(cause, said.key, event_id),
    )
    wire = Wire(seq, topic, partition, said.key.encode(), value, message_type)
    return Stamped(seq, said.key, message_type, said.data, now, cause.id, event_id, wire, cause)


def trace_id_of(key: str) -> int:
    """The trace of everything about a key, whoever's trace it came from: an order has one, however many clients' commands,
    timers and calls make it go on."""
    return int.from_bytes(blake2b(key.encode("utf-8", errors="backslashreplace"), digest_size=16).digest(), "big")


def _trace(cause: Message, key: str, event_id: str) -> str:
    """The W3C `traceparent` of what is said: its key's trace, its own span, and whether the cause's sender wants it recorded."""
    found = _TRACEPARENT.match(cause.traceparent) if cause.traceparent else None
    return f"00-{trace_id_of(key):032x}-{event_id[:16]}-{found[1] if found else '00'}"
