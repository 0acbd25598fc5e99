"""What a simulation asked of its workers, call by call, and what came of each: enough to ask the same of other ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Final, Literal
from unittest.mock import patch

import simulation.process
from messaging.decision import Effect, Message
from messaging.errors import FenceLostError, MessagingError, PublishUnknownError, StaleRowError, TransientStoreError
from messaging.handler import Handler
from messaging.ports import Commit, Publisher, Record, Store, Wire
from messaging.schedule import Barrier
from messaging.worker import PartitionWorker
from simulation.clock import START

#: What became of a commit: it was made; it was made, or was not, and nobody heard of it.
Fate = Literal["made", "made-unheard", "lost"]
FATES: Final[tuple[Fate, ...]] = ("made", "made-unheard", "lost")
#: What a worker's caller has to live with; everything else ends the simulation.
EXPECTED: Final = (MessagingError,)


@dataclass(frozen=True, slots=True)
class State:
    """A worker between two calls, as far as it can be seen from outside."""

    offsets: dict[str, int]
    epoch: int
    next_due: datetime | None
    unpublished: tuple[Wire, ...]
    launch: tuple[Effect, ...]
    lanes: frozenset[str]

    @classmethod
    def of(cls, worker: PartitionWorker) -> State:
        """As it is now."""
        return cls(
            dict(worker.offsets),
            worker.epoch,
            worker.next_due,
            tuple(worker.unpublished),
            tuple(worker.launch),
            frozenset(worker.lanes.keys),
        )


@dataclass(frozen=True, slots=True)
class Call:
    """A method of a worker with its arguments, when it was called, and what came of it: a result or an error."""

    worker: int
    name: str
    at: datetime
    arguments: tuple[Any, ...]
    buffered: dict[str, tuple[Record, ...]]
    result: Any
    error: str | None
    after: State


@dataclass
class Life:
    """A worker: whose partition it works on, and the commits whose fate was not the usual one. Workers of one process share their
    handler, which `process` tells from others."""

    service: str
    partition: int
    partitions: int
    owner: str
    process: int
    fates: list[Fate] = field(default_factory=list)


@dataclass
class Tape:
    """All calls of one simulation, in order, and the workers that were called."""

    lives: list[Life] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    now: datetime = START


class Unsure:
    """A store some of whose commits are lost, or are made and not heard of: their fates come one by one."""

    def __init__(self, store: Any, fates: Iterator[Fate]) -> None:
        #: How often anything was asked of the store.
        self.asked = 0
        self._store = store
        self._fates = fates

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self._store, name)

    async def begin(self) -> Any:
        """See `Store.begin`."""
        self.asked += 1
        return _UnsureTransaction(await self._store.begin(), self._fates)

    async def rollback(self, transaction: Any) -> None:
        """See `Store.rollback`."""
        await self._store.rollback(transaction.real)


class _UnsureTransaction:
    def __init__(self, real: Any, fates: Iterator[Fate]) -> None:
        self.real = real
        self._fates = fates

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def commit(self, *commits: Commit) -> None:
        fate = next(self._fates)
        if fate != "lost":
            await self.real.commit(*commits)
        if fate != "made":
            raise TransientStoreError("the connection was cut")


class HalfHeard:
    """A publisher that now and then is not answered, after all or half of the records are there."""

    def __init__(self, publisher: Publisher, random: Random, rate: float) -> None:
        self._publisher = publisher
        self._random = random
        self._rate = rate

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        """See `Publisher.publish`."""
        if self._random.random() >= self._rate:
            return await self._publisher.publish(wires)
        await self._publisher.publish(wires[: len(wires) // self._random.choice((1, 2))])
        raise PublishUnknownError("no acknowledgement")


@contextmanager
def recorded(random: Random, unsure_rate: float, brittle: Callable[[Handler], Handler]) -> Iterator[Tape]:
    """Whatever system is simulated within writes its workers' calls on the tape. Of all commits `unsure_rate` are not heard of;
    `brittle` gives each handler its weakness."""
    tape = Tape()
    handlers: list[tuple[Handler, Handler]] = []

    class Recorded(PartitionWorker):
        """The worker of production, overheard."""

        def __init__(
            self,
            handler: Handler,
            store: Store,
            partition: int,
            partitions: int,
            owner: str,
            meters: Any,
            together: object = None,
        ) -> None:
            # In these worlds each partition has transactions of its own, so that its calls can be made again one by one.
            if not any(handler is known for known, _ in handlers):
                handlers.append((handler, brittle(handler)))
            process = next(number for number, (known, _) in enumerate(handlers) if known is handler)
            self._life = Life(handler.name, partition, partitions, owner, process)
            self._number = len(tape.lives)
            tape.lives.append(self._life)
            self._unsure: Any = Unsure(store, self._fates())
            super().__init__(handlers[process][1], self._unsure, partition, partitions, owner, meters)

        def _fates(self) -> Iterator[Fate]:
            while True:
                unsure = random.random() < unsure_rate
                self._life.fates.append(random.choice(FATES[1:]) if unsure else "made")
                yield self._life.fates[-1]

        async def _overheard(self, name: str, arguments: tuple[Any, ...], told: tuple[Any, ...]) -> Any:
            if told and isinstance(told[0], datetime):
                tape.now = told[0]
            buffered = {topic: tuple(queue) for topic, queue in self.buffers.topics.items()}
            result, failed, asked = None, None, self._unsure.asked
            try:
                result = await getattr(PartitionWorker, name)(self, *arguments)
            except EXPECTED as error:
                failed = error
            if name == "tidy" and self._unsure.asked == asked:
                return None  # there was nothing to do, as nearly always
            kind = None if failed is None else type(failed).__name__
            tape.calls.append(Call(self._number, name, tape.now, told, buffered, result, kind, State.of(self)))
            if failed is not None:
                raise failed
            return result

        async def take_over(self) -> Any:
            return await self._overheard("take_over", (), ())

        async def reload(self) -> Any:
            return await self._overheard("reload", (), ())

        async def reconcile(self, begins: dict[str, int], ends: dict[str, int], output_ends: dict[str, int]) -> bool:
            arguments = dict(begins), dict(ends), dict(output_ends)
            found: bool = await self._overheard("reconcile", arguments, arguments)
            return found

        async def step(self, now: datetime, barrier: Barrier | None, outcomes: Sequence[Message] = ()) -> int:
            arguments = now, barrier, tuple(outcomes)
            found: int = await self._overheard("step", arguments, arguments)
            return found

        async def publish(self, publisher: Publisher) -> int:
            heard = _Heard(publisher)
            found: int = await self._overheard("publish", (heard,), (heard,))
            return found

        async def tidy(self, now: datetime, grace_s: float) -> None:
            await self._overheard("tidy", (now, grace_s), (now, grace_s))

    with patch.object(simulation.process, "PartitionWorker", Recorded):
        yield tape


class _Heard:
    """A publisher whose answer is remembered, and given again."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher: Publisher | None = publisher
        self._answer: list[int] | None = None

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        """See `Publisher.publish`."""
        if self._publisher is not None:
            publisher, self._publisher = self._publisher, None
            self._answer = await publisher.publish(wires)
        elif self._answer is None:
            raise PublishUnknownError("no acknowledgement, as before")
        return list(self._answer or ())


KNOWN_ERRORS: Final = {
    kind.__name__: kind for kind in (FenceLostError, PublishUnknownError, StaleRowError, TransientStoreError)
}
