"""One partition of one service: batches of records, timers and outcomes become decisions, decisions become one transaction.

Nothing here knows asyncio, Kafka or the time of day: the host brings records and the time, the store and the publisher are
ports. The same object runs in production, in the tests and in the simulation.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from messaging.decision import CancelTimer, Effect, EffectDone, Message, SetTimer, TimerFired
from messaging.decoding import DeadLetter, Forward, dead_letter_wire, decode, forward_wire
from messaging.errors import PermanentStoreError, PoisonError, TooManyDeadLettersError
from messaging.handler import Batch, Handler
from messaging.meters import Meters
from messaging.ports import Commit, DueTimer, Ownership, PendingEffect, Placed, Publisher, Record, Store, Wire
from messaging.schedule import Barrier, Buffers, take
from messaging.stamp import Stamped, stamp

log = logging.getLogger(__name__)

MAX_BATCH: Final = 500
#: So many failures of the handler in a row are the handler's fault.
MAX_FAILURES_IN_A_ROW: Final = 50
#: A timer whose decision raised is tried again after this long.
TIMER_RETRY_S: Final = 60

Item = Record | DueTimer | Message


@dataclass(slots=True)
class _Work:
    """What becomes of one batch while it is being decided."""

    commit: Commit
    failures: int
    stamped: list[Stamped] = field(default_factory=list)


class PartitionWorker:
    """Owns one partition of everything that a service reads, as long as its ownership number stands."""

    def __init__(
        self, handler: Handler, store: Store, partition: int, partitions: int, owner: str, meters: Meters
    ) -> None:
        self.partition = partition
        self.buffers = Buffers()
        self.unpublished: deque[Wire] = deque()
        self.launch: list[Effect] = []
        self._handler = handler
        self._store = store
        self._partitions = partitions
        self._owner = owner
        self._meters = meters
        self._failures = 0
        # Timers that were set, cancelled or fired since the due ones were claimed: what was claimed of them is over.
        self._touched: set[tuple[str, str]] = set()
        self._ownership: Ownership
        self.epoch = 0
        # How far was read, and how far of that stands in the database: records of no interest are not worth a commit of their own.
        self.offsets: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        self.acked: dict[str, int] = {}
        self.next_due: datetime | None = None
        self.published_seq = 0
        self._recorded_seq = 0
        # Where what was published since the last time it was recorded stands.
        self._placed: list[Placed] = []
        self._next_seq = 1

    # --- ownership ----------------------------------------------------------------------------------------------------

    async def take_over(self) -> list[PendingEffect]:
        """Become the owner. Returns the effects that a predecessor left under way; what it left unpublished is queued."""
        return await self._adopt(
            await self._store.take_over(self.partition, self._owner, self._handler.topics), restart=True
        )

    async def reload(self) -> list[PendingEffect]:
        """Go on from what the database holds, after an error. Raises `FenceLostError` where the partition is another's."""
        return await self._adopt(await self._store.reload(self.partition, self._ownership.epoch), restart=False)

    async def _adopt(self, ownership: Ownership, restart: bool) -> list[PendingEffect]:
        self._handler.forget(self.partition)
        self.buffers.clear()
        self.launch.clear()
        self._ownership = ownership
        self.epoch = ownership.epoch
        self.offsets = dict(ownership.offsets)
        self._stored = dict(ownership.offsets)
        self._next_seq = ownership.next_seq
        self.next_due = ownership.next_due
        if restart:
            self.acked = dict(ownership.acked)
            self._placed = []
            self.published_seq = self._recorded_seq = ownership.published_seq
        await self._queue_outbox(self.published_seq)
        return await self._store.pending_effects(self.partition)

    async def _queue_outbox(self, after: int) -> None:
        self.unpublished.clear()
        while rows := await self._store.outbox_after(self.partition, after, 1000):
            self.unpublished.extend(rows)
            after = rows[-1].seq

    async def reconcile(self, begins: dict[str, int], ends: dict[str, int], output_ends: dict[str, int]) -> bool:
        """Compare what is stored with what the broker has. Where the broker lost its tail, reading goes on from what there is
        and everything that the outbox kept is published again. Returns whether anything was lost."""
        moved: dict[str, int] = {}
        for topic, offset in self.offsets.items():
            if offset > ends[topic]:
                log.warning("the broker lost the tail of %s/%d: %d -> %d", topic, self.partition, offset, ends[topic])
                moved[topic] = ends[topic]
            elif offset < begins[topic]:
                moved[topic] = begins[topic]
        lost = any(moved.get(topic, 0) == ends[topic] and self.offsets[topic] > ends[topic] for topic in moved)
        lost = lost or any(offset >= output_ends.get(topic, offset + 1) for topic, offset in self.acked.items())
        if moved:
            await self._store.set_offsets(self.partition, self._ownership.epoch, moved)
            self.offsets.update(moved)
            self._stored.update(moved)
        if lost:
            self.acked = {}
            await self._queue_outbox(0)
            self._placed = []
            if self.unpublished:
                await self._store.unplace(self.partition, self._ownership.epoch, self.unpublished[0].seq)
        return lost

    # --- one step -----------------------------------------------------------------------------------------------------

    async def step(self, now: datetime, barrier: Barrier | None, outcomes: Sequence[Message] = ()) -> int:
        """Handle what may be handled now: buffered records, due timers, outcomes of effects. Returns how many things were.

        After an exception the worker must `reload` before it goes on; nothing of the batch is lost."""
        timers: list[DueTimer] = []
        self._touched.clear()
        if self.next_due is not None and self.next_due <= now:
            timers = await self._store.due_timers(self.partition, now, MAX_BATCH)
            if not timers:
                self.next_due = await self._store.next_due(self.partition)
        items: list[Item] = [*outcomes, *take(self.buffers, timers, self.offsets, barrier, MAX_BATCH)]
        if items:
            await self._handle(items, now, frozenset())
            if any(isinstance(item, DueTimer) for item in items):
                self.next_due = await self._store.next_due(self.partition)
        return len(items)

    def outcome(self, effect: Effect, result: object, now: datetime) -> Message:
        """The message that tells the end of an effect."""
        done = EffectDone(effect.id, effect.kind, effect.request, result)
        uid = f"effect/{effect.id}"
        return Message(f"effect.{effect.kind}", effect.key, done, uid, self._handler.name, now, uid)

    async def _handle(self, items: Sequence[Item], now: datetime, condemned: frozenset[int]) -> None:
        try:
            await self._transact(items, now, condemned)
        except PermanentStoreError:
            if len(items) == 1 and id(items[0]) not in condemned:
                log.exception("the database refuses a message for good")
                await self._handle(items, now, frozenset({id(items[0])}))
            elif len(items) > 1:
                # One of them is poison: alone, each shows whether it is the one.
                self._handler.forget(self.partition)
                for item in items:
                    await self._handle([item], now, condemned)
            else:
                raise

    async def _transact(self, items: Sequence[Item], now: datetime, condemned: frozenset[int]) -> None:
        with self._meters.phase("decode"):
            read = [self._read(item) for item in items]
        if not any(read):
            self._pass_over(items)
            return
        # What the database refuses for good is not even looked up: the look-up may be what it refuses.
        pairs = zip(items, read, strict=True)
        messages = [found for item, found in pairs if isinstance(found, Message) and id(item) not in condemned]
        work = _Work(self._new_commit(), self._failures)
        transaction = await self._store.begin()
        try:
            with self._meters.phase("load"):
                batch = await self._handler.load(transaction, self.partition, messages)
            with self._meters.phase("decide"):
                for item, found in zip(items, read, strict=True):
                    self._settle(work, batch, item, found, now, id(item) in condemned)
            batch.stage(transaction, work.stamped)
            with self._meters.phase("commit"):
                await transaction.commit(work.commit)
        except BaseException:
            self._handler.forget(self.partition)
            raise
        finally:
            await self._store.rollback(transaction)
        batch.committed()
        self._advance(work)
        self._meters.batch(len(items))

    def _pass_over(self, items: Sequence[Item]) -> None:
        """Nothing among these concerns the service. That they were read goes into the database with the next commit; a process
        that dies before it reads them again, and passes them over again."""
        for item in items:
            if isinstance(item, Record):
                self.offsets[item.topic] = item.offset + 1
                self._meters.consumed(item.topic)

    def _read(self, item: Item) -> Message | DeadLetter | Forward | None:
        if isinstance(item, Message):
            return item
        if isinstance(item, DueTimer):
            uid = f"timer/{item.key}/{item.name}/{item.step}/{item.due_at.isoformat()}"
            fired = TimerFired(item.name, item.step, item.due_at)
            return Message(
                f"timer.{item.name}", item.key, fired, f"timer:{item.name}:{item.step}", "timer", item.due_at, uid
            )
        return decode(item, self._partitions, self._handler.interests)

    # --- inside a batch -----------------------------------------------------------------------------------------------

    def _settle(
        self,
        work: _Work,
        batch: Batch,
        item: Item,
        found: Message | DeadLetter | Forward | None,
        now: datetime,
        condemned: bool,
    ) -> None:
        commit = work.commit
        if isinstance(item, Record):
            commit.offsets[item.topic] = item.offset + 1
            self._meters.consumed(item.topic)
        if condemned:
            self._failed(work, item, "The database refuses what this message would write.", now)
        elif isinstance(found, Message):
            self._decide(work, batch, item, found, now)
        elif isinstance(found, DeadLetter):
            self._bury(commit, found, now)
        elif isinstance(found, Forward):
            commit.outbox.append(forward_wire(commit.next_seq, found))
            commit.next_seq += 1
            self._meters.forwarded(found.record.topic)

    def _decide(self, work: _Work, batch: Batch, item: Item, message: Message, now: datetime) -> None:
        commit = work.commit
        if isinstance(item, DueTimer):
            if (item.key, item.name) in commit.timers or (item.key, item.name) in self._touched:
                return  # what was decided since it was claimed has replaced or cancelled it
            commit.timers[item.key, item.name] = CancelTimer(item.key, item.name)
        try:
            decision = batch.decide(message, now)
        except Exception as error:
            if isinstance(error, PoisonError) and isinstance(item, Record):
                self._bury(commit, DeadLetter(item, error.reason, str(error)), now)
                return
            log.exception("the decision on %s failed", message.type, extra={"key": message.key, "cause": message.uid})
            self._failed(work, item, type(error).__name__, now)
            return
        work.failures = 0
        for index, said in enumerate(decision.says):
            stamped = stamp(self._handler.name, self.partition, message, index, commit.next_seq, said, now)
            commit.next_seq += 1
            work.stamped.append(stamped)
            if stamped.wire is not None:
                commit.outbox.append(stamped.wire)
        for timer in decision.timers:
            commit.timers[timer.key, timer.name] = timer
        commit.effects.extend(decision.effects)
        if isinstance(message.data, EffectDone):
            commit.effects_done.append(message.data.effect_id)

    def _failed(self, work: _Work, item: Item, error: str, now: datetime) -> None:
        work.failures += 1
        if work.failures >= MAX_FAILURES_IN_A_ROW:
            raise TooManyDeadLettersError(f"{work.failures} messages in a row failed, the last with: {error}")
        if isinstance(item, Record):
            self._bury(work.commit, DeadLetter(item, "handler-error", error), now)
        elif isinstance(item, DueTimer):
            retry_at = now + timedelta(seconds=TIMER_RETRY_S)
            work.commit.timers[item.key, item.name] = SetTimer(item.key, item.name, item.step, retry_at)
        # The outcome of an effect is not recorded: the effect is asked for again when the partition is next taken over.

    def _bury(self, commit: Commit, dead: DeadLetter, now: datetime) -> None:
        log.warning(
            "dead letter", extra={"reason": dead.reason, "topic": dead.record.topic, "offset": dead.record.offset}
        )
        commit.outbox.append(dead_letter_wire(commit.next_seq, self._handler.name, dead, now))
        commit.next_seq += 1
        self._meters.dead_lettered(dead.record.topic, dead.reason)

    def _new_commit(self) -> Commit:
        return Commit(
            partition=self.partition,
            epoch=self._ownership.epoch,
            expected=dict(self._stored),
            offsets={topic: offset for topic, offset in self.offsets.items() if offset != self._stored[topic]},
            next_seq=self._next_seq,
        )

    def _advance(self, work: _Work) -> None:
        commit = work.commit
        self._failures = work.failures
        self._touched.update(commit.timers)
        self.offsets.update(commit.offsets)
        self._stored.update(commit.offsets)
        self._next_seq = commit.next_seq
        self.unpublished.extend(commit.outbox)
        done = set(commit.effects_done)
        self.launch.extend(effect for effect in commit.effects if effect.id not in done)
        for timer in commit.timers.values():
            if isinstance(timer, SetTimer) and (self.next_due is None or timer.due_at < self.next_due):
                self.next_due = timer.due_at

    # --- publishing ---------------------------------------------------------------------------------------------------

    async def publish(self, publisher: Publisher, limit: int = 5000) -> int:
        """Publish what is waiting, in order; returns how many. If it raises, everything is still waiting."""
        wires = [self.unpublished[index] for index in range(min(limit, len(self.unpublished)))]
        if not wires:
            return 0
        with self._meters.phase("publish"):
            offsets = await publisher.publish(wires)
        while self.unpublished and self.unpublished[0].seq <= wires[-1].seq:
            self.unpublished.popleft()
        self.published_seq = max(self.published_seq, wires[-1].seq)
        # Where a forwarded command ended up says nothing about this partition's own tail.
        for wire, offset in zip(wires, offsets, strict=True):
            if wire.partition == self.partition and offset >= 0:
                self.acked[wire.topic] = offset
                self._placed.append(Placed(wire.seq, wire.topic, offset))
        return len(wires)

    async def tidy(self, now: datetime, grace_s: float) -> None:
        """Record what was passed over, how far the outbox is published and where that stands, and delete published rows that are
        older than the grace period."""
        if self.offsets != self._stored:
            work = _Work(self._new_commit(), self._failures)
            transaction = await self._store.begin()
            try:
                await transaction.commit(work.commit)
            finally:
                await self._store.rollback(transaction)
            self._advance(work)
        if self.published_seq > self._recorded_seq or self._placed:
            seq, placed = self.published_seq, tuple(self._placed)
            await self._store.mark_published(self.partition, self._ownership.epoch, seq, self.acked, placed)
            # Meanwhile more may have been published.
            self._recorded_seq, self._placed = seq, self._placed[len(placed) :]
        await self._store.forget_published(self.partition, now - timedelta(seconds=grace_s), 5000)
