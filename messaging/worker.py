"""One partition of one service: batches of records, timers and outcomes become decisions, decisions become one transaction.

Nothing here knows asyncio, Kafka or the time of day: the host brings records and the time, the store and the publisher are
ports. The same object runs in production, in the tests and in the simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.letters import FEWEST_HEADERS, Word, word_of
from messaging import tail
from messaging.crash_points import reached
from messaging.deciding import RETRY_S, Deciding, Found, Item
from messaging.decision import Effect, EffectDone, Message, SetTimer, TimerFired
from messaging.decoding import decode
from messaging.errors import PermanentStoreError
from messaging.handler import Batch, Handler
from messaging.lanes import Lanes
from messaging.log_context import of_item
from messaging.logs import get_logger
from messaging.meters import Meters
from messaging.ports import Commit, DueTimer, Ownership, Parked, PendingEffect, Placed, Publisher, Record, Store
from messaging.put_off import PutOff
from messaging.schedule import Barrier, Buffers, bytes_of_all, take, within
from messaging.together import ENOUGH, Part, Together, transact
from messaging.tracing import Tracer
from messaging.unpublished import Unpublished

log = get_logger(__name__)

MAX_BATCH: Final = 500
#: What is published at once has its deadline together: so much, in rows and in bytes.
MOST_AT_ONCE: Final = 5_000
MOST_BYTES_AT_ONCE: Final = 8 * 1024 * 1024
#: A batch with more bytes than this goes by itself, and holds up nobody else.
HEAVY_BYTES: Final = 256 * 1024
#: How often published rows that are old enough are looked for, to be forgotten.
FORGET_EVERY: Final = timedelta(seconds=10)


class PartitionWorker:
    """Owns one partition of everything that a service reads, as long as its ownership number stands."""

    def __init__(
        self,
        handler: Handler,
        store: Store,
        partition: int,
        partitions: int,
        owner: str,
        meters: Meters,
        tracer: Tracer | None = None,
        together: Together | None = None,
    ) -> None:
        self.partition = partition
        self.tracer = tracer
        self.buffers = Buffers()
        self.unpublished = Unpublished()
        self.launch: list[Effect] = []
        self.lanes = Lanes()
        self.put_off = PutOff()
        self._handler = handler
        self._store = store
        self._together = together
        self._partitions = partitions
        self._owner = owner
        self._meters = meters
        #: It is certain that the broker no longer has what it acknowledged; see `reconcile`.
        self.tail_lost = False
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
        # When published rows are next looked for that are old enough to be forgotten; None: there are none at all.
        self._forget_at: datetime | None = None

    # --- ownership ----------------------------------------------------------------------------------------------------

    async def take_over(self) -> list[PendingEffect]:
        """Become the owner. Returns the effects that a predecessor left under way; what it left unpublished is queued."""
        ownership = await self._store.take_over(self.partition, self._owner, self._handler.topics)
        reached("after-take-over")
        return await self._adopt(ownership, restart=True)

    async def reload(self) -> list[PendingEffect]:
        """Go on from what the database holds, after an error. Returns the effects whose outcome did not come here yet. Raises
        `FenceLostError` where the partition is another's."""
        return await self._adopt(await self._store.reload(self.partition, self._ownership.epoch), restart=False)

    async def _adopt(self, ownership: Ownership, restart: bool) -> list[PendingEffect]:
        self._handler.forget(self.partition)
        self.buffers.clear()
        self.launch.clear()
        self._ownership = ownership
        self.epoch = ownership.epoch
        # A release that reads more topics may have owned the partition before: what it read further is none of our business.
        self.offsets = {topic: ownership.offsets[topic] for topic in self._handler.topics}
        self._stored = dict(self.offsets)
        self._next_seq = ownership.next_seq
        self.next_due = ownership.next_due
        if restart:
            self._forget_at = datetime.min.replace(tzinfo=UTC)  # what a predecessor left may be old
            self.acked = dict(ownership.acked)
            self._placed = []
            self.published_seq = self._recorded_seq = ownership.published_seq
        await self._queue_outbox(self.published_seq)
        self.lanes.adopt(await self._store.lanes(self.partition))
        pending = await self._store.pending_effects(self.partition)
        self.put_off.keep({effect.id for effect in pending})
        return [effect for effect in pending if effect.id not in self.put_off]

    async def _queue_outbox(self, after: int) -> None:
        self.unpublished.clear()
        while rows := await self._store.outbox_after(self.partition, after, 1000):
            self.unpublished.extend(rows)
            after = rows[-1].seq

    async def reconcile(self, begins: dict[str, int], ends: dict[str, int], output_ends: dict[str, int]) -> bool:
        """Compare what is stored with what the broker has. Where the broker lost its tail, what stands there now may have come
        since, on any topic: reading goes on some way before the ends, and what was handled before is told apart as any message that
        comes twice; everything that the outbox kept is published again. Returns whether anything was lost."""
        lost = self.tail_lost or tail.is_lost(self.offsets, ends, self.acked, output_ends)
        moved = tail.moved(self.offsets, begins, ends, lost)
        for topic, offset in self.offsets.items() if lost else ():
            log.warning("broker-lost-its-tail", topic=topic, offset=offset, moved_to=moved.get(topic, offset))
        if moved:
            await self._store.set_offsets(self.partition, self._ownership.epoch, moved)
            self.offsets.update(moved)
            self._stored.update(moved)
        if lost:
            self.acked = {}
            await self._queue_outbox(0)
            self._placed = []
            if self.unpublished:
                first = self.unpublished.first_seq
                await self._store.unplace(self.partition, self._ownership.epoch, first)
                self.published_seq = self._recorded_seq = min(self.published_seq, first - 1)
            self.tail_lost = False
        return lost

    # --- one step -----------------------------------------------------------------------------------------------------

    async def step(self, now: datetime, barrier: Barrier | None, outcomes: Sequence[Message] = ()) -> int:
        """Handle what may be handled now: buffered records, due timers, outcomes of effects. Returns how many things were.

        After an exception the worker must `reload` before it goes on; nothing of the batch is lost."""
        timers: list[DueTimer] = []
        self._touched.clear()
        if self.next_due is not None and self.next_due <= now:
            timers = await self._store.due_timers(self.partition, now, MAX_BATCH, self.lanes.keys)
            if timers:
                reached("after-timer-claim")
            else:
                self.next_due = await self._store.next_due(self.partition, self.lanes.keys)
        # What waits in a lane is older than what comes now.
        turn = within(await self._store.parked(self.partition, self.lanes.free, MAX_BATCH)) if self.lanes.free else ()
        again = self.put_off.due(now) if self.put_off else ()
        items: list[Item] = [*outcomes, *again, *turn, *take(self.buffers, timers, self.offsets, barrier, MAX_BATCH)]
        if items:
            await self._handle(items, now, frozenset())
            if any(isinstance(item, DueTimer) for item in items):
                self.next_due = await self._store.next_due(self.partition, self.lanes.keys)
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
                log.exception("database-refuses-message", **of_item(items[0]))
                await self._handle(items, now, frozenset({id(items[0])}))
            elif len(items) > 1:
                # One of them is poison: alone, each shows whether it is the one.
                self._handler.forget(self.partition)
                for item in items:
                    await self._handle([item], now, condemned)
            else:
                raise

    async def _transact(self, items: Sequence[Item], now: datetime, condemned: frozenset[int]) -> None:
        words: dict[int, Word] = {}
        traced = None if self.tracer is None else self.tracer.batch()
        with self._meters.phase("decode", *(() if traced is None else (traced,))):
            read = [self._read(item, words) for item in items]
        if words:
            await self._pass_over_what_is_done(items, read, words)
        if not any(read) and not any(isinstance(item, Parked) for item in items):
            self._pass_over(items)
            return
        # What the database refuses for good is not even looked up: the look-up may be what it refuses.
        pairs = list(zip(items, read, strict=True))
        messages = [found for item, found in pairs if isinstance(found, Message) and id(item) not in condemned]

        def settle(batch: Batch) -> Deciding:
            work = self._deciding(words, now)
            for item, found in pairs:
                work.settle(batch, item, found, id(item) in condemned)
            return work

        part = Part(self.partition, len(items), messages, settle, traced)
        if self._together is not None and len(items) < ENOUGH and bytes_of_all(items) < HEAVY_BYTES:
            work = await self._together.transact(part)
        else:
            (work,) = await transact(self._handler, self._store, self._meters, [part])
        self._advance(work)
        self._meters.published(work.commit.outbox)
        if self.tracer is not None and traced is not None:
            self.tracer.committed(self.partition, traced, messages, work.stamped, work.asked)

    def _pass_over(self, items: Sequence[Item]) -> None:
        """Nothing among these concerns the service. That they were read goes into the database with the next commit; a process
        that dies before it reads them again, and passes them over again."""
        for item in items:
            if isinstance(item, Record):
                self._meters.consumed(item.topic, item.offset + 1 - self.offsets[item.topic])
                self.offsets[item.topic] = item.offset + 1

    def _read(self, item: Item, words: dict[int, Word]) -> Found:
        if isinstance(item, Message):
            return item
        if isinstance(item, DueTimer):
            uid = f"timer/{item.key}/{item.name}/{item.step}/{item.due_at.isoformat()}"
            fired = TimerFired(item.name, item.step, item.due_at)
            return Message(
                f"timer.{item.name}", item.key, fired, f"timer:{item.name}:{item.step}", "timer", item.due_at, uid
            )
        record = item.record if isinstance(item, Parked) else item
        # Our own records have two headers: looking for a word costs them nothing.
        if len(record.headers) >= FEWEST_HEADERS and (word := word_of(record.headers)) is not None:
            if word.letter.service != self._handler.name:
                return None
            # A letter is spoken of by its own record, on its own topic and partition: only who may write there may do that.
            if (word.letter.topic, word.letter.partition) == (record.topic, record.partition):
                words[id(item)] = word
        return decode(record, self._partitions, self._handler.interests)

    async def _pass_over_what_is_done(self, items: Sequence[Item], read: list[Found], words: dict[int, Word]) -> None:
        done = await self._store.done_with({word.letter for word in words.values()})
        for place, item in enumerate(items):
            if id(item) in words and words[id(item)].letter in done:
                del words[id(item)]
                read[place] = None

    def _deciding(self, words: dict[int, Word], now: datetime) -> Deciding:
        commit = self._new_commit()
        return Deciding(self._handler.name, commit, self.lanes, words, self._touched, self._failures, now, self._meters)

    def _new_commit(self) -> Commit:
        return Commit(
            partition=self.partition,
            epoch=self._ownership.epoch,
            expected=dict(self._stored),
            offsets={topic: offset for topic, offset in self.offsets.items() if offset != self._stored[topic]},
            next_seq=self._next_seq,
        )

    def _advance(self, work: Deciding) -> None:
        commit = work.commit
        self._failures = work.failures
        for topic, offset in commit.offsets.items():
            if offset > self.offsets[topic]:
                self._meters.consumed(topic, offset - self.offsets[topic])
        self._touched.update(commit.timers)
        self.offsets.update(commit.offsets)
        self._stored.update(commit.offsets)
        self._next_seq = commit.next_seq
        self.unpublished.extend(commit.outbox)
        done = set(commit.effects_done)
        self.put_off.forget(done)
        self.put_off.add(work.put_off, work.now + timedelta(seconds=RETRY_S))
        self.launch.extend(effect for effect in commit.effects if effect.id not in done)
        for timer in commit.timers.values():
            if isinstance(timer, SetTimer) and (self.next_due is None or timer.due_at < self.next_due):
                self.next_due = timer.due_at
        if work.lane_work.changed and self.lanes.update(work.lane_work.changed):
            self.next_due = work.now  # the timers of a key whose lane is over need wait no more

    # --- publishing ---------------------------------------------------------------------------------------------------

    async def publish(self, publisher: Publisher) -> int:
        """Publish the next of what is waiting, in order; returns how many. If it raises, everything is still waiting, and likewise
        where it turns out that the broker lost its tail (`tail_lost`): then nothing is published before `reconcile`."""
        wires = self.unpublished.head(MOST_AT_ONCE, MOST_BYTES_AT_ONCE)
        if not wires or self.tail_lost:
            return 0
        reached("before-publish")
        with self._meters.phase("publish"):
            offsets = await publisher.publish(wires)
        reached("after-publish")
        # Where a forwarded command ended up says nothing about this partition's own tail.
        here = [
            Placed(wire.seq, wire.topic, offset)
            for wire, offset in zip(wires, offsets, strict=True)
            if wire.partition == self.partition and offset >= 0
        ]
        if any(row.offset <= self.acked.get(row.topic, -1) for row in here):
            self.tail_lost = True
            return 0
        if not self.unpublished.leave(wires):
            return len(wires)
        self.published_seq = max(self.published_seq, wires[-1].seq)
        if self.tracer is not None:
            self.tracer.published(self.partition, wires)
        self.acked.update({row.topic: row.offset for row in here})
        self._placed += here
        return len(wires)

    async def tidy(self, now: datetime, grace_s: float) -> None:
        """Record what was passed over, how far the outbox is published and where that stands, and forget published rows that are
        older than the grace period."""
        if self.offsets != self._stored:
            work = self._deciding({}, now)
            transaction = await self._store.begin()
            try:
                await transaction.commit(work.commit)
            finally:
                await self._store.rollback(transaction)
            self._advance(work)
        if self.published_seq > self._recorded_seq or self._placed:
            seq, placed = self.published_seq, tuple(self._placed)
            await self._store.mark_published(self.partition, self._ownership.epoch, seq, self.acked, placed)
            reached("after-mark")
            # Meanwhile more may have been published.
            self._recorded_seq, self._placed = seq, self._placed[len(placed) :]
            self._forget_at = self._forget_at or now + timedelta(seconds=grace_s)
        if self._forget_at is not None and self._forget_at <= now:
            left = await self._store.forget_published(now - timedelta(seconds=grace_s))
            self._forget_at = now + FORGET_EVERY if left else None
