"""What the runtime needs of the outside: a log (Kafka), a store (PostgreSQL), a clock. Each has a real and an in-memory form,
and both pass the same tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from contracts.envelope import headers_for
from contracts.letters import Act, Letter, Outcome
from messaging.decision import CancelTimer, Effect, SetTimer

#: A header may have no value; Kafka tells that from an empty one.
Headers = Sequence[tuple[str, bytes | None]]


class Record(NamedTuple):
    """A record as it was read. `timestamp` is when the broker appended it. (Like `Wire`, `Message` and `Stamped` a tuple: they are
    made for every message, and a frozen dataclass takes three times as long.)"""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: datetime


class Wire(NamedTuple):
    """A record to be published, with its place in the outbox. `headers` None means the standard ones of `type`."""

    seq: int
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    type: str
    headers: Headers | None = None


def wire_headers(wire: Wire) -> Headers:
    """The headers that a wire is published with."""
    return headers_for(wire.type) if wire.headers is None else wire.headers


def size_of(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """About how many bytes a record takes on a topic, rather too many than too few."""
    around = sum(len(name.encode("utf-8", errors="replace")) + len(content or b"") + 10 for name, content in headers)
    return len(key or b"") + len(value or b"") + around + 30


@dataclass(frozen=True, slots=True)
class DueTimer:
    """A timer's row."""

    key: str
    name: str
    step: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class PostponedTimer:
    """A timer that could not be decided: it comes again at `until`, if it still stands as it was `claimed`."""

    claimed: DueTimer
    until: datetime


@dataclass(frozen=True, slots=True)
class PendingEffect:
    """An effect's row: asked for, its end not recorded yet. `request` is the JSON of what was asked."""

    id: str
    key: str
    kind: str
    request: bytes


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a published outbox row stands: row `seq` of a partition is at `offset` on the same partition of `topic`."""

    seq: int
    topic: str
    offset: int


@dataclass(frozen=True, slots=True)
class Ownership:
    """What a partition's owner goes on from. `offsets` are the next ones to read, `published_seq` the last outbox row known to
    be on its topic, `acked` the offsets that the broker gave to the last rows of each topic."""

    partition: int
    epoch: int
    offsets: Mapping[str, int]
    next_seq: int
    published_seq: int
    acked: Mapping[str, int]
    next_due: datetime | None


@dataclass(frozen=True, slots=True)
class Parked:
    """A record in the lane of its key. `place` is its turn. waiting: what stands before it comes first. failed: it is the head of
    its lane and needs a person. retry: it was the head, and `operator` has asked for another attempt, for this `reason`."""

    place: int
    key: str
    record: Record
    state: Literal["waiting", "failed", "retry"]
    failures: int = 0
    error: str | None = None
    operator: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """A key whose records wait. `head` is the one that failed, if the first one did. As long as it is held nothing of the lane is
    handled; else the lane is being drained."""

    key: str
    records: int
    head: Parked | None = None

    @property
    def held(self) -> bool:
        """Whether the lane waits for a person."""
        return self.head is not None and self.head.state == "failed"


@dataclass(frozen=True, slots=True)
class LetterDone:
    """What became of a letter, for ever."""

    letter: Letter
    act: Act
    outcome: Outcome
    operator: str
    reason: str


@dataclass(slots=True)
class LaneChanges:
    """What a batch changes in the lanes. `marked` are rows that stay, by their place; `gone` are places. A place stands in one
    of the three. `anew` are letters that are written now: what was said of older ones of the same name is forgotten."""

    parked: dict[int, Parked] = field(default_factory=dict)
    marked: dict[int, Parked] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    done: list[LetterDone] = field(default_factory=list)
    anew: set[Letter] = field(default_factory=set)


@dataclass(slots=True)
class Commit:
    """Everything that one batch changes in the runtime's own tables; the service's rows are staged beside it."""

    partition: int
    epoch: int
    expected: dict[str, int]
    offsets: dict[str, int]
    next_seq: int
    outbox: list[Wire] = field(default_factory=list)
    timers: dict[tuple[str, str], SetTimer | CancelTimer | PostponedTimer] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    effects_done: list[str] = field(default_factory=list)
    lanes: LaneChanges | None = None


class Transaction(Protocol):
    """One batch's transaction. What a service may do with it beyond `commit` depends on the store (see postgres, memory)."""

    async def commit(self, *commits: Commit) -> None:
        """Make everything staged and `commits`, each of another partition, true at once, or nothing of it. Raises `FenceLostError`,
        `StaleRowError`, `TransientStoreError`, `PermanentStoreError`; after a transient error the outcome is unknown."""


class Store(Protocol):
    """The runtime's side of one partition's database."""

    async def take_over(self, partition: int, owner: str, topics: Sequence[str]) -> Ownership:
        """Raise the partition's ownership number; whoever owned it before cannot commit any more."""

    async def reload(self, partition: int, epoch: int) -> Ownership:
        """What is true now, after an error. Raises `FenceLostError` where somebody else owns the partition."""

    async def set_offsets(self, partition: int, epoch: int, offsets: Mapping[str, int]) -> None:
        """Put the next offsets to read where the broker has them. Raises `FenceLostError`."""

    async def begin(self) -> Any:
        """A transaction for one batch."""

    async def rollback(self, transaction: Any) -> None:
        """Forget a transaction that was not committed. Harmless after a commit."""

    async def outbox_after(self, partition: int, seq: int, limit: int) -> list[Wire]:
        """The kept outbox rows behind `seq`, in order."""

    async def mark_published(
        self, partition: int, epoch: int, seq: int, acked: Mapping[str, int], placed: Sequence[Placed]
    ) -> None:
        """Record at once how far the outbox is published and where the rows stand that were published since the last time (in order
        of `seq`). Nothing happens where somebody else owns the partition."""

    async def unplace(self, partition: int, epoch: int, since_seq: int) -> None:
        """Forget that the rows from `since_seq` on are published, and where: the broker lost some of them, and they are published
        again, by whoever owns the partition then."""

    async def forget_published(self, older_than: datetime) -> bool:
        """Forget what the outbox keeps of the partitions of this database, a minute's rows at a time: those of which all are
        published and were written before `older_than`. Returns whether anything is left. Where rows stand is forgotten, too, a
        month's at a time, after 60 to 90 days."""

    async def due_timers(
        self, partition: int, until: datetime, limit: int, but: Collection[str] = ()
    ) -> list[DueTimer]:
        """Timers due at or before `until`, the earliest first; none of the keys in `but`."""

    async def next_due(self, partition: int, but: Collection[str] = ()) -> datetime | None:
        """When the earliest timer is due; those of the keys in `but` do not count."""

    async def lanes(self, partition: int) -> list[Lane]:
        """The keys whose records wait."""

    async def parked(self, partition: int, keys: Collection[str], limit: int) -> list[Parked]:
        """The records that wait in the lanes of these keys, in their order."""

    async def done_with(self, letters: Collection[Letter]) -> set[Letter]:
        """Those of the letters about which no word has any effect any more."""

    async def pending_effects(self, partition: int) -> list[PendingEffect]:
        """Effects whose end is not recorded."""

    async def close(self) -> None:
        """Give back what is held open."""


class Publisher(Protocol):
    """The way out to the log."""

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        """Append the records, in order for each topic; returns the offset of each, once all are acknowledged
        (-1: it is there, but the broker does not say where).
        Raises `PublishUnknownError` where some may not be there; then all have to be published again."""


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The time, UTC-aware."""

    async def sleep(self, seconds: float) -> None:
        """Come back after so long."""
