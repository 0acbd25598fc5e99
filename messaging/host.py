"""A service's process: it joins the group, runs a `PartitionRunner` for each partition it is given, and starts all over when
the group, the fence or a reader that receives nothing says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from aiokafka.errors import KafkaError

from messaging.backoff import longer
from messaging.errors import MessagingError, TooManyDeadLettersError, TopicMismatchError
from messaging.handler import Handler, Performer
from messaging.kafka import GroupReader, KafkaPublisher
from messaging.logs import get_logger
from messaging.meters import Meters
from messaging.ports import Clock, Record, Store
from messaging.progress import Ends, Failure, failure, partition_progress
from messaging.runner import PartitionRunner
from messaging.settings import Settings
from messaging.together import Together
from messaging.tracing import Tracer
from messaging.worker import PartitionWorker

log = get_logger(__name__)

LOOK_EVERY_S: Final = 5.0
DRAIN_S: Final = 3.0
#: Ends that were asked for within this time are told again; who asks for `/progress` every 10 ms asks no broker.
ENDS_FRESH_S: Final = 1.0
ENDS_TIMEOUT_S: Final = 1.0
#: A partition that stands still after so many new readers needs a new process.
STALLS_MOST: Final = 3
REJOIN_FIRST_S: Final = 0.2


class Host:
    """Runs the sessions of one process. A session is one membership in the group; when it ends, all it held is let go. `worked` is
    set when the group gives it partitions for the first time."""

    def __init__(
        self,
        settings: Settings,
        handler: Handler,
        performer: Performer,
        make_store: Callable[[int], Store],
        clock: Clock,
        meters: Meters,
        patient: frozenset[str] = frozenset(),
        tracer: Tracer | None = None,
        worked: asyncio.Event | None = None,
    ) -> None:
        self._tracer = tracer
        self._patient = patient
        self._settings = settings
        self._handler = handler
        self._performer = performer
        self._make_store = make_store
        self._clock = clock
        self._meters = meters
        self._publisher = KafkaPublisher(settings)
        self._runners: dict[int, PartitionRunner] = {}
        # By database: only what is in one can be one transaction.
        self._together: dict[str, Together] = {}
        self._session_over = asyncio.Event()
        self._why = ""
        self._joined = False
        self._worked = worked or asyncio.Event()
        # Topics that were not there when this was last looked at.
        self._gone: list[str] = []
        self._stop = asyncio.Event()
        self._crash: BaseException | None = None
        # Where each partition stood when it was last seen to move, and how often rebuilding did not make it move.
        self._standing: dict[int, tuple[dict[str, int], datetime]] = {}
        self._stalls: dict[int, int] = {}
        self._reader: GroupReader | None = None
        self._ends: dict[int, Ends] = {}
        self._asking = asyncio.Lock()
        self.last_error: Failure | None = None

    @property
    def joined(self) -> bool:
        """Whether the group has given it partitions."""
        return self._joined

    @property
    def ready(self) -> bool:
        """A member of the group whose partitions are all taken over and whose database answers."""
        return self._joined and all(runner.ready and not runner.failing for runner in self._runners.values())

    @property
    def alive(self) -> bool:
        """Whether messages move: false once rebuilding the reader again and again has not helped, also between two sessions, until
        the partition moves or somebody else has it. A broker or a database that is away is no reason: a restart would not help."""
        return all(rebuilt < STALLS_MOST for rebuilt in self._stalls.values())

    @property
    def partitions(self) -> list[int]:
        """What this process owns now."""
        return sorted(self._runners)

    async def run(self) -> None:
        """Work until `stop`. Raises `TopicMismatchError` where the topics were never right, and whatever nobody foresaw; what may
        mend itself is waited for."""
        try:
            await self._sessions()
        finally:
            await self._publisher.close()

    async def _sessions(self) -> None:
        backoff_s = REJOIN_FIRST_S
        while not self._stop.is_set():
            try:
                await self._session()
                backoff_s = REJOIN_FIRST_S
            except TooManyDeadLettersError:
                raise
            except (KafkaError, MessagingError, OSError, TimeoutError) as error:
                if isinstance(error, TopicMismatchError) and not self._worked.is_set():
                    raise
                self.last_error = failure(error, self._clock.now(), "no session with the broker")
                log.warning("no-session", error=error, retry_in_s=backoff_s)
                await self._pause(backoff_s)
                backoff_s = longer(backoff_s)
            if self._crash is not None:
                raise self._crash

    async def _pause(self, seconds: float) -> None:
        """Wait, unless `stop` comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def stop(self) -> None:
        """End the session: finish what is at hand, leave the group."""
        self._stop.set()
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
        self._standing.clear()
        self._gone = []
        handler = self._handler
        reader = GroupReader(
            self._settings, handler.topics, self._assigned, self._revoked, self._patient, handler.interests
        )
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
            self._session_over.set()
            await self._release(set(self._runners))
            if pump is not None:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
            await reader.stop()
            self._reader = None
        if not self._stop.is_set():
            self.last_error = Failure(self._clock.now(), f"the session ended: {self._why}")
            log.warning("session-ended", reason=self._why)
            self._meters.happened("rebuilt")

    def _deliver(self, partition: int, records: list[Record]) -> None:
        runner = self._runners.get(partition)
        if runner is not None:
            runner.deliver(records)

    def _pump_ended(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and pump.exception() is not None:
            log.warning("reader-failed", error=pump.exception())
            self._end_session("the reader failed")

    async def _assigned(self, partitions: set[int]) -> None:
        reader = self._reader
        # A rebalance may end while the session does: nobody would stop what began to work then.
        if reader is None or self._stop.is_set() or self._session_over.is_set():
            return
        log.info("owns-partitions", partitions=sorted(partitions))
        await self._release(set(self._runners))
        self._stalls = {partition: n for partition, n in self._stalls.items() if partition in partitions}
        for partition in sorted(partitions):
            store = self._make_store(partition)
            worker = PartitionWorker(
                self._handler,
                store,
                partition,
                self._settings.partitions,
                self._settings.identity,
                self._meters,
                self._tracer,
                self._company(partition),
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
        self._worked.set()

    async def _revoked(self, partitions: set[int]) -> None:
        self._joined = False
        await self._release(partitions)

    async def _release(self, partitions: set[int]) -> None:
        for partition in partitions:
            self._ends.pop(partition, None)
        runners = [self._runners.pop(partition) for partition in partitions if partition in self._runners]
        await asyncio.gather(*(runner.stop(DRAIN_S) for runner in runners))
        if not self._runners:
            await asyncio.gather(*(together.close() for together in self._together.values()))
            self._together.clear()

    def _company(self, partition: int) -> Together:
        database = self._settings.database_of(partition)
        if database not in self._together:
            self._together[database] = Together(self._handler, self._make_store(partition), self._meters)
        return self._together[database]

    async def _look(self, reader: GroupReader) -> None:
        """Now and then: tell Kafka the offsets, and see whether records wait while nothing moves (aiokafka#1037)."""
        gone, before = reader.gone(), self._gone
        self._gone = gone
        if gone and gone == before:
            # The client would ask for it again at once, and for ever, as fast as the broker answers.
            self._end_session(f"the broker has no topic {', '.join(gone)}")
            return
        now = self._clock.now()
        looked_at = [runner.worker for runner in self._runners.values() if runner.ready and not runner.failing]
        if not looked_at:
            self._standing.clear()
            return
        offsets = {worker.partition: dict(worker.offsets) for worker in looked_at}
        try:
            async with asyncio.timeout(2):
                await self._ask_ends(reader, looked_at)
                await reader.commit(offsets)
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("broker-does-not-answer", error=error)
            looked_at = []
        self._standing = {
            worker.partition: stood for worker in looked_at if (stood := self._standing.get(worker.partition))
        }
        for worker in looked_at:
            if worker.partition in self._ends:  # not revoked meanwhile
                self._watch(worker, offsets[worker.partition], now)

    def _watch(self, worker: PartitionWorker, offsets: dict[str, int], now: datetime) -> None:
        partition, lag = worker.partition, self._ends[worker.partition].lag(worker.offsets)
        self._meters.state(partition, "lag", lag)
        still_s = self._still_s(partition, offsets, lag, now)
        if still_s > self._settings.watchdog_s:
            self._stalls[partition] = self._stalls.get(partition, 0) + 1
            self._end_session(f"partition {partition} received nothing for {still_s:.0f} s with {lag} records waiting")

    async def _ask_ends(self, reader: GroupReader, workers: list[PartitionWorker]) -> None:
        """Where the partitions end now, all in one request. Offsets without a record (a transaction's markers) were read when
        nothing is buffered."""
        ends = await reader.all_ends([worker.partition for worker in workers])
        for worker in workers:
            read = {} if len(worker.buffers) else await reader.positions(worker.partition)
            self._ends[worker.partition] = Ends(self._clock.now(), ends[worker.partition], read)

    async def progress(self, ask: bool = True) -> list[dict[str, Any]]:
        """How each owned partition stands. Never raises, and never waits longer than `ENDS_TIMEOUT_S` for the broker: the ends are
        then as old as they say, and so they are for whoever asks while somebody else is asking, or wants nobody asked (`ask`)."""
        if ask and not self._asking.locked():
            async with self._asking:
                await self._refresh_ends()
        now = self._clock.now()
        return [partition_progress(r.view, self._ends.get(p), now) for p, r in sorted(self._runners.items())]

    async def _refresh_ends(self) -> None:
        reader, now = self._reader, self._clock.now()
        stale = [
            runner.worker
            for partition, runner in self._runners.items()
            if runner.ready
            and (partition not in self._ends or (now - self._ends[partition].at).total_seconds() > ENDS_FRESH_S)
        ]
        if reader is None or not stale:
            return
        try:
            async with asyncio.timeout(ENDS_TIMEOUT_S):
                await self._ask_ends(reader, stale)
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("broker-does-not-answer", error=error)

    def _still_s(self, partition: int, offsets: dict[str, int], lag: int, now: datetime) -> float:
        """For how long records have been waiting on the partition while nothing moved."""
        stood = self._standing.get(partition)
        if stood is not None and lag > 0 and stood[0] == offsets:
            return (now - stood[1]).total_seconds()
        if stood is not None:
            self._stalls.pop(partition, None)
        self._standing[partition] = (offsets, now)
        return 0.0
