"""The tally on the runtime, once in memory and once on PostgreSQL and Kafka: the same tests, the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from tally import SERVICE, TOPICS, MemoryTally, Tally, TallyHandler

from contracts.envelope import decode_event, encode, event_type, headers_for
from contracts.inventory import AdjustStock, CommandRejected, StockAdjusted
from contracts.orders import OrderCancelled
from contracts.registry import TYPE_OF
from contracts.topics import DEFAULT_PARTITIONS, INVENTORY_EVENTS, LETTERS_EVENTS, dead_letter_topic
from contracts.values import CommandData, EventData
from messaging.memory import MemoryBroker, MemoryDatabase, MemoryStore, published_part
from messaging.meters import Meters
from messaging.partitioner import partition_of
from messaging.ports import Headers, Placed, Publisher, Record, Store
from messaging.schedule import Barrier
from messaging.worker import PartitionWorker

PARTITIONS = DEFAULT_PARTITIONS
#: The partition that these tests live on; the keys a, b, k, l, m and y belong there.
HOME = 0
A_MINUTE, AN_HOUR = timedelta(minutes=1), timedelta(hours=1)
#: Every topic that a tally reads or writes.
WRITTEN = (*TOPICS, INVENTORY_EVENTS, LETTERS_EVENTS, *(dead_letter_topic(topic, SERVICE) for topic in TOPICS))


class RealClock:
    """The machine's clock; both kinds of world live by it."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class World(Protocol):
    """What outlives a process: the database and the topics. Offsets are counted from the beginning of the test."""

    name: str

    def store(self) -> Store: ...
    def handler(self) -> TallyHandler: ...
    def publisher(self) -> Publisher: ...
    async def rows(self) -> dict[str, Tally]: ...
    async def put(self, key: str, row: Tally) -> None: ...
    async def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, partition: int
    ) -> Record: ...
    async def read(self, topic: str, partition: int, offset: int = 0) -> list[Record]: ...
    async def end(self, topic: str, partition: int) -> int: ...
    def begin(self, topic: str, partition: int) -> int: ...
    async def places(self, partition: int, seqs: Sequence[int]) -> dict[int, Placed]: ...
    async def grow_old(self, partition: int, upto: int) -> None:
        """A minute passes for the outbox rows up to this number."""

    async def age_places(self, partition: int, upto: int, days: int) -> None:
        """It is as if so many days had passed since the places up to this number were recorded. (Nearly: an hour less, which is how
        long before its turn a part is emptied. So a test goes well at the end of a period, too.)"""


class MemoryWorld:
    name = "memory"

    def __init__(self) -> None:
        clock = RealClock()
        self.database = MemoryDatabase(clock)
        self.broker = MemoryBroker(clock, PARTITIONS)
        self.tally: dict[str, Tally] = {}

    def store(self) -> Store:
        return MemoryStore(self.database)

    def handler(self) -> TallyHandler:
        return TallyHandler(MemoryTally(self.tally))

    def publisher(self) -> Publisher:
        return self.broker

    async def rows(self) -> dict[str, Tally]:
        return dict(self.tally)

    async def put(self, key: str, row: Tally) -> None:
        self.tally[key] = row

    async def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, partition: int
    ) -> Record:
        return self.broker.append(topic, key, value, headers, partition)

    async def read(self, topic: str, partition: int, offset: int = 0) -> list[Record]:
        return self.broker.read(topic, partition, offset, 100_000)

    async def end(self, topic: str, partition: int) -> int:
        return self.broker.end(topic, partition)

    def begin(self, topic: str, partition: int) -> int:
        return 0

    async def grow_old(self, partition: int, upto: int) -> None:
        rows = self.database.outbox[partition]
        rows.update({seq: (at - A_MINUTE, wire) for seq, (at, wire) in rows.items() if seq <= upto})

    async def age_places(self, partition: int, upto: int, days: int) -> None:
        at = datetime.now(UTC) + AN_HOUR - timedelta(days=days)
        places = self.database.places(partition, range(1, upto + 1))
        for part in self.database.published:
            for seq in places:
                part.pop((partition, seq), None)
        self.database.published[published_part(at)].update({(partition, seq): row for seq, row in places.items()})

    async def places(self, partition: int, seqs: Sequence[int]) -> dict[int, Placed]:
        return self.database.places(partition, seqs)


