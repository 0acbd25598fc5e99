"""Events as the client reads them: leniently, since a newer system may tell more than this client knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic_core import from_json

from contracts.envelope import TYPE_HEADER

#: The events after which an order goes no further, and what each one means.
ENDS: Final = {
    "orders.order-completed.v1": "completed",
    "orders.order-cancelled.v1": "cancelled",
    "orders.order-failed.v1": "failed",
    "orders.greeted.v1": "completed",
}
#: The same as the query API says it.
ENDED_STATUSES: Final = {"COMPLETED": "completed", "CANCELLED": "cancelled", "FAILED": "failed"}

_REJECTED: Final = ".command-rejected.v1"


class RawRecord(Protocol):
    """A record as the broker's client gives it; `timestamp` is in milliseconds."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a service told. `cause` is the id of the message that it follows from."""

    type: str
    id: str
    key: str
    at: str | None
    sequence: int | None
    cause: str | None
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The type without service and version: `order-completed`."""
        return short_name(self.type)

    @property
    def outcome(self) -> str | None:
        """`completed`, `cancelled` or `failed` where the order ends with this event."""
        return ENDS.get(self.type)

    def as_json(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return {
            "kind": "event",
            "type": self.type,
            "id": self.id,
            "key": self.key,
            "at": self.at,
            "sequence": self.sequence,
            "cause": self.cause,
            "data": self.data,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a service said to a command. `reason` and `message` are there for rejections only; `data` is the whole answer."""

    command_id: str
    key: str
    accepted: bool
    duplicate: bool
    reason: str | None
    message: str | None
    type: str
    data: Mapping[str, Any]


def short_name(message_type: str) -> str:
    """`orders.order-completed.v1` -> `order-completed`."""
    parts = message_type.split(".")
    return parts[-2] if len(parts) > 2 else message_type


def type_of(raw: RawRecord) -> bytes | None:
    """The message type from the record's headers, without parsing; None where no header says."""
    for name, value in raw.headers:
        if name == TYPE_HEADER:
            return value
    return None


def read_event(raw: RawRecord) -> Event | None:
    """The event in a record, or None where the record holds none that can be read."""
    try:
        document = from_json(raw.value or b"")
    except ValueError:
        return None
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        return None
    data = document.get("data")
    return Event(
        type=document["type"],
        id=str(document.get("id")),
        key=str(document.get("subject")),
        at=document.get("time"),
        sequence=document.get("sequence"),
        cause=document.get("causationid"),
        data=data if isinstance(data, dict) else {},
    )


def read_verdict(event: Event) -> Verdict | None:
    """The answer to a command, if the event is one: whatever names a `command_id` is."""
    command_id = event.data.get("command_id")
    if not isinstance(command_id, str):
        return None
    rejected = event.type.endswith(_REJECTED)
    return Verdict(
        command_id=command_id,
        key=event.key,
        accepted=not rejected,
        duplicate=bool(event.data.get("duplicate")),
        reason=event.data.get("reason") if rejected else None,
        message=event.data.get("message") if rejected else None,
        type=event.type,
        data=event.data,
    )
