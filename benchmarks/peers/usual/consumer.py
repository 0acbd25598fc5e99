"""The loop of a service as it is usually written: take a message, handle it in a transaction of its own, publish what it said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from aiokafka import TopicPartition
from pydantic_core import from_json, to_json

from contracts.envelope import TYPE_HEADER, headers_for
from messaging.clients import make_group_consumer, make_producer

_COMMIT_EVERY_S: Final = 1.0
_SWEEP_EVERY_S: Final = 1.0
_QUEUE: Final = 500
_SESSION_MS: Final = 6_000

_FRESH: Final = "INSERT INTO processed (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id"
_KEEP: Final = """
INSERT INTO outbox (id, topic, key, type, value)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
"""
_FORGET: Final = "DELETE FROM outbox WHERE id = any($1)"
_LEFT: Final = """
SELECT id, topic, key, type, value FROM outbox WHERE created_at < now() - interval '5 s' ORDER BY created_at LIMIT 500
"""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that came: its id, type, order id and data."""

    id: str
    type: str
    key: str
    data: Any


@dataclass(frozen=True, slots=True)
class Out:
    """A message to be sent about the same order."""

    topic: str
    type: str
    data: dict[str, Any]


Handle = Callable[[asyncpg.Connection, Message], Awaitable[Sequence[Out]]]
Before = Callable[[asyncpg.Connection, Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """What a service does. `handle` runs within the message's transaction; `before` ahead of it and may run again. Messages of
    other types than `types` are passed over by their header."""

    name: str
    topics: tuple[str, ...]
    types: frozenset[str]
    handle: Handle
    before: Before | None = None


async def one(db: asyncpg.Connection, query: str, *arguments: Any) -> asyncpg.Record:
    """The one row that the query finds. Raises `LookupError`."""
    row = await db.fetchrow(query, *arguments)
    if row is None:
        raise LookupError(f"There is no row for {arguments[0]!r}.")
    return row


class Consumer:
    """Runs a service. Each partition of each topic has a task and a database connection, so that commits share their fsync."""

    def __init__(self, service: Service, prefix: str, bootstrap: str, dsn: str) -> None:
        self._service = service
        self._prefix = prefix
        self._dsn = dsn
        group = f"{prefix}{service.name}"
        # The same safe settings as everywhere, and the same numbers.
        self._consumer = make_group_consumer(bootstrap, group, group, None, _SESSION_MS)
        self._consumer.subscribe([prefix + topic for topic in service.topics])
        self._producer = make_producer(bootstrap, group)
        self._queues: dict[TopicPartition, asyncio.Queue[Any]] = {}
        self._done: dict[TopicPartition, int] = {}
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled or the first error."""
        await self._producer.start()
        await self._consumer.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(group))
                group.create_task(self._commit_now_and_then())
                group.create_task(self._sweep())
        finally:
            await self._consumer.stop()
            await self._producer.stop()

    async def _read(self, group: asyncio.TaskGroup) -> None:
        while not self._consumer.assignment():  # noqa: ASYNC110 - the client has no event for it
            await asyncio.sleep(0.05)
        self.ready.set()
        while True:
            found: dict[TopicPartition, list[Any]] = await self._consumer.getmany(timeout_ms=1_000)
            for tp, records in found.items():
                if tp not in self._queues:
                    self._queues[tp] = asyncio.Queue(_QUEUE)
                    group.create_task(self._work(tp))
                for record in records:
                    await self._queues[tp].put(record)

    async def _work(self, tp: TopicPartition) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=10, command_timeout=30)
        queue = self._queues[tp]
        while True:
            record = await queue.get()
            if dict(record.headers).get(TYPE_HEADER, b"").decode() in self._service.types:
                await self._handle(connection, record)
            self._done[tp] = record.offset + 1

    async def _handle(self, connection: asyncpg.Connection, record: Any) -> None:
        envelope = from_json(record.value)
        message = Message(envelope["id"], envelope["type"], envelope["subject"], envelope["data"])
        if self._service.before is not None:
            await self._service.before(connection, message)
        rows: list[tuple[str, str, str, str, bytes]] = []
        async with connection.transaction():
            if await connection.fetchval(_FRESH, message.id) is not None:
                outs = await self._service.handle(connection, message)
                rows = [self._row(message, number, out) for number, out in enumerate(outs)]
                if rows:
                    await connection.execute(_KEEP, *zip(*rows, strict=True))
        if rows:
            await self._publish(connection, rows)

    def _row(self, cause: Message, number: int, out: Out) -> tuple[str, str, str, str, bytes]:
        message_id = f"{cause.id}.{self._service.name}.{number}"
        value = to_json(
            {
                "specversion": "1.0",
                "id": message_id,
                "source": self._service.name,
                "type": out.type,
                "subject": cause.key,
                "time": datetime.now(UTC),
                "correlationid": cause.key,
                "causationid": cause.id,
                "datacontenttype": "application/json",
                "data": out.data,
            }
        )
        return message_id, self._prefix + out.topic, cause.key, out.type, value

    async def _publish(self, connection: asyncpg.Connection, rows: Sequence[tuple[str, str, str, str, bytes]]) -> None:
        # Sent one after the other and awaited together: what one message said is acknowledged in one round trip.
        sent = [
            await self._producer.send(topic, value, key.encode(), headers=headers_for(kind))
            for _, topic, key, kind, value in rows
        ]
        await asyncio.gather(*sent)
        await connection.execute(_FORGET, [row[0] for row in rows])

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_EVERY_S)
            if self._done:
                await self._consumer.commit(dict(self._done))

    async def _sweep(self) -> None:
        """What a crash left between a commit and its publish."""
        connection = await asyncpg.connect(self._dsn, timeout=10, command_timeout=30)
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            left = await connection.fetch(_LEFT)
            if left:
                await self._publish(connection, [tuple(row) for row in left])
