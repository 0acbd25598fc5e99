"""A service's process: the workers of its partitions, what they have read, the calls that are under way. All of it dies with it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from messaging.decision import Effect, Message
from messaging.errors import FenceLostError, PublishUnknownError, StaleRowError, TransientStoreError
from messaging.handler import Handler, Performer
from messaging.ports import PendingEffect, Publisher, Store
from messaging.schedule import Barrier
from messaging.worker import PartitionWorker
from simulation.clock import Stepped, VirtualClock, finish
from simulation.company import Company, Ended
from simulation.journal import JournalBroker
from simulation.meters import NoMeters
from simulation.schedule import Action, Scheduler

#: A timer fires when it is certain that nothing was appended before it was due: just after that moment.
JUST_AFTER: Final = timedelta(microseconds=1)
#: As in production: published rows of the outbox are kept so long.
OUTBOX_GRACE_S: Final = 30.0
#: A timer that is due and could not fire is tried again after this.
PATIENCE: Final = timedelta(milliseconds=20)
#: Where it is not known whether a publish worked, it is done again after this.
PUBLISH_AGAIN: Final = timedelta(milliseconds=100)


class Killed(Exception):  # noqa: N818 - what happened to a process, not an error of anybody
    """The process dies at this very point: raised by a fault that was put in its way."""


def _alone(step: Coroutine[Any, Any, int]) -> Ended:
    try:
        return finish(step)
    except (TransientStoreError, StaleRowError, FenceLostError) as error:
        return error


class Lane:
    """One partition of one process: what `messaging.runner` does with tasks, done one step at a time."""

    def __init__(
        self,
        process: Process,
        worker: PartitionWorker,
        handler: Handler,
        publisher: Publisher,
        performer: Performer,
        broker: JournalBroker,
        clock: VirtualClock,
        scheduler: Scheduler,
    ) -> None:
        self.worker = worker
        #: Another process owns the partition, and this one has found out.
        self.lost = False
        #: Topics from which nothing comes in at the moment.
        self.held: set[str] = set()
        #: It stands still: nothing happens here, though much could.
        self.asleep = False
        self._process = process
        self._topics = handler.topics
        self._broker = broker
        self._publisher = publisher
        self._performer = performer
        self._clock = clock
        self._scheduler = scheduler
        self._outcomes: list[Message] = []
        self._calls: dict[str, tuple[Effect, Stepped]] = {}
        self._publish_at = self._patient_until = clock.now()
        #: What could happen here now, and when something could by time alone; to be looked up where it is `stirred`.
        self.possible: tuple[Action, ...] = ()
        self.wake_at: datetime | None = None
        self.stirred = True
        named = process.service, worker.partition
        self._handling = Action(*named, "handle", do=self._handle, process=process)
        self._publishing = Action(*named, "publish", do=self._publish, process=process)
        for topic in self._topics:
            broker.listen(topic, worker.partition, self.stir)

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

    def stir(self) -> None:
        """Something has changed here: what could happen is to be looked up anew."""
        self.stirred = True

    def look(self) -> None:
        """Look up what could happen here now, and when something could by time alone."""
        self.stirred = False
        if self.asleep:
            self.possible, self.wake_at = (), None
            return
        worker, now = self.worker, self._clock.now()
        moments, due = [], bool(self._outcomes or worker.lanes.free or len(worker.buffers))
        if worker.next_due is not None:
            at = max(worker.next_due + JUST_AFTER - self._process.ahead, self._patient_until)
            due = due or at <= now
            moments.append(at)
        if worker.put_off and (again := worker.put_off.next_due) is not None:
            at = max(again - self._process.ahead, self._patient_until)
            due = due or at <= now
            moments.append(at)
        possible = [self._handling] if due or self._any_unread() else []
        if worker.unpublished:
            moments.append(self._publish_at)
            if self._publish_at <= now:
                possible.append(self._publishing)
        for effect, call in self._calls.values():
            moments.append(call.wake_at)
            if call.wake_at <= now:
                possible.append(self._calling(effect))
        self.possible = tuple(possible)
        self.wake_at = min((at for at in moments if at > now), default=None)

    def _calling(self, effect: Effect) -> Action:
        partition, process = self.worker.partition, self._process
        return Action(process.service, partition, "call", effect.id, do=partial(self._call, effect), process=process)

    def _any_unread(self) -> bool:
        partition, broker, held = self.worker.partition, self._broker, self.held
        return any(broker.end(t, partition) > self._position(t) for t in self._topics if t not in held)

    def _unread(self) -> dict[str, int]:
        partition, held = self.worker.partition, self.held
        return {t: self._broker.end(t, partition) - self._position(t) for t in self._topics if t not in held}

    def _position(self, topic: str) -> int:
        queue = self.worker.buffers.topics.get(topic)
        return queue[-1].offset + 1 if queue else self.worker.offsets[topic]

    # --- what happens -------------------------------------------------------------------------------------------------

    def _handle(self) -> None:
        lanes = [self, *self._process.company_of(self)]
        outcomes = [list(lane._outcomes) for lane in lanes]
        steps = [lane._step(told) for lane, told in zip(lanes, outcomes, strict=True)]
        ends = self._process.together.side_by_side(steps) if len(lanes) > 1 else [_alone(steps[0])]
        for end in ends:
            if isinstance(end, Killed):
                raise end
        for lane, told, end in zip(lanes, outcomes, ends, strict=True):
            lane._handled(told, end)

    def _step(self, outcomes: Sequence[Message]) -> Coroutine[Any, Any, int]:
        self.stir()
        worker, now = self.worker, self._process.now()
        for topic, count in self._scheduler.poll(self._unread()).items():
            worker.buffers.offer(
                self._broker.read(topic, worker.partition, self._position(topic), count), worker.offsets
            )
        ends = {topic: self._broker.end(topic, worker.partition) for topic in self._topics}
        return worker.step(now, Barrier(now, ends), outcomes)

    def _handled(self, outcomes: Sequence[Message], end: Ended) -> None:
        if isinstance(end, TransientStoreError | StaleRowError):
            self._reload()
            return
        if isinstance(end, FenceLostError):
            self.lose()
            return
        if isinstance(end, Exception):
            raise end
        # A timer that could not fire yet is tried again in a moment, as in production.
        self._patient_until = self._clock.now() + (PATIENCE if end == 0 else timedelta())
        self._outcomes = self._outcomes[len(outcomes) :]
        for effect in self.worker.launch:
            self._launch(effect, resumed=False)
        self.worker.launch.clear()

    @property
    def has_work(self) -> bool:
        """Whether a batch could be handled here now."""
        if self.stirred:
            self.look()
        return self._handling in self.possible

    def _reload(self) -> None:
        try:
            self._resume(finish(self.worker.reload()))
        except FenceLostError:
            self.lose()

    def _publish(self) -> None:
        self.stir()
        try:
            finish(self.worker.publish(self._publisher))
        except PublishUnknownError:
            self._publish_at = self._clock.now() + PUBLISH_AGAIN
        else:
            if self.worker.tail_lost:
                self._reload()

    def look_at_tail(self) -> None:
        """The broker has lost some of what it had. A reader that asks for what is not there any more is sent back."""
        partition = self.worker.partition
        if any(self._position(topic) > self._broker.end(topic, partition) for topic in self._topics):
            self.worker.tail_lost = True
            self.stir()
            self._reload()

    def _launch(self, effect: Effect, resumed: bool) -> None:
        if effect.id not in self._calls:
            performing = self._performer.perform(effect.kind, effect.request, resumed)
            self._calls[effect.id] = effect, Stepped(performing, self._clock.now())

    def _call(self, effect: Effect) -> None:
        self.stir()
        call = self._calls[effect.id][1]
        call.step()
        if call.done:
            del self._calls[effect.id]
            self._outcomes.append(self.worker.outcome(effect, call.result, self._process.now()))

    def tidy(self) -> None:
        """Record what is published and forget what is old, as a living process does now and then."""
        while not self.lost:
            try:
                finish(self.worker.tidy(self._process.now(), OUTBOX_GRACE_S))
            except (TransientStoreError, StaleRowError):
                self._reload()
            except FenceLostError:
                self.lose()
            else:
                return
            self.stir()

    def holds_back(self, topic: str) -> bool:
        """Whether a topic that is held has anything to read."""
        read = topic in self._topics and topic in self.held
        return read and self._broker.end(topic, self.worker.partition) > self._position(topic)

    def leave(self) -> None:
        """The process gives the partition up in good order: what is committed is published, and that is recorded."""
        while self.worker.unpublished and self._publish_at <= self._clock.now():
            self._publish()
        if not self.worker.unpublished:
            self.tidy()
        self.lose()

    def lose(self) -> None:
        """The partition is another's, and everything that was under way here is let go."""
        self.lost = True
        self.die()

    def die(self) -> None:
        """Nothing goes on here."""
        for topic in self._topics:
            self._broker.unlisten(topic, self.worker.partition, self.stir)
        for _, call in self._calls.values():
            call.abandon()


