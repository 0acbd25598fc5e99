"""What waits in a service's partition, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message that is not on its topic yet, as far as the database knows."""

    seq: int
    topic: str
    type: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer of a partition."""

    key: str
    name: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Effect:
    """A call that was asked for and whose end is not recorded."""

    id: str
    key: str
    kind: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ParkedKey:
    """A key whose messages wait: how many, and which one stands in the way (`error` None: they are being handled). `settled`:
    what an operator says about that one has no effect any more."""

    key: str
    records: int
    topic: str
    offset: int
    error: str | None
    settled: bool = False


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """A service's partition at `as_of`: what waits to be published, timers (at least those that are due), effects, lanes."""

    service: str
    partition: int
    as_of: datetime
    outbox: tuple[OutboxRow, ...] = ()
    timers: tuple[Timer, ...] = ()
    effects: tuple[Effect, ...] = ()
    parked: tuple[ParkedKey, ...] = ()
