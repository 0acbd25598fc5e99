"""What the tests hear: every record of the event topics and of the dead letters, from the moment the journal was opened."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.topics import EVENT_TOPICS, SUBSCRIPTIONS, dead_letter_topic

#: Only a failure waits so long: on a busy machine everything takes many times as long as it does alone.
DEADLINE_S: Final = 60.0
DEAD_LETTER_TOPICS: Final = tuple(
    sorted(dead_letter_topic(topic, service) for service, topics in SUBSCRIPTIONS.items() for topic in topics)
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it stands on its topic. `at` is when the broker appended it."""

    topic: str
    partition: int
    offset: int
    key: str
    type: str
    id: str
    sequence: int | None
    cause: str | None
    data: Mapping[str, Any]
    envelope: Mapping[str, Any]
    at: datetime

    @property
    def short(self) -> str:
        """`orders.order-completed.v1` is order-completed."""
        return self.type.split(".")[1]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record on a dead-letter topic. Headers of the same name: the last one, which is the one that was added."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


class Journal:
    """Reads in the background; `until` waits for a fact."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._reader = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        self._partitions = partitions
        self._news = asyncio.Condition()
        self._pump: asyncio.Task[None] | None = None
        self.by_key: defaultdict[str, list[Event]] = defaultdict(list)
        self.by_command: defaultdict[str, list[Event]] = defaultdict(list)
        self.dead: list[DeadLetter] = []

    async def open(self) -> None:
        """From here on nothing is missed."""
        await self._reader.start()
        topics = (*sorted(EVENT_TOPICS), *DEAD_LETTER_TOPICS)
        everything = [TopicPartition(topic, p) for topic in topics for p in range(self._partitions)]
        ends = await self._reader.end_offsets(everything)
        self._reader.assign(everything)
        for place, offset in ends.items():
            self._reader.seek(place, offset)
        self._pump = asyncio.create_task(self._read())

    async def close(self) -> None:
        """Stop reading."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        await self._reader.stop()

    async def until(self, find: Callable[[], T | None], what: str, timeout_s: float = DEADLINE_S) -> T:
        """The first thing that `find` finds; it is asked again whenever something was read."""
        try:
            async with asyncio.timeout(timeout_s), self._news:
                while (found := find()) is None:
                    if self._pump is not None and self._pump.done():
                        self._pump.result()
                    await self._news.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what}") from None

    async def _read(self) -> None:
        try:
            while True:
                found = await self._reader.getmany(timeout_ms=1000)
                for place, records in found.items():
                    for record in records:
                        self._take(place.topic, record)
                if found:
                    async with self._news:
                        self._news.notify_all()
        finally:
            # Whoever waits must learn that nothing will come any more.
            async with self._news:
                self._news.notify_all()

    def _take(self, topic: str, record: Any) -> None:
        if topic.endswith(".dlq"):
            self.dead.append(DeadLetter(topic, record.partition, record.key, record.value, dict(record.headers)))
            return
        event = _event(topic, record)
        if event is None:
            return
        self.by_key[event.key].append(event)
        command_id = event.data.get("command_id")
        if isinstance(command_id, str):
            self.by_command[command_id].append(event)


def _event(topic: str, record: Any) -> Event | None:
    """The event, or None for garbage: the tests put some onto these topics themselves."""
    try:
        envelope = json.loads(record.value)
        return Event(
            topic=topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key.decode(),
            type=envelope["type"],
            id=envelope["id"],
            sequence=envelope.get("sequence"),
            cause=envelope.get("causationid"),
            data=dict(envelope["data"]),
            envelope=envelope,
            at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
