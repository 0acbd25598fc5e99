"""Reads orders.events.v1 from its beginning to its end, without a consumer group: nothing is left behind at the broker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic_core import from_json

from audit.errors import CouldNotLookError
from audit.facts import Published, UnreadableRecord
from contracts.topics import ORDERS_EVENTS
from messaging.clients import make_reader
from messaging.kafka import stop_client

CONNECT_TIMEOUT_S: Final = 10.0
#: A reader that is not at the end and gets nothing for so long is not served.
SILENCE_S: Final = 20.0
_PAGE: Final = 5_000
_METADATA_PAUSE_S: Final = 0.02

#: The next offset to be written, by topic and partition.
Ends = Mapping[tuple[str, int], int]


@dataclass(slots=True)
class TopicLog:
    """What stands on the topic: each order's events in their order, and records that are none."""

    orders: dict[str, list[Published]] = field(default_factory=dict)
    unreadable: list[UnreadableRecord] = field(default_factory=list)
    records: int = 0

    def add(self, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        """One more record."""
        self.records += 1
        try:
            event = from_json(value or b"")
            published = Published(event["id"], sys.intern(event["type"]), event.get("sequence"), partition, offset)
            order_id = event["subject"]
            problem = None if key == order_id.encode() else "its key is not its subject"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"no event ({type(error).__name__})"
        if problem is not None:
            self.unreadable.append(UnreadableRecord(partition, offset, problem))
            return
        self.orders.setdefault(order_id, []).append(published)


class Broker:
    """What the audit asks of Kafka. Every method raises `CouldNotLookError`."""

    def __init__(self, bootstrap_servers: str, reader: AIOKafkaConsumer, partitions: Mapping[str, int]) -> None:
        self._bootstrap = bootstrap_servers
        self._reader = reader
        self.partitions = partitions

    async def ends(self, topics: Iterable[str]) -> Ends:
        """The ends of these topics now."""
        wanted = [TopicPartition(topic, p) for topic in topics for p in range(self._count(topic))]
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                found = await self._reader.end_offsets(wanted)
        except (TimeoutError, KafkaError, OSError) as error:
            raise unreachable(self._bootstrap, error) from error
        return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    def _count(self, topic: str) -> int:
        if topic not in self.partitions:
            raise CouldNotLookError(f"The broker at {self._bootstrap} has no topic {topic}. Is it the right broker?")
        return self.partitions[topic]

    async def read_events(self, ends: Ends) -> TopicLog:
        """Everything on orders.events.v1 up to these ends."""
        log = TopicLog()
        left = {TopicPartition(t, p): end for (t, p), end in ends.items() if t == ORDERS_EVENTS and end > 0}
        try:
            await self._require_beginning(list(left))
            self._reader.assign(list(left))
            for tp in left:
                self._reader.seek(tp, 0)
            while left:
                self._take(log, left, await self._page())
        except (TimeoutError, KafkaError, OSError) as error:
            raise unreachable(self._bootstrap, error) from error
        return log

    async def _require_beginning(self, partitions: list[TopicPartition]) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            begins = await self._reader.beginning_offsets(partitions) if partitions else {}
        for tp, offset in begins.items():
            if offset > 0:
                raise CouldNotLookError(
                    f"{tp.topic}/{tp.partition} begins at {offset}: the broker has forgotten events."
                )

    async def _page(self) -> dict[TopicPartition, list[Any]]:
        async with asyncio.timeout(SILENCE_S):
            while True:
                found: dict[TopicPartition, list[Any]] = await self._reader.getmany(timeout_ms=500, max_records=_PAGE)
                if found:
                    return found

    def _take(self, log: TopicLog, left: dict[TopicPartition, int], found: dict[TopicPartition, list[Any]]) -> None:
        for tp, records in found.items():
            end = left.get(tp, 0)
            for record in records:
                if record.offset < end:
                    log.add(tp.partition, record.offset, record.key, record.value)
            if records[-1].offset + 1 >= end and tp in left:
                del left[tp]
                self._reader.pause(tp)


@asynccontextmanager
async def open_broker(bootstrap_servers: str) -> AsyncIterator[Broker]:
    """A connection for looking. Raises `CouldNotLookError`."""
    reader = make_reader(bootstrap_servers, "audit")
    try:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await reader.start()
                partitions = await _partition_counts(reader)
        except (TimeoutError, KafkaError, OSError) as error:
            raise unreachable(bootstrap_servers, error) from error
        yield Broker(bootstrap_servers, reader, partitions)
    finally:
        await stop_client(reader)


async def _partition_counts(reader: AIOKafkaConsumer) -> dict[str, int]:
    reader.assign([])  # a reader without any topic of its own fetches the metadata of all
    while True:
        counts = {topic: reader.partitions_for_topic(topic) for topic in await reader.topics()}
        if counts and all(counts.values()):
            return {topic: len(partitions) for topic, partitions in counts.items()}
        await asyncio.sleep(_METADATA_PAUSE_S)


def unreachable(bootstrap_servers: str, error: BaseException) -> CouldNotLookError:
    """The broker did not answer."""
    cause = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return CouldNotLookError(
        f"The broker at {bootstrap_servers} cannot be read ({cause}). "
        "Start the stack with `make up`, or set KAFKA_BOOTSTRAP_SERVERS."
    )
