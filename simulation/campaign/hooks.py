"""The runtime's ports with somebody in the way: each does what the real one does, until a fault is due."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from messaging.decision import Decision, Message
from messaging.errors import FenceLostError, PermanentStoreError, PoisonError, PublishUnknownError, TransientStoreError
from messaging.handler import Batch, Handler, Parts, Performer, all_of
from messaging.ports import Commit, DueTimer, Placed, Publisher, Store, Wire
from simulation.process import Killed

if TYPE_CHECKING:
    from simulation.campaign.faults import Faults


class FaultyStore:
    """See `messaging.ports.Store`. What is not here is as it always is."""

    def __init__(self, faults: Faults, service: str, store: Store) -> None:
        self._faults = faults
        self._service = service
        self._store = store
        self._claimed: list[DueTimer] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def begin(self) -> FaultyTransaction:
        """See `Store.begin`."""
        return FaultyTransaction(self._faults, self._service, await self._store.begin())

    async def due_timers(
        self, partition: int, until: datetime, limit: int, but: Collection[str] = ()
    ) -> list[DueTimer]:
        """See `Store.due_timers`."""
        faults, service = self._faults, self._service
        due = await self._store.due_timers(partition, until, limit, but)
        if due and faults.takes("timer-late", service):
            return []
        if faults.is_armed("timer-twice", service) and self._claimed:
            known = {(timer.key, timer.name) for timer in due}
            again = [t for t in self._claimed if t.key not in but and (t.key, t.name) not in known]
            if again:
                faults.take("timer-twice", service)
                due = sorted([*again, *due], key=lambda t: (t.due_at, t.key, t.name))[:limit]
        if faults.is_armed("timer-early", service):
            early = await self._early(partition, until, limit, but, due)
            if early:
                faults.take("timer-early", service)
                return [*due, *early][:limit]
        self._claimed = due or self._claimed
        return due

    async def _early(
        self, partition: int, until: datetime, limit: int, but: Collection[str], due: Sequence[DueTimer]
    ) -> list[DueTimer]:
        """Timers of the next hour, as a process would have set them whose clock was slow."""
        soon = await self._store.due_timers(partition, until + timedelta(hours=1), limit, but)
        return [replace(timer, due_at=until) for timer in soon if timer not in due]

    async def mark_published(
        self, partition: int, epoch: int, seq: int, acked: Mapping[str, int], placed: Sequence[Placed]
    ) -> None:
        """See `Store.mark_published`."""
        if self._faults.takes("crash-before-mark", self._service):
            raise Killed
        await self._store.mark_published(partition, epoch, seq, acked, placed)
        if self._faults.takes("crash-after-mark", self._service):
            raise Killed


class FaultyTransaction:
    """See `messaging.ports.Transaction`. `keys`: whose messages are in the batch."""

    def __init__(self, faults: Faults, service: str, inner: Any) -> None:
        self.keys: Collection[str] = ()
        self.stage = inner.stage
        self._faults = faults
        self._service = service
        self._inner = inner

    async def commit(self, *commits: Commit) -> None:
        """See `Transaction.commit`."""
        faults, service = self._faults, self._service
        matters = any(c.outbox or c.effects or c.effects_done or c.timers for c in commits)
        if matters:
            if faults.takes("crash-before-commit", service):
                raise Killed
            if faults.takes("commit-lost", service):
                raise TransientStoreError("the connection was cut before the commit")
            if len(commits) > 1:
                faults.happened("together")
            if faults.takes("taken-over-at-commit", service):
                faults.system.take_over(service, [commit.partition for commit in commits])
        refused = faults.refused.get(service)
        if refused and not refused.isdisjoint(self.keys):
            faults.happened("poison-database")
            raise PermanentStoreError("the database refuses this key")
        try:
            await self._inner.commit(*commits)
        except FenceLostError:
            faults.happened("zombie")
            raise
        if matters and faults.takes("crash-after-commit", service):
            raise Killed
        if matters and faults.takes("commit-made-unheard", service):
            raise TransientStoreError("the connection was cut after the commit")


class FaultyPublisher:
    """See `messaging.ports.Publisher`."""

    def __init__(self, faults: Faults, service: str, publisher: Publisher) -> None:
        self._faults = faults
        self._service = service
        self._publisher = publisher

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        """See `Publisher.publish`."""
        faults, service = self._faults, self._service
        if faults.takes("publish-lost", service):
            raise PublishUnknownError("the connection was cut before the records were there")
        if len(wires) > 1 and faults.takes("publish-partly", service):
            await self._publisher.publish(self._some(wires))
            raise PublishUnknownError("the connection was cut when some of the records were there")
        if len(wires) > 1 and faults.takes("crash-in-publish", service):
            await self._publisher.publish(self._some(wires))
            raise Killed
        offsets = await self._publisher.publish(wires)
        if faults.takes("publish-unheard", service):
            raise PublishUnknownError("the connection was cut before the acknowledgement")
        if faults.takes("crash-after-publish", service):
            raise Killed
        return offsets

    def _some(self, wires: Sequence[Wire]) -> list[Wire]:
        """The first ones of each topic: between topics there is no order."""
        counts = {topic: self._faults.random.randrange(len(wires)) for topic in dict.fromkeys(w.topic for w in wires)}
        there = []
        for wire in wires:
            if counts[wire.topic] > 0:
                counts[wire.topic] -= 1
                there.append(wire)
        return there


class FaultyHandler:
    """See `messaging.handler.Handler`."""

    def __init__(self, faults: Faults, handler: Handler) -> None:
        self.name, self.topics, self.interests = handler.name, handler.topics, handler.interests
        self.forget = handler.forget
        self._faults = faults
        self._handler = handler

    async def load(self, transaction: FaultyTransaction, parts: Parts) -> Batch:
        """See `Handler.load`."""
        keys = transaction.keys = dict.fromkeys(message.key for message in all_of(parts))
        self._faults.touched[self.name].update(keys)
        batch = await self._handler.load(transaction, parts)
        return WatchedBatch(self._faults, batch, self._faults.poisoned.get(self.name, ()))


class WatchedBatch:
    """See `messaging.handler.Batch`. For some keys the code has a mistake; for others it must have none."""

    def __init__(self, faults: Faults, batch: Batch, poisoned: Collection[str]) -> None:
        self.stage, self.committed = batch.stage, batch.committed
        self._faults = faults
        self._batch = batch
        self._poisoned = poisoned

    def decide(self, message: Message, now: datetime) -> Decision[Any]:
        """See `Batch.decide`."""
        if message.key in self._poisoned:
            self._faults.happened("poison-handler")
            raise RuntimeError("a mistake in the code")
        try:
            return self._batch.decide(message, now)
        except PoisonError:
            raise
        except Exception as error:
            self._faults.mistakes.append(f"nothing-raises: {message.type} of {message.key}: {error!r}")
            raise


class FaultyPerformer:
    """See `messaging.handler.Performer`."""

    def __init__(self, faults: Faults, service: str, performer: Performer) -> None:
        self.read = performer.read
        self._faults = faults
        self._service = service
        self._performer = performer

    async def perform(self, kind: str, request: Any, resumed: bool) -> Any:
        """See `Performer.perform`."""
        result = await self._performer.perform(kind, request, resumed)
        self._faults.touched[self._service][request.order_id] = None
        if self._faults.takes("crash-after-call", self._service):
            raise Killed
        if self._service == "notification" and self._faults.system.mailbox.away:
            self._faults.happened("mail-down")
        return result
