"""The tally's world on Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from tally import SERVICE, PostgresTally, Tally, TallyHandler
from tally_world import A_MINUTE, AN_HOUR, PARTITIONS, WRITTEN

from messaging.clients import make_producer, make_reader
from messaging.kafka import KafkaPublisher, _record, stop_client
from messaging.ports import Headers, Placed, Publisher, Record, Store
from messaging.postgres import PostgresStore
from messaging.published import places
from messaging.settings import Settings, load_settings


def settings_for(bootstrap: str, dsn: str = "postgresql://unused", **environment: str) -> Settings:
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "INVENTORY_DATABASE_URL": dsn,
        "IDENTITY": "tally",
        "OUTBOX_GRACE_S": "30",
        **environment,
    }
    return load_settings(SERVICE, env=env)


class RealWorld:
    def __init__(self, bootstrap: str, dsn: str, locking: bool) -> None:
        self.name = "locking" if locking else "postgres"
        self._bootstrap, self._dsn, self._locking = bootstrap, dsn, locking
        self._stores: list[PostgresStore] = []
        self._publishers: list[KafkaPublisher] = []
        self._producer: AIOKafkaProducer
        self._reader: AIOKafkaConsumer
        self._begins: dict[tuple[str, int], int] = {}
        self._seen: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)

    async def start(self) -> None:
        self._connection = await asyncpg.connect(self._dsn)
        self._producer = make_producer(self._bootstrap, "test")
        # Named at the start, the topics' metadata comes at once; else it is asked for topic by topic, 0.1 s each.
        self._reader = make_reader(self._bootstrap, "test", WRITTEN)
        await asyncio.gather(self._producer.start(), self._reader.start())
        self._reader.unsubscribe()
        everywhere = [TopicPartition(topic, p) for topic in WRITTEN for p in range(PARTITIONS)]
        ends = await self._reader.end_offsets(everywhere)
        self._begins = {(tp.topic, tp.partition): end for tp, end in ends.items()}
        # One assignment for all: changing it costs a wait of 0.1 s for the fetch that is under way.
        self._reader.assign(everywhere)
        for tp, end in ends.items():
            self._reader.seek(tp, end)

    async def stop(self) -> None:
        await asyncio.gather(*(publisher.close() for publisher in self._publishers))
        await asyncio.gather(*(store.close() for store in self._stores))
        await asyncio.gather(stop_client(self._producer), stop_client(self._reader))
        self._connection.terminate()

    def store(self) -> Store:
        self._stores.append(PostgresStore(self._dsn, self._locking))
        return self._stores[-1]

    def handler(self) -> TallyHandler:
        return TallyHandler(PostgresTally())

    def publisher(self) -> Publisher:
        self._publishers.append(KafkaPublisher(settings_for(self._bootstrap)))
        return self._publishers[-1]

    async def execute(self, query: str, *arguments: Any) -> None:
        await self._connection.execute(query, *arguments)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._connection.fetch(query, *arguments)

    async def places(self, partition: int, seqs: Sequence[int]) -> dict[int, Placed]:
        return await places(self.fetch, partition, seqs)

    async def grow_old(self, partition: int, upto: int) -> None:
        await self.execute(
            "update outbox set created_at = created_at - $3::interval, part = outbox_part(created_at - $3::interval)"
            " where partition = $1 and seq <= $2",
            partition,
            upto,
            A_MINUTE,
        )

    async def age_places(self, partition: int, upto: int, days: int) -> None:
        at = datetime.now(UTC) + AN_HOUR - timedelta(days=days)
        await self.execute(
            "update published set part = published_part($3) where partition = $1 and last_seq <= $2",
            partition,
            upto,
            at,
        )

    async def reconnect(self) -> None:
        """After a crash of the server."""
        self._connection.terminate()
        self._connection = await asyncpg.connect(self._dsn)

    async def append_in_transaction(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, partition: int
    ) -> None:
        """Append as some foreign clients do; the end of the transaction takes an offset of its own."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, transactional_id=uuid4().hex
        )
        await producer.start()
        try:
            async with producer.transaction():
                await producer.send_and_wait(topic, value, key, partition, headers=list(headers))
        finally:
            await producer.stop()

    async def rows(self) -> dict[str, Tally]:
        rows = await self.fetch("select key, total, version from tally")
        return {row["key"]: Tally(row["total"], row["version"]) for row in rows}

    async def put(self, key: str, row: Tally) -> None:
        await self.execute(
            "insert into tally values ($1, $2, $3) on conflict (key) do update set total = $2, version = $3",
            key,
            row.total,
            row.version,
        )

    async def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, partition: int
    ) -> Record:
        done = await self._producer.send_and_wait(topic, value, key, partition, headers=list(headers))
        at = datetime.fromtimestamp(done.timestamp / 1000, UTC)
        return Record(topic, partition, done.offset, key, value, headers, at)

    async def read(self, topic: str, partition: int, offset: int = 0) -> list[Record]:
        tp = TopicPartition(topic, partition)
        end = await self.end(topic, partition)
        async with asyncio.timeout(60):
            while await self._reader.position(tp) < end:
                for found, raws in (await self._reader.getmany(timeout_ms=1000)).items():
                    self._seen[found.topic, found.partition].extend(_record(raw) for raw in raws)
        return [record for record in self._seen[topic, partition] if record.offset >= offset]

    async def end(self, topic: str, partition: int) -> int:
        tp = TopicPartition(topic, partition)
        return int((await self._reader.end_offsets([tp]))[tp])

    def begin(self, topic: str, partition: int) -> int:
        return self._begins[topic, partition]


@asynccontextmanager
async def real_world(bootstrap: str, dsn: str, locking: bool) -> AsyncIterator[RealWorld]:
    world = RealWorld(bootstrap, dsn, locking)
    await world.start()
    try:
        yield world
    finally:
        await world.stop()