class Process:
    """One process that owns one partition, moved by hand."""

    def __init__(
        self, world: World, partition: int, store: Store | None = None, publisher: Publisher | None = None
    ) -> None:
        self.world = world
        self.partition = partition
        self.store = store or world.store()
        self.publisher = publisher or world.publisher()
        self.meters = Meters(SERVICE)
        self.worker = PartitionWorker(world.handler(), self.store, partition, PARTITIONS, "me", self.meters)

    async def take_over(self) -> list[Any]:
        """Become the owner; the first one begins where the test does."""
        pending = await self.worker.take_over()
        fresh = {t: self.world.begin(t, self.partition) for t, offset in self.worker.offsets.items() if offset == 0}
        if any(fresh.values()):
            ownership = self.worker._ownership
            await self.store.set_offsets(self.partition, ownership.epoch, fresh)
            pending = await self.worker.reload()
        return pending

    async def fetch(self, topics: Sequence[str] = TOPICS, most: int = 100_000) -> None:
        """Read what is there into the buffers."""
        for topic in topics:
            records = await self.world.read(topic, self.partition, self.worker.offsets[topic])
            self.worker.buffers.offer(records[:most], self.worker.offsets)

    async def barrier(self) -> Barrier:
        """All topics' ends, as of now."""
        now = datetime.now(UTC)
        return Barrier(now, {topic: await self.world.end(topic, self.partition) for topic in TOPICS})

    async def work(self) -> int:
        """Read, decide and publish until nothing is left; how many things were handled."""
        total = 0
        while True:
            await self.fetch()
            handled = await self.worker.step(datetime.now(UTC), await self.barrier())
            await self.worker.publish(self.publisher)
            total += handled
            if not handled:
                return total


class Sender:
    """Writes messages for the tally, and reads what it says."""

    def __init__(self, world: World, partition: int = HOME) -> None:
        self.world, self.partition, self.sent = world, partition, 0
        self.keys = [key for n in range(5000) if partition_of(key := f"key-{n}", PARTITIONS) == partition]

    async def send(
        self, key: str, data: CommandData | EventData, id: str | None = None, partition: int | None = None
    ) -> Record:
        """Append a message."""
        where = self.partition if partition is None else partition
        return await self.world.append(*self.message(key, data, id), where)

    def message(
        self, key: str, data: CommandData | EventData, id: str | None = None
    ) -> tuple[str, bytes, bytes, Headers]:
        """A message as topic, key, value and headers."""
        self.sent += 1
        topic, named = TYPE_OF[type(data)]
        value = encode(
            id=id or f"m{self.sent}",
            source="test",
            type=named,
            subject=key,
            data=data,
            time=datetime.now(UTC),
            correlationid=key,
        )
        return topic, key.encode(), value, headers_for(named)

    async def add(self, key: str, delta: int = 1, words: str = "add", id: str | None = None) -> Record:
        """Ask for `delta` more."""
        return await self.send(key, AdjustStock(sku="A", delta=delta, reason=words), id)

    async def event(self, key: str, id: str | None = None) -> Record:
        """Append an event that adds 1,000."""
        return await self.send(key, OrderCancelled(reason="customer-request", customer_id="c"), id)

    async def said(self) -> list[str]:
        """What the tally has published on the partition: `key: what it answered -> total`, in order."""
        found = []
        for record in await self.world.read(INVENTORY_EVENTS, self.partition):
            envelope = decode_event(event_type(record.value, record.headers), record.value)
            data = envelope.data
            assert isinstance(data, StockAdjusted | CommandRejected)
            told = f" -> {data.on_hand}" if isinstance(data, StockAdjusted) else " rejected"
            found.append(f"{envelope.subject}: {data.command_id}{told}")
        return found


@dataclass
class Totals:
    """Reads the rows as plain numbers."""

    world: World

    async def __call__(self) -> dict[str, int]:
        return {key: row.total for key, row in (await self.world.rows()).items()}
