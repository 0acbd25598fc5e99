"""The way to the broker and back: publish commands, read events from now on. A client has no consumer group and commits nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from messaging.clients import make_reader
from messaging.errors import PublishUnknownError
from messaging.kafka import KafkaPublisher, stop_client
from messaging.logs import get_logger
from messaging.ports import Wire
from messaging.settings import load_settings
from orderctl.errors import BrokerUnreachableError, TopicMissingError
from orderctl.events import RawRecord

log = get_logger(__name__)

#: A reader that got nothing for so long asks the broker whether there is anything (a consumer may live and receive nothing).
SILENCE_S: Final = 5.0
_ASK_DEADLINE_S: Final = 5.0
_METADATA_PAUSE_S: Final = 0.02
_RETRY_S: Final = 0.25
#: A reader that is not at the end and gets no answer for so long is not served.
_ALL_SILENCE_S: Final = 20.0

T = TypeVar("T")


class Transport(Protocol):
    """What the client needs of a broker."""

    async def listen(self, topics: Sequence[str]) -> None:
        """From now on `read` gives what comes on these topics, all partitions. What is published after this returns is
        not missed. Raises `BrokerUnreachableError`, `TopicMissingError`. Called again, it begins anew."""

    async def read(self, timeout_s: float) -> Sequence[RawRecord]:
        """What came, or comes within the timeout; in order for each partition. It outlives restarts of the broker."""

    async def read_all(self, topics: Sequence[str]) -> Sequence[RawRecord]:
        """All that stands on these topics now, in order for each partition. What `listen` began ends with it. Raises
        `BrokerUnreachableError`, `TopicMissingError`."""

    async def partitions_of(self, topic: str) -> int:
        """How many partitions the topic has. Raises `TopicMissingError`."""

    async def publish(self, wires: Sequence[Wire], give_up_after_s: float) -> None:
        """Append the records, in order for each partition. They are tried again, and may then stand there twice, until
        the broker acknowledges; raises `BrokerUnreachableError` if it does not in time."""

    async def close(self) -> None:
        """Give back the connections."""


class KafkaTransport:
    """See `Transport`."""

    def __init__(self, bootstrap_servers: str, identity: str, connect_timeout_s: float = 10.0) -> None:
        self._bootstrap = bootstrap_servers
        self._identity = identity
        self._connect_timeout_s = connect_timeout_s
        # The publisher needs two of the settings; the rest are a service's and stay at their defaults.
        settings = replace(
            load_settings("orders-api", "orders", {}), bootstrap_servers=bootstrap_servers, identity=identity
        )
        self._publisher = KafkaPublisher(settings)
        self._reader: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._partitions: dict[str, int] = {}
        self._heard_at = 0.0

    async def listen(self, topics: Sequence[str]) -> None:
        """See `Transport.listen`."""
        reader = await self._connected()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                found = [TopicPartition(t, p) for t in topics for p in range(await self.partitions_of(t))]
                # Asked before anything is assigned: the positions are fixed before the first fetch.
                ends = await _answered(lambda: reader.end_offsets(found))
        except (TimeoutError, KafkaError, OSError) as error:
            raise self._unreachable(error) from error
        self._positions = dict(ends)
        self._assign(reader)

    async def read_all(
        self, topics: Sequence[str], keep: Callable[[RawRecord], RawRecord] = lambda record: record
    ) -> Sequence[RawRecord]:
        """See `Transport.read_all`. `keep`: what of each record is to be held."""
        reader = await self._connected()
        records: list[RawRecord] = []
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                found = [TopicPartition(t, p) for t in topics for p in range(await self.partitions_of(t))]
                ends = await _answered(lambda: reader.end_offsets(found))
                self._positions = await _answered(lambda: reader.beginning_offsets(found))
            self._assign(reader)
            left = {tp for tp, end in ends.items() if end > self._positions[tp]}
            while left:
                page: dict[TopicPartition, list[Any]] = {}
                async with asyncio.timeout(_ALL_SILENCE_S):
                    while left and not page:
                        page = await reader.getmany(timeout_ms=500)
                        left = {tp for tp in left if await reader.position(tp) < ends[tp]}
                for tp, got in page.items():
                    records += [keep(record) for record in got if record.offset < ends[tp]]
        except (TimeoutError, KafkaError, OSError) as error:
            raise self._unreachable(error) from error
        return records

    def _assign(self, reader: AIOKafkaConsumer) -> None:
        reader.assign(list(self._positions))
        for tp, offset in self._positions.items():
            reader.seek(tp, offset)
        self._heard_at = asyncio.get_running_loop().time()

    async def _connected(self) -> AIOKafkaConsumer:
        if self._reader is None:
            reader = make_reader(self._bootstrap, self._identity)
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await _answered(reader.start)
                    self._partitions = await _answered(lambda: _partition_counts(reader))
            except (TimeoutError, KafkaError, OSError) as error:
                await stop_client(reader)
                raise self._unreachable(error) from error
            except asyncio.CancelledError:
                await stop_client(reader)
                raise
            self._reader = reader
        return self._reader

    def _unreachable(self, error: BaseException) -> BrokerUnreachableError:
        cause = "no answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        return BrokerUnreachableError(self._bootstrap, self._connect_timeout_s, cause)

    async def partitions_of(self, topic: str) -> int:
        """See `Transport.partitions_of`."""
        await self._connected()
        found = self._partitions.get(topic)
        if found is None:
            raise TopicMissingError(topic, self._bootstrap)
        return found

    async def read(self, timeout_s: float) -> Sequence[RawRecord]:
        """See `Transport.read`."""
        if self._reader is None:
            raise RuntimeError("listen first")
        now = asyncio.get_running_loop().time()
        try:
            found: dict[TopicPartition, list[Any]] = await self._reader.getmany(timeout_ms=int(timeout_s * 1000))
        except (KafkaError, OSError) as error:
            log.info("reader-failed", error=error)
            await self._rebuild()
            return ()
        if not found:
            if now - self._heard_at > SILENCE_S:
                await self._look_for_more()
            return ()
        self._heard_at = now
        records: list[Any] = []
        for tp, got in found.items():
            self._positions[tp] = got[-1].offset + 1
            records += got
        return records

    async def _look_for_more(self) -> None:
        """Rebuild the reader if the broker has more than it was given."""
        self._heard_at = asyncio.get_running_loop().time()
        if self._reader is None:
            return
        try:
            async with asyncio.timeout(_ASK_DEADLINE_S):
                ends = await self._reader.end_offsets(list(self._positions))
        except (TimeoutError, KafkaError, OSError) as error:
            log.info("broker-does-not-answer", error=error)
            return
        # One more look, since something may have come between the two questions.
        found = await self._reader.getmany(timeout_ms=0)
        if found:
            # Not lost: the reader is put back to where it was told to be.
            self._assign(self._reader)
        elif any(end > self._positions[tp] for tp, end in ends.items()):
            log.info("reader-behind")
            await self._rebuild()

    async def _rebuild(self) -> None:
        """A new reader at the same positions. While there is no broker, the old one stays."""
        fresh = make_reader(self._bootstrap, self._identity)
        try:
            async with asyncio.timeout(_ASK_DEADLINE_S):
                await fresh.start()
                await _partition_counts(fresh)
        except (TimeoutError, KafkaError, OSError) as error:
            log.info("no-new-reader-yet", error=error)
            await stop_client(fresh)
            return
        old, self._reader = self._reader, fresh
        self._assign(fresh)
        if old is not None:
            await stop_client(old)

    async def publish(self, wires: Sequence[Wire], give_up_after_s: float) -> None:
        """See `Transport.publish`."""
        try:
            async with asyncio.timeout(give_up_after_s):
                await self._publish_until_acknowledged(wires)
        except TimeoutError:
            raise BrokerUnreachableError(self._bootstrap, give_up_after_s, "a command was not acknowledged") from None

    async def _publish_until_acknowledged(self, wires: Sequence[Wire]) -> None:
        pause_s = _RETRY_S
        while True:
            try:
                await self._publisher.publish(wires)
            except PublishUnknownError as error:
                log.info("publishing-failed", retry_in_s=pause_s, error=error)
                await asyncio.sleep(pause_s)
                pause_s = min(2.0, pause_s * 2)
            else:
                return

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._publisher.close()
        if self._reader is not None:
            await stop_client(self._reader)
            self._reader = None


async def _answered(question: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: nobody may listen on the port yet, and a broker that was there a moment ago may be starting
    again. The caller sets the deadline."""
    while True:
        try:
            return await question()
        except (KafkaError, OSError) as error:
            # aiokafka gives up most questions after 10 s of its own, some at once.
            log.debug("broker-does-not-answer-yet", error=error)
            await asyncio.sleep(_RETRY_S)


async def _partition_counts(reader: AIOKafkaConsumer) -> dict[str, int]:
    """How many partitions each topic of the broker has; empty where there is none. The caller sets the deadline."""
    # A reader without an assignment keeps the metadata of all topics, and begins to fetch it now.
    reader.assign([])
    while True:
        counts = {topic: reader.partitions_for_topic(topic) for topic in await reader.topics()}
        if all(counts.values()):
            return {topic: len(partitions) for topic, partitions in counts.items()}
        await asyncio.sleep(_METADATA_PAUSE_S)
