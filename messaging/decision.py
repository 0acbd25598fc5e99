"""What a decision is made about, and what it may ask for. Plain frozen data: a domain needs nothing else of the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from contracts.values import CommandData, EventData

S = TypeVar("S")


class Message(NamedTuple):
    """One thing that happened: a record from a topic, a timer that is due, or the outcome of an effect.

    `data` is the validated body: a model of the contracts, an `InvalidCommand`, a `TimerFired` or an `EffectDone`.
    `at`: when it was appended to its topic (by the broker's clock) or was due. `uid` tells it from every other cause. `answers`:
    the id of the message that caused it, where it says so. `sequence`: an event's place among what its sender says of the key,
    0 where it tells none. Topic, partition and offset are None for what never stood on a topic.
    """

    type: str
    key: str
    data: Any
    id: str
    source: str
    at: datetime
    uid: str
    traceparent: str | None = None
    topic: str | None = None
    offset: int | None = None
    partition: int | None = None
    answers: str | None = None
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer of the key is due. `step` is the number of the step that set it; a timer of a step that is over changes nothing."""

    name: str
    step: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class EffectDone:
    """An effect outside the database came to an end. `outcome` is what the performer returned."""

    effect_id: str
    kind: str
    request: Any
    outcome: Any


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be published; topic and type follow from the model. Its id derives from its cause. `answers`: the id of the
    message that it names as its cause, where that is not the one that was decided: an effect's outcome is no message to others."""

    key: str
    data: CommandData | EventData
    answers: str | None = None


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Wake this key at `due_at`. A timer of the same name is replaced."""

    key: str
    name: str
    step: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer, if there is one."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to be done outside the database after the commit; asked for again after a crash until its end is recorded.

    `request` is a frozen pydantic model (it is stored as JSON); `id` tells the effect from every other of the service.
    """

    key: str
    id: str
    kind: str
    request: Any


@dataclass(frozen=True, slots=True)
class Note:
    """An entry for the history that is not an event on a topic. `data` is plain JSON."""

    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decision(Generic[S]):
    """The new state, and what follows from it. `says` are published (and told in the history) in this order; a `Note` among
    them goes into the history only."""

    state: S
    says: tuple[Outgoing | Note, ...] = ()
    timers: tuple[SetTimer | CancelTimer, ...] = ()
    effects: tuple[Effect, ...] = ()
