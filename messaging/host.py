"""A service's process: it joins the group, runs a `PartitionRunner` for each partition it is given, and starts all over when
the group, the fence or a reader that receives nothing says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from aiokafka.errors import KafkaError

from messaging.errors import MessagingError, TooManyDeadLettersError, TopicMismatchError
from messaging.handler import Handler, Performer
from messaging.kafka import GroupReader, KafkaPublisher
from messaging.meters import Meters
from messaging.ports import Clock, Record, Store
from messaging.runner import PartitionRunner
from messaging.settings import Settings
from messaging.worker import PartitionWorker

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
DRAIN_S: Final = 3.0
REJOIN_FIRST_S: Final = 0.2
REJOIN_MOST_S: Final = 5.0


class Host:
    """Runs the sessions of one process. A session is one membership in the group; when it ends, all it held is let go."""

    def __init__(
        self,
        settings: Settings,
        handler: Handler,
        performer: Performer,
        make_store: Callable[[], Store],
        clock: Clock,
        meters: Meters,
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._performer = performer
        self._make_store = make_store
        self._clock = clock
        self._meters = meters
        self._publisher = KafkaPublisher(settings)
        self._runners: dict[int, PartitionRunner] = {}
        self._session_over = asyncio.Event()
        self._why = ""
        self._joined = False
        self._stopping = False
        self._crash: BaseException | None = None
        self._stalls = 0
        self._reader: GroupReader | None = None

    @property
    def ready(self) -> bool:
        """A member of the group whose partitions are all taken over and whose database answers."""
        return self._joined and all(runner.ready and not runner.failing for runner in self._runners.values())

    @property
    def alive(self) -> bool:
        """Whether messages move: false once rebuilding the reader again and again has not helped."""
        return self._stalls < 3

    @property
    def partitions(self) -> list[int]:
        """What this process owns now."""
        return sorted(self._runners)

    async def run(self) -> None:
        """Work until `stop`. Raises `TopicMismatchError`, and whatever nobody foresaw; what may mend itself is waited for."""
        backoff_s = REJOIN_FIRST_S
        while not self._stopping:
            try:
                await self._session()
                backoff_s = REJOIN_FIRST_S
            except (TopicMismatchError, TooManyDeadLettersError):
                raise
            except (KafkaError, MessagingError, OSError, TimeoutError) as error:
                log.warning("no session with the broker: %r; trying again in %.1f s", error, backoff_s)
                await self._clock.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, REJOIN_MOST_S)
            if self._crash is not None:
                raise self._crash

    async def stop(self) -> None:
        """End the session: finish what is at hand, leave the group."""
        self._stopping = True
        self._end_session("stop")

    def _crashed(self, error: BaseException) -> None:
        self._crash = self._crash or error
        self._end_session("a partition crashed")

    def _end_session(self, why: str) -> None:
        self._why = self._why or why
        self._session_over.set()

    async def _session(self) -> None:
        self._session_over.clear()
        self._why = ""
        reader = GroupReader(self._settings, self._handler.topics, self._assigned, self._revoked)
        self._reader = reader
        pump: asyncio.Task[None] | None = None
        try:
            await reader.start()
            pump = asyncio.create_task(reader.pump(self._deliver))
            pump.add_done_callback(self._pump_ended)
            while not self._session_over.is_set():
                try:
                    await asyncio.wait_for(self._session_over.wait(), LOOK_EVERY_S)
                except TimeoutError:
                    await self._look(reader)
        finally:
            self._joined = False
            await self._release(set(self._runners))
            if pump is not None:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
            await reader.stop()
            self._reader = None
            if self._stopping:
                await self._publisher.close()
        if not self._stopping:
            log.warning("the session ended: %s; joining the group again", self._why)
            self._meters.happened("rebuilt")

    def _deliver(self, partition: int, records: list[Record]) -> None:
        runner = self._runners.get(partition)
        if runner is not None:
            runner.deliver(records)

    def _pump_ended(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and pump.exception() is not None:
            log.warning("the reader failed: %r", pump.exception())
            self._end_session("the reader failed")

    async def _assigned(self, partitions: set[int]) -> None:
        reader = self._reader
        if reader is None or self._stopping:
            return
        log.info("owns partitions %s", sorted(partitions))
        await self._release(set(self._runners))
        for partition in sorted(partitions):
            store = self._make_store()
            worker = PartitionWorker(
                self._handler, store, partition, self._settings.partitions, self._settings.identity, self._meters
            )
            runner = PartitionRunner(
                worker,
                store,
                reader,
                self._publisher,
                self._performer,
                self._clock,
                self._settings,
                self._meters,
                lambda: self._end_session("another process owns a partition"),
                self._crashed,
            )
            self._runners[partition] = runner
            runner.start()
        self._joined = True

    async def _revoked(self, partitions: set[int]) -> None:
        self._joined = False
        await self._release(partitions)

    async def _release(self, partitions: set[int]) -> None:
        runners = [self._runners.pop(partition) for partition in partitions if partition in self._runners]
        await asyncio.gather(*(runner.stop(DRAIN_S) for runner in runners))

    async def _look(self, reader: GroupReader) -> None:
        """Now and then: tell Kafka the offsets, and see whether records wait while nothing moves (aiokafka#1037)."""
        now = self._clock.now()
        for partition, runner in list(self._runners.items()):
            if not runner.ready or runner.failing:
                continue
            offsets = dict(runner.worker.offsets)
            try:
                async with asyncio.timeout(2):
                    ends = await reader.ends(partition)
                    await reader.commit(partition, offsets)
            except (KafkaError, OSError, TimeoutError) as error:
                log.info("the broker does not answer: %r", error)
                continue
            lag = sum(max(0, ends[topic] - offset) for topic, offset in offsets.items())
            self._meters.state(partition, "lag", lag)
            still_s = (now - runner.progress_at).total_seconds()
            if lag == 0:
                self._stalls = 0
            elif still_s > self._settings.watchdog_s:
                self._stalls += 1
                self._end_session(
                    f"partition {partition} received nothing for {still_s:.0f} s with {lag} records waiting"
                )
