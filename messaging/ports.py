"""What the runtime needs of the outside: a log (Kafka), a store (PostgreSQL), a clock. Each has a real and an in-memory form,
and both pass the same tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from contracts.envelope import headers_for
from messaging.decision import CancelTimer, Effect, SetTimer

#: A header may have no value; Kafka tells that from an empty one.
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was read. `timestamp` is when the broker appended it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Wire:
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


@dataclass(slots=True)
class Commit:
    """Everything that one batch changes in the runtime's own tables; the service's rows are staged beside it."""

    partition: int
    epoch: int
    expected: dict[str, int]
    offsets: dict[str, int]
    next_seq: int
    outbox: list[Wire] = field(default_factory=list)
    timers: dict[tuple[str, str], SetTimer | CancelTimer] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    effects_done: list[str] = field(default_factory=list)


class Transaction(Protocol):
    """One batch's transaction. What a service may do with it beyond `commit` depends on the store (see postgres, memory)."""

    async def commit(self, commit: Commit) -> None:
        """Make everything staged and `commit` true at once. Raises `FenceLostError`, `StaleRowError`, `TransientStoreError`,
        `PermanentStoreError`; after a transient error the outcome is unknown."""


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
        """Forget where the rows from `since_seq` on stand: the broker lost some of them, and they are published again."""

    async def forget_published(self, partition: int, older_than: datetime, limit: int) -> int:
        """Delete published outbox rows written before `older_than`; returns how many."""

    async def due_timers(self, partition: int, until: datetime, limit: int) -> list[DueTimer]:
        """Timers due at or before `until`, the earliest first."""

    async def next_due(self, partition: int) -> datetime | None:
        """When the earliest timer is due."""

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
