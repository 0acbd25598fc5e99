"""A service's process: the workers of its partitions, what they have read, the calls that are under way. All of it dies with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from messaging.decision import Effect, Message
from messaging.errors import PublishUnknownError, StaleRowError, TransientStoreError
from messaging.handler import Handler, Performer
from messaging.memory import MemoryBroker
from messaging.meters import Meters
from messaging.ports import PendingEffect, Publisher, Store
from messaging.schedule import Barrier
from messaging.worker import PartitionWorker
from simulation.clock import Stepped, VirtualClock, finish
from simulation.schedule import Action, Scheduler

#: A timer fires when it is certain that nothing was appended before it was due: just after that moment.
JUST_AFTER: Final = timedelta(microseconds=1)
#: As in production: published rows of the outbox are kept so long.
OUTBOX_GRACE_S: Final = 30.0
#: Where it is not known whether a publish worked, it is done again after this.
PUBLISH_AGAIN: Final = timedelta(milliseconds=100)


class Lane:
    """One partition of one process: what `messaging.runner` does with tasks, done one step at a time."""

    def __init__(
        self,
        worker: PartitionWorker,
        topics: tuple[str, ...],
        broker: MemoryBroker,
        publisher: Publisher,
        performer: Performer,
        clock: VirtualClock,
        scheduler: Scheduler,
    ) -> None:
        self.worker = worker
        self._topics = topics
        self._broker = broker
        self._publisher = publisher
        self._performer = performer
        self._clock = clock
        self._scheduler = scheduler
        self._outcomes: list[Message] = []
        self._calls: dict[str, tuple[Effect, Stepped]] = {}
        self._publish_at = clock.now()

    def begin(self) -> None:
        """Take the partition over, with whatever a predecessor left behind."""
        self._resume(finish(self.worker.take_over()))

    def _resume(self, pending: list[PendingEffect]) -> None:
        partition, broker = self.worker.partition, self._broker
        begins = dict.fromkeys(self._topics, 0)
        ends = {topic: broker.end(topic, partition) for topic in self._topics}
        finish(self.worker.reconcile(begins, ends, {t: broker.end(t, partition) for t in self.worker.acked}))
        alive = {row.id for row in pending}
        self._outcomes = [outcome for outcome in self._outcomes if outcome.data.effect_id in alive]
        known = self._calls.keys() | {outcome.data.effect_id for outcome in self._outcomes}
        for row in pending:
            if row.id not in known:
                request = self._performer.read(row.kind, row.request)
                self._launch(Effect(row.key, row.id, row.kind, request), resumed=True)

    # --- what could happen --------------------------------------------------------------------------------------------

    def actions(self, service: str) -> Iterator[Action]:
        """What could happen here now."""
        worker, now = self.worker, self._clock.now()
        due = worker.next_due is not None and worker.next_due < now
        if due or self._outcomes or worker.lanes.free or len(worker.buffers) or any(self._unread().values()):
            yield Action(service, worker.partition, "handle", "", self._handle)
        if worker.unpublished and self._publish_at <= now:
            yield Action(service, worker.partition, "publish", "", self._publish)
        for effect, call in self._calls.values():
            if call.wake_at <= now:
                yield Action(service, worker.partition, "call", effect.id, partial(self._call, effect))

    def next_at(self) -> datetime | None:
        """When something could happen here by time alone."""
        moments = [call.wake_at for _, call in self._calls.values()]
        if self.worker.next_due is not None:
            moments.append(self.worker.next_due + JUST_AFTER)
        if self.worker.unpublished:
            moments.append(self._publish_at)
        return min(moments, default=None)

    def _unread(self) -> dict[str, int]:
        partition = self.worker.partition
        return {topic: self._broker.end(topic, partition) - self._position(topic) for topic in self._topics}

    def _position(self, topic: str) -> int:
        queue = self.worker.buffers.topics.get(topic)
        return queue[-1].offset + 1 if queue else self.worker.offsets[topic]

    # --- what happens -------------------------------------------------------------------------------------------------

    def _handle(self) -> None:
        worker, now = self.worker, self._clock.now()
        for topic, count in self._scheduler.poll(self._unread()).items():
            worker.buffers.offer(
                self._broker.read(topic, worker.partition, self._position(topic), count), worker.offsets
            )
        ends = {topic: self._broker.end(topic, worker.partition) for topic in self._topics}
        outcomes = list(self._outcomes)
        try:
            finish(worker.step(now, Barrier(now, ends), outcomes))
        except (TransientStoreError, StaleRowError):
            self._resume(finish(worker.reload()))
            return
        self._outcomes = self._outcomes[len(outcomes) :]
        for effect in worker.launch:
            self._launch(effect, resumed=False)
        worker.launch.clear()

    def _publish(self) -> None:
        try:
            finish(self.worker.publish(self._publisher))
        except PublishUnknownError:
            self._publish_at = self._clock.now() + PUBLISH_AGAIN

    def _launch(self, effect: Effect, resumed: bool) -> None:
        performing = self._performer.perform(effect.kind, effect.request, resumed)
        self._calls[effect.id] = effect, Stepped(performing, self._clock.now())

    def _call(self, effect: Effect) -> None:
        call = self._calls[effect.id][1]
        call.step()
        if call.done:
            del self._calls[effect.id]
            self._outcomes.append(self.worker.outcome(effect, call.result, self._clock.now()))

    def tidy(self) -> None:
        """Record what is published and forget what is old, as a living process does now and then."""
        while True:
            try:
                finish(self.worker.tidy(self._clock.now(), OUTBOX_GRACE_S))
            except (TransientStoreError, StaleRowError):
                self._resume(finish(self.worker.reload()))
            else:
                return

    def die(self) -> None:
        """Nothing goes on here."""
        for _, call in self._calls.values():
            call.abandon()


class Process:
    """A service while it lives."""

    def __init__(
        self,
        handler: Handler,
        performer: Performer,
        store: Callable[[], Store],
        publisher: Callable[[], Publisher],
        broker: MemoryBroker,
        clock: VirtualClock,
        scheduler: Scheduler,
    ) -> None:
        self.service = handler.name
        meters = Meters(handler.name)
        self.lanes = [
            Lane(
                PartitionWorker(handler, store(), partition, broker.partitions, f"{handler.name}-worker", meters),
                handler.topics,
                broker,
                publisher(),
                performer,
                clock,
                scheduler,
            )
            for partition in range(broker.partitions)
        ]
        for lane in self.lanes:
            lane.begin()

    def actions(self) -> Iterator[Action]:
        """What could happen in this process now."""
        for lane in self.lanes:
            yield from lane.actions(self.service)

    def next_at(self) -> datetime | None:
        """When something could happen in it by time alone."""
        return min((at for lane in self.lanes if (at := lane.next_at()) is not None), default=None)

    def tidy(self) -> None:
        """See `Lane.tidy`."""
        for lane in self.lanes:
            lane.tidy()

    def die(self) -> None:
        """What it had in memory is gone, and so is every answer that was still on its way to it."""
        for lane in self.lanes:
            lane.die()
