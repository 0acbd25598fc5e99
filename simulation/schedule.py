"""Which of the things that could happen next does happen. The order is all that chance decides, so a seed repeats a run exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final, Literal, Protocol

from messaging.worker import MAX_BATCH

if TYPE_CHECKING:
    from simulation.process import Process

Kind = Literal["handle", "publish", "call"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that could happen now: a batch is handled, an outbox is published, a call goes on by a step."""

    service: str
    partition: int
    kind: Kind
    detail: str = field(default="")
    do: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)
    process: Process | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.service}/{self.partition} {self.kind} {self.detail}".rstrip()


class Scheduler(Protocol):
    """Chooses; everything else is fixed. Whoever wants another interleaving, or every one, brings a scheduler of his own."""

    def choose(self, actions: Sequence[Action]) -> Action:
        """One of the actions that are possible now (at least one)."""

    def poll(self, unread: Mapping[str, int]) -> Mapping[str, int]:
        """How many of the unread records of each topic the next poll brings; at least one record, where there is any."""

    def company(self, others: Sequence[int]) -> Sequence[int]:
        """Which of the process's other partitions that have something to do do it now, too, in one transaction with the chosen."""


class InTurn:
    """Always the first; a poll brings everything. Runs are short and easy to follow."""

    def choose(self, actions: Sequence[Action]) -> Action:
        """See `Scheduler.choose`."""
        return actions[0]

    def poll(self, unread: Mapping[str, int]) -> Mapping[str, int]:
        """See `Scheduler.poll`."""
        return {topic: min(count, MAX_BATCH) for topic, count in unread.items()}

    def company(self, others: Sequence[int]) -> Sequence[int]:
        """See `Scheduler.company`."""
        return ()


#: Polls as they come in life: one record, a few, or all there is.
FINE: Final = (1, 2, 7, MAX_BATCH)
#: Polls as they come under load.
COARSE: Final = (7, MAX_BATCH, MAX_BATCH)


class Shuffled:
    """Any of them, by a seed; a poll brings some records of some topics. `together`: some of a process's partitions go together."""

    def __init__(self, seed: int, polls: Sequence[int] = FINE, together: bool = False) -> None:
        self._polls = polls
        self._together = together
        self._random = Random(seed)  # noqa: S311 - it must repeat, that is all

    def choose(self, actions: Sequence[Action]) -> Action:
        """See `Scheduler.choose`."""
        return actions[self._random.randrange(len(actions))]

    def poll(self, unread: Mapping[str, int]) -> Mapping[str, int]:
        """See `Scheduler.poll`."""
        topics = [topic for topic, count in unread.items() if count]
        if not topics:
            return {}
        first = self._random.choice(topics)
        chosen = [topic for topic in topics if topic == first or self._random.random() < 0.5]
        return {topic: min(unread[topic], self._random.choice(self._polls)) for topic in chosen}

    def company(self, others: Sequence[int]) -> Sequence[int]:
        """See `Scheduler.company`."""
        return [partition for partition in others if self._together and self._random.random() < 0.7]
