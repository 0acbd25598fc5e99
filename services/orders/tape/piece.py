"""What a tape is made of while it is being put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Kind = Literal[
    "command",
    "verdict",
    "event",
    "request",
    "reply",
    "timer",
    "retry",
    "attempt",
    "stock",
    "money",
    "mail",
    "operator",
    "note",
    "gap",
]
#: A fact as JSON has it.
Fact = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the tape. `id` tells it from the others; `cause` and `after` (what it has to stand behind) are ids too, and may
    name what is not on the tape. `seen_at`: when the order decided what came in."""

    id: str | None
    at: datetime
    kind: Kind
    type: str | None
    title: str
    text: str
    data: Fact = field(default_factory=dict)
    cause: str | None = None
    message: Fact | None = None
    worker: str | None = None
    duration_s: float | None = None
    after: tuple[str, ...] = ()
    seen_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """The entry as `GET /orders/{id}/tape` shows it."""
        return {
            "at": self.at,
            "kind": self.kind,
            "title": self.title,
            "text": self.text,
            "type": self.type,
            "cause": self.cause,
            "id": self.id,
            "message": self.message,
            "worker": self.worker,
            "data": self.data,
            "duration_s": self.duration_s,
        }


def message(
    direction: Literal["in", "out"], topic: str | None, partition: int | None, offset: int | None, id: str
) -> Fact:
    """Where a message stands; the place is None where it is not known yet, or no longer."""
    return {"direction": direction, "topic": topic, "partition": partition, "offset": offset, "id": id}


def moment(value: datetime | str) -> datetime:
    """A time as the database or another service's JSON has it."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def seconds(since: datetime, until: datetime) -> float:
    """How long, to the microsecond, and never less than nothing: two clocks may disagree."""
    return max(0.0, round((until - since).total_seconds(), 6))