class Process:
    """A service while it lives, with the partitions that it was given. `ahead`: by how much its clock is fast."""

    def __init__(
        self,
        handler: Handler,
        performer: Performer,
        store: Callable[[], Store],
        publisher: Callable[[], Publisher],
        broker: JournalBroker,
        clock: VirtualClock,
        scheduler: Scheduler,
        partitions: Iterable[int],
        ahead: timedelta = timedelta(),
    ) -> None:
        self.service = handler.name
        self.ahead = ahead
        self._clock = clock
        meters, count, owner = NoMeters(), broker.partitions, f"{handler.name}-worker"
        self._scheduler = scheduler
        self.together = Company(handler, store(), meters)
        self.lanes: list[Lane] = []
        for number in partitions:
            worker = PartitionWorker(handler, store(), number, count, owner, meters, together=self.together)
            self.lanes.append(Lane(self, worker, handler, publisher(), performer, broker, clock, scheduler))
        for lane in self.lanes:
            lane.begin()

    def now(self) -> datetime:
        """The time by this process's clock."""
        return self._clock.now() + self.ahead

    @property
    def lost(self) -> bool:
        """Whether it has found out that some of what it has is another's."""
        return any(lane.lost for lane in self.lanes)

    def company_of(self, lane: Lane) -> list[Lane]:
        """The lanes that have something to do when this one does, and do it with it."""
        others = {other.worker.partition: other for other in self.lanes if other is not lane and other.has_work}
        return [others[partition] for partition in self._scheduler.company(tuple(others))] if others else []

    def leave(self, partition: int) -> None:
        """See `Lane.leave`. What stands still does not even know that it is asked to."""
        for lane in self.lanes:
            if lane.worker.partition == partition and not lane.asleep:
                lane.leave()

    def let_go(self) -> None:
        """Part with what is another's."""
        self.lanes = [lane for lane in self.lanes if not lane.lost]

    def tidy(self) -> None:
        """See `Lane.tidy`."""
        for lane in self.lanes:
            lane.tidy()

    def die(self) -> None:
        """What it had in memory is gone, and so is every answer that was still on its way to it."""
        for lane in self.lanes:
            lane.die()
