"""Drives one partition's worker: brings it records, time and outcomes, publishes what it decided, mends what went wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from aiokafka.errors import KafkaError

from messaging.backoff import longer
from messaging.crash_points import reached
from messaging.decision import Effect, Message
from messaging.errors import (
    FenceLostError,
    MessagingError,
    PublishUnknownError,
    StaleRowError,
    TailLostError,
    TooManyDeadLettersError,
)
from messaging.handler import Performer
from messaging.kafka import GroupReader
from messaging.logs import context, get_logger
from messaging.meters import Meters
from messaging.ports import Clock, PendingEffect, Publisher, Record, Store
from messaging.progress import Notes, PartitionView, failure
from messaging.schedule import Barrier
from messaging.settings import Settings
from messaging.waiting import until
from messaging.worker import PartitionWorker

log = get_logger(__name__)

IDLE_S: Final = 1.0
TIDY_EVERY_S: Final = 1.0
BACKOFF_FIRST_S: Final = 0.1
#: Batches less than this apart are close, and then so long is waited for more to come. (With 15 ms, at 50 orders/s one in
#: ten batches was saved, and every order was 30 ms later.)
BUSY_S: Final = 0.006
GATHER_S: Final = 0.005
#: With so many records waiting, or so many bytes of them, the partition is not fetched from.
MAX_BUFFERED: Final = 5_000
MAX_BUFFERED_BYTES: Final = 16 * 1024 * 1024
#: With so much unpublished the partition decides nothing more.
MAX_UNPUBLISHED: Final = 20_000
MAX_UNPUBLISHED_BYTES: Final = 64 * 1024 * 1024


class PartitionRunner:
    """The tasks of one owned partition: its loop, its publishing, its effects under way."""

    def __init__(
        self,
        worker: PartitionWorker,
        store: Store,
        reader: GroupReader,
        publisher: Publisher,
        performer: Performer,
        clock: Clock,
        settings: Settings,
        meters: Meters,
        on_fence_lost: Callable[[], None],
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self.worker = worker
        self.ready = False
        self.failing = False
        self.notes = Notes()
        self._store = store
        self._reader = reader
        self._publisher = publisher
        self._performer = performer
        self._clock = clock
        self._settings = settings
        self._meters = meters
        self._on_fence_lost = on_fence_lost
        self._on_crash = on_crash
        self._wake = asyncio.Event()
        self._to_publish = asyncio.Event()
        self._published = asyncio.Event()
        self._outcomes: list[Message] = []
        self._under_way: dict[str, asyncio.Task[None]] = {}
        # Records are taken only from the position that the database said: see `_resume`.
        self._listening = False
        self._held = False
        self._woken_at = clock.now()
        self._tidied_at: datetime | None = None
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def view(self) -> PartitionView:
        """How it stands now."""
        under_way = len(self._under_way) + len(self.worker.put_off)
        return PartitionView(self.worker, self.notes, self.ready, self.failing, under_way)

    def start(self) -> None:
        """Begin to work on the partition."""
        told = context(service=self._settings.service, partition=self.worker.partition)
        self._tasks = [asyncio.create_task(one, context=told) for one in (self._run(), self._publish_loop())]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What nobody foresaw must not leave a partition standing in silence: it ends the process."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("partition-crashed", partition=self.worker.partition, exc_info=error)
            self._on_crash(error)

    async def stop(self, drain_s: float) -> None:
        """Finish the batch at hand, publish what is committed if that is possible in time, let everything else go."""
        self._stopping = True
        self._wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=drain_s)
        if self.worker.unpublished and not self.failing:
            self._to_publish.set()
            await until(lambda: not self.worker.unpublished, self._published, drain_s)
        self._listening = False
        pending = [*self._tasks, *self._under_way.values()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if self.ready and not self.failing and not self.worker.unpublished:
            await self._last_words()
        await self._store.close()

    async def _last_words(self) -> None:
        """Record what is published, so that the next owner has nothing to repeat. It is only a kindness."""
        try:
            async with asyncio.timeout(1):
                await self.worker.tidy(self._clock.now(), self._settings.outbox_grace_s)
                await self._reader.commit({self.worker.partition: self.worker.offsets})
        except Exception as error:  # noqa: BLE001 - the next owner copes without it, and we are leaving
            log.info("last-offsets-not-recorded", partition=self.worker.partition, error=error)

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        begun = False
        while not self._stopping:
            self._listening = False
            self.notes.busy_since = self._clock.now()
            try:
                resumed = await (self.worker.reload() if begun else self.worker.take_over())
                begun = True
                await self._resume(resumed)
                self.ready, self.failing = True, False
                while not self._stopping:
                    await self._turn()
                    backoff_s = BACKOFF_FIRST_S
            except FenceLostError:
                self._meters.happened("fence-lost")
                self._on_fence_lost()
                return
            except TooManyDeadLettersError:
                raise
            except (MessagingError, KafkaError, OSError, TimeoutError) as error:
                self._note_failure(error)
                await self._store.close()
                await self._clock.sleep(backoff_s)
                backoff_s = longer(backoff_s)

    def _note_failure(self, error: Exception) -> None:
        self.failing = True
        self.notes.busy_since, self.notes.last_error = None, failure(error, self._clock.now())
        if not isinstance(error, TailLostError):  # that is counted when it is mended
            self._meters.happened("stale-row" if isinstance(error, StaleRowError) else "store-error")
        log.warning("partition-stands-still", error=error)

    async def _resume(self, pending: list[PendingEffect]) -> None:
        partition = self.worker.partition
        begins, ends = await self._reader.begins(partition), await self._reader.ends(partition)
        output_ends = await self._reader.ends_of(sorted(self.worker.acked), partition)
        if await self.worker.reconcile(begins, ends, output_ends):
            self._meters.happened("rewound")
        self.worker.buffers.clear()
        self._reader.seek(partition, self.worker.offsets)
        self._listening, self._held = True, False
        alive = {effect.id for effect in pending}
        self._outcomes = [outcome for outcome in self._outcomes if outcome.data.effect_id in alive]
        known = self._under_way.keys() | {outcome.data.effect_id for outcome in self._outcomes}
        for row in pending:
            if row.id not in known:
                request = self._performer.read(row.kind, row.request)
                self._launch(Effect(row.key, row.id, row.kind, request), resumed=True)
        self._to_publish.set()

    async def _turn(self) -> None:
        worker, now = self.worker, self._clock.now()
        if worker.tail_lost:
            raise TailLostError("the broker no longer has what it acknowledged")
        notes, barrier = self.notes, None
        notes.busy_since = now
        if worker.next_due is not None and worker.next_due <= now:
            self._reader.hurry()
            ends = await self._reader.ends(worker.partition)
            barrier = Barrier(now, ends, await self._reader.positions(worker.partition))
            now = self._clock.now()  # what came while the broker was asked is not decided before it came
        handled = 0
        if await self._has_room():
            outcomes = list(self._outcomes)
            handled = await worker.step(now, barrier, outcomes)
            self._outcomes = self._outcomes[len(outcomes) :]
        for effect in worker.launch:
            self._launch(effect, resumed=False)
        worker.launch.clear()
        if handled:
            notes.progressed_at = now
        if worker.unpublished:
            notes.outbox_since = notes.outbox_since or now
            self._to_publish.set()
        if self._tidied_at is None or (now - self._tidied_at).total_seconds() >= TIDY_EVERY_S:
            self._tidied_at = now
            await worker.tidy(now, self._settings.outbox_grace_s)
            self._meters.state(worker.partition, "outbox-waiting", len(worker.unpublished))
            self._meters.state(worker.partition, "parked-keys", len(worker.lanes.keys))
        notes.busy_since = None
        await self._gather(handled)

    async def _has_room(self) -> bool:
        """Whether what is decided now may wait for its publication in memory. If not at once, it is waited for a while."""
        unpublished = self.worker.unpublished

        def fits() -> bool:
            return len(unpublished) <= MAX_UNPUBLISHED and unpublished.bytes <= MAX_UNPUBLISHED_BYTES

        if not fits():
            await until(fits, self._published, IDLE_S)
        return fits()

    def deliver(self, records: list[Record]) -> None:
        """Take records in as they come from the reader."""
        if not self._listening:
            return
        reached("after-fetch")
        if self.worker.buffers.offer(records, self.worker.offsets):
            self.worker.tail_lost, self._listening = True, False
        if not self._held and self._filled() > 1:
            self._held = True
            self._reader.hold(self.worker.partition)
        self._wake.set()

    def _filled(self) -> float:
        """How much is buffered, of what may be."""
        buffers = self.worker.buffers
        return max(len(buffers) / MAX_BUFFERED, buffers.bytes / MAX_BUFFERED_BYTES)

    async def _gather(self, handled: int) -> None:
        """Wait for something to do: records, an outcome, a timer."""
        if self._held and self._filled() < 1 / 2:
            self._held = False
            self._reader.go_on(self.worker.partition)
        timeout_s = self._patience(handled)
        if timeout_s <= 0 or self._outcomes or (handled and self.worker.buffers):
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
        if self._busy():
            await self._clock.sleep(GATHER_S)

    def _busy(self) -> bool:
        """Whether batches follow each other so closely that waiting a moment makes one of two. A batch costs as much as ten
        messages; when it is quiet, nobody waits."""
        now = self._clock.now()
        since_s, self._woken_at = (now - self._woken_at).total_seconds(), now
        return since_s < BUSY_S

    def _patience(self, handled: int) -> float:
        if self.worker.lanes.free:
            return 0.0
        if self.worker.next_due is None:
            return IDLE_S
        until_due = (self.worker.next_due - self._clock.now()).total_seconds()
        if until_due > 0:
            return min(until_due, IDLE_S)
        # A timer is due. If it could not fire yet, records that were appended before its deadline are still on their way.
        return 0.0 if handled else 0.02

    # --- publishing and effects ---------------------------------------------------------------------------------------

    async def _publish_loop(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while True:
            await self._to_publish.wait()
            self._to_publish.clear()
            while self.worker.unpublished and not self.worker.tail_lost:
                try:
                    if not await self.worker.publish(self._publisher):
                        self._wake.set()  # the tail is lost: the loop has to look what is left
                    backoff_s = BACKOFF_FIRST_S
                    self.notes.outbox_since = self._clock.now() if self.worker.unpublished else None
                    self._published.set()
                except PublishUnknownError as error:
                    self._meters.happened("publish-unknown")
                    self.notes.last_error = failure(error, self._clock.now(), "publishing")
                    log.warning("publishing-failed", retry_in_s=backoff_s, error=error)
                    await self._clock.sleep(backoff_s)
                    backoff_s = longer(backoff_s)

    def _launch(self, effect: Effect, resumed: bool) -> None:
        if effect.id in self._under_way:
            return
        self._under_way[effect.id] = asyncio.create_task(self._perform(effect, resumed))

    async def _perform(self, effect: Effect, resumed: bool) -> None:
        backoff_s, tracer = BACKOFF_FIRST_S, self.worker.tracer
        while True:
            began_ns = time.time_ns()
            try:
                reached("before-effect")
                result = await self._performer.perform(effect.kind, effect.request, resumed)
                reached("after-effect")
                break
            except Exception as error:  # whatever it was, the effect is still asked for
                if tracer is not None:
                    tracer.performed(effect, began_ns, type(error).__name__)
                self.notes.last_error = failure(error, self._clock.now(), f"an effect of kind {effect.kind}")
                self._meters.happened("effect-failed")
                log.exception("effect-failed", kind=effect.kind, key=effect.key, retry_in_s=backoff_s)
                await self._clock.sleep(backoff_s)
                backoff_s, resumed = longer(backoff_s), True
        if tracer is not None:
            tracer.performed(effect, began_ns)
        self._outcomes.append(self.worker.outcome(effect, result, self._clock.now()))
        self._under_way.pop(effect.id, None)
        self._wake.set()
