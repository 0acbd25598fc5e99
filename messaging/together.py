"""One transaction for what several partitions of a process have to do at the same time.

A batch of three messages costs nearly what one of thirty does: the round trips, the statement's start, the commit's wait for the
disk. Where many partitions have a little each, their batches join; each keeps its own fence row, offsets and outbox, and where
the common transaction fails each goes alone, so that one partition's trouble stays its own (docs/adr/0019).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from messaging.crash_points import reached
from messaging.deciding import Deciding
from messaging.decision import Message
from messaging.errors import FenceLostError, PermanentStoreError, StaleRowError, TransientStoreError
from messaging.handler import Batch, Handler
from messaging.meters import Meters
from messaging.ports import Store
from messaging.tracing import TracedBatch

#: A batch of so many messages goes by itself: it gains nothing by company, and would hold up the others.
ENOUGH: Final = 64
#: After these it is certain that nothing was committed.
_UNDONE: Final = (FenceLostError, StaleRowError, PermanentStoreError)


@dataclass(frozen=True, slots=True)
class Part:
    """What one partition has to do: `messages` are looked up, `settle` decides all `size` items of it anew."""

    partition: int
    size: int
    messages: Sequence[Message]
    settle: Callable[[Batch], Deciding]
    traced: TracedBatch | None = None
    #: What is logged meanwhile is logged as its partition's.
    context: Context = field(default_factory=copy_context)


class Promise(Protocol):
    """What is awaited until it is kept or broken: an `asyncio.Future`, or what stands for one where there is no event loop."""

    def __await__(self) -> Generator[Any, None, Deciding]: ...
    def done(self) -> bool: ...
    def set_result(self, result: Deciding, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


class Work(Protocol):
    """What goes on by itself: an `asyncio.Task`."""

    def done(self) -> bool: ...


Asked = tuple[Part, Promise]


def _promise() -> Promise:
    return asyncio.get_running_loop().create_future()


async def transact(handler: Handler, store: Store, meters: Meters, parts: Sequence[Part]) -> list[Deciding]:
    """Load, decide and commit these parts as one; returns what was decided for each. Raises what `Transaction.commit` does."""
    traced = [part.traced for part in parts if part.traced is not None]
    reached("before-begin")
    transaction = await store.begin()
    try:
        with meters.phase("load", *traced):
            batch = await handler.load(transaction, {part.partition: part.messages for part in parts})
        reached("after-load")
        with meters.phase("decide", *traced):
            works = [part.context.run(part.settle, batch) for part in parts]
        batch.stage(transaction, [stamped for work in works for stamped in work.stamped])
        reached("before-commit")
        with meters.phase("commit", *traced):
            await transaction.commit(*(work.commit for work in works))
        reached("after-commit")
    except BaseException:
        for part in parts:
            handler.forget(part.partition)
        raise
    finally:
        await store.rollback(transaction)
    batch.committed()
    meters.batch(sum(part.size for part in parts))
    return works


class Together:
    """The common transactions of a process's partitions. What comes while one is under way is the next one."""

    def __init__(
        self,
        handler: Handler,
        store: Store,
        meters: Meters,
        promise: Callable[[], Promise] = _promise,
        begin: Callable[[Coroutine[Any, Any, None]], Work] = asyncio.create_task,
    ) -> None:
        self._handler = handler
        self._store = store
        self._meters = meters
        self._promise = promise
        self._begin = begin
        self._waiting: list[Asked] = []
        # Whose common transaction failed.
        self._alone: deque[Asked] = deque()
        self._work_at_hand: Work | None = None

    async def transact(self, part: Part) -> Deciding:
        """As the function, for one part; in company, where there is some."""
        promise = self._promise()
        self._waiting.append((part, promise))
        if self._work_at_hand is None or self._work_at_hand.done():
            self._work_at_hand = self._begin(self._work())
        return await promise

    async def close(self) -> None:
        """End what is under way, and give the connection back."""
        if isinstance(self._work_at_hand, asyncio.Task):
            self._work_at_hand.cancel()
            await asyncio.gather(self._work_at_hand, return_exceptions=True)
        await self._store.close()

    async def _work(self) -> None:
        while self._waiting or self._alone:
            taken = [self._alone.popleft()] if self._alone else self._take()
            try:
                works = await transact(self._handler, self._store, self._meters, [part for part, _ in taken])
            except _UNDONE as error:
                if len(taken) > 1:
                    self._alone.extend(taken)
                else:
                    _fail(taken, error)
            except TransientStoreError as error:
                # It may have been committed: each has to look.
                _fail(taken, error)
                await self._store.close()
            except BaseException as error:
                _fail([*taken, *self._alone, *self._waiting], error)
                self._alone.clear()
                self._waiting.clear()
                raise
            else:
                for (_, promise), work in zip(taken, works, strict=True):
                    if not promise.done():
                        promise.set_result(work)

    def _take(self) -> list[Asked]:
        """Who goes next: who has waited longest, and no more company than is worth it."""
        count, size = 0, 0
        while count < len(self._waiting) and size < ENOUGH:
            size += self._waiting[count][0].size
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


def _fail(taken: Sequence[Asked], error: BaseException) -> None:
    for _, promise in taken:
        if not promise.done():
            promise.set_exception(
                TransientStoreError("cut short") if isinstance(error, asyncio.CancelledError) else error
            )
