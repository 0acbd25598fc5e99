"""Topics for whose records nobody waits: read in gulps, and completely."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from tally_real import settings_for
from waiting import until

from contracts.topics import INVENTORY_COMMANDS, ORDERS_EVENTS
from messaging.clients import make_producer
from messaging.kafka import GroupReader
from messaging.ports import Record

TOPICS = (INVENTORY_COMMANDS, ORDERS_EVENTS)
PATIENT = TopicPartition(ORDERS_EVENTS, 0)


class Reading:
    """A reader of the real broker that begins at the ends of its topics, and what it delivered."""

    def __init__(self, kafka: str) -> None:
        settings = settings_for(kafka, ORDER_TASK_QUEUE=f"patience-{secrets.token_hex(4)}")
        self.reader = GroupReader(settings, TOPICS, self._assigned, self._revoked, frozenset({ORDERS_EVENTS}))
        self.deliveries: list[list[bytes]] = []
        self.owned: set[int] = set()

    async def _assigned(self, partitions: set[int]) -> None:
        for partition in partitions:
            self.reader.seek(partition, await self.reader.ends(partition))
        self.owned |= partitions

    async def _revoked(self, partitions: set[int]) -> None:
        self.owned -= partitions

    def deliver(self, partition: int, records: list[Record]) -> None:
        self.deliveries.append([record.value for record in records if record.value is not None])

    def rests(self) -> bool:
        """Whether the patient partition is left alone."""
        return PATIENT in self.reader._consumer.paused()

    def came(self) -> list[bytes]:
        return [value for values in self.deliveries for value in values]


@pytest.fixture
async def sender(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = make_producer(kafka, "patience")
    await producer.start()
    yield producer
    await producer.stop()


@asynccontextmanager
async def reading(kafka: str) -> AsyncIterator[Reading]:
    found = Reading(kafka)
    await found.reader.start()
    pump = asyncio.create_task(found.reader.pump(found.deliver))
    try:
        await until(lambda: 0 in found.owned, "the reader owns its partitions")
        yield found
    finally:
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pump
        await found.reader.stop()


async def test_a_patient_partition_rests_once_it_gave_records_and_then_gives_all_that_came_meanwhile(
    kafka: str, sender: AIOKafkaProducer
) -> None:
    async with reading(kafka) as found:
        await sender.send_and_wait(ORDERS_EVENTS, b"first", partition=0)
        await until(found.rests, "the partition rests")
        values = [str(number).encode() for number in range(30)]
        for value in values:
            await sender.send_and_wait(ORDERS_EVENTS, value, partition=0)
        await until(lambda: found.came() == [b"first", *values], "everything came, in order")
        assert len(found.deliveries) < 1 + len(values)


async def test_other_topics_are_read_while_a_patient_one_rests(kafka: str, sender: AIOKafkaProducer) -> None:
    async with reading(kafka) as found:
        await sender.send_and_wait(ORDERS_EVENTS, b"event", partition=0)
        await until(found.rests, "the partition rests")
        await sender.send_and_wait(INVENTORY_COMMANDS, b"command", partition=0)
        await until(lambda: b"command" in found.came(), "the command came")


async def test_the_rest_ends_when_something_waits_but_not_for_a_partition_that_is_held(
    kafka: str, sender: AIOKafkaProducer
) -> None:
    async with reading(kafka) as found:
        await sender.send_and_wait(ORDERS_EVENTS, b"event", partition=0)
        await until(found.rests, "the partition rests")
        found.reader.hurry()
        assert not found.rests()
        await sender.send_and_wait(ORDERS_EVENTS, b"another", partition=0)
        await until(found.rests, "it rests again")
        found.reader.hold(0)
        found.reader.hurry()
        assert found.rests()
        found.reader.go_on(0)
        assert not found.rests()
