"""Somebody raises a topic's number of partitions under a running service: Kafka lets them, and cannot take it back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from tally import MIGRATIONS
from tally_hosts import Fleet, new_fleet
from tally_real import real_world
from tally_world import PARTITIONS
from waiting import until

from contracts.inventory import AdjustStock
from contracts.topics import INVENTORY_COMMANDS
from messaging import clients
from messaging.clients import consumer_options, make_admin, make_producer, make_reader
from messaging.partitioner import partition_of
from provision.errors import ProvisionError
from provision.topic_settings import TopicSettings
from provision.topics import ensure_topics


@pytest.fixture
def _seen_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients look at the topics twice a second instead of once a minute."""

    def options(*arguments: str) -> dict[str, Any]:
        return {**consumer_options(*arguments), "metadata_max_age_ms": 500}

    monkeypatch.setattr(clients, "consumer_options", options)


@pytest.fixture
async def fleet(_seen_soon: None, kafka: str, new_database: Any) -> AsyncIterator[Fleet]:
    dsn = await new_database(MIGRATIONS)
    async with real_world(kafka, dsn, locking=False) as world, new_fleet(world, kafka, dsn) as found:
        yield found


@pytest.fixture
async def admin(kafka: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = make_admin(kafka, "test")
    await client.start()
    yield client
    await client.close()


async def _made_anew(admin: AIOKafkaAdminClient, kafka: str) -> None:
    await admin.delete_topics([INVENTORY_COMMANDS])

    async def done() -> bool:
        try:
            await ensure_topics(kafka, PARTITIONS, TopicSettings())
        except ProvisionError:
            return False  # the old one is still there
        return True

    await until(done, "the old topic is gone and the new one is there")


async def _add_by_another_count(kafka: str, fleet: Fleet, keys: list[str]) -> None:
    """As a client does that begins now, and knows no better."""
    producer = make_producer(kafka, "other")
    await producer.start()
    for key in keys:
        message = fleet.sender(0).message(key, AdjustStock(sku="A", delta=1, reason="add"), id=f"other-{key}")
        topic, name, value, headers = message
        partition = partition_of(key, 2 * PARTITIONS)
        await producer.send_and_wait(topic, value, name, partition, headers=list(headers))
    await producer.stop()


async def _everything(kafka: str) -> list[Any]:
    """All that stands on the topic, in order for each partition."""
    reader = make_reader(kafka, "test")
    await reader.start()
    reader.assign([TopicPartition(INVENTORY_COMMANDS, partition) for partition in range(2 * PARTITIONS)])
    ends, found = await reader.end_offsets(reader.assignment()), []
    await reader.seek_to_beginning()
    while [tp for tp, end in ends.items() if await reader.position(tp) < end]:
        for records in (await reader.getmany(timeout_ms=500)).values():
            found += records
    await reader.stop()
    return found


async def test_partitions_that_come_under_a_running_service_stop_it_and_nothing_is_lost_when_the_topic_is_made_anew(
    fleet: Fleet, admin: AIOKafkaAdminClient, kafka: str
) -> None:
    keys = [f"grown-{n}" for n in range(40)]
    running = fleet.host()
    for key in keys:
        await fleet.add(key)
    await fleet.until_totals(dict.fromkeys(keys, 1))
    await admin.create_partitions({INVENTORY_COMMANDS: NewPartitions(2 * PARTITIONS)})
    try:

        def told() -> bool:
            error = running.host.last_error
            return error is not None and f"{INVENTORY_COMMANDS} has {2 * PARTITIONS} partitions, but" in error.text

        await until(told, "the service says what is wrong")
        await _add_by_another_count(kafka, fleet, keys)
        assert running.host.partitions == []
        assert await fleet.totals() == dict.fromkeys(keys, 1), "nothing is handled on a partition that is not the key's"
        assert not running.task.done(), "it asks again: the topic may be made anew"
        # As docs/operations.md says: kept, made anew, and put back once every service works again.
        kept = [record for record in await _everything(kafka) if (record.key or b"").decode(errors="replace") in keys]
        assert len(kept) == 2 * len(keys)
    finally:
        await _made_anew(admin, kafka)
    await until(lambda: running.host.ready and running.host.partitions, "it works again, on the empty topic")
    for record in kept:
        partition = partition_of(record.key.decode(), PARTITIONS)
        await fleet.world.append(INVENTORY_COMMANDS, record.key, record.value, record.headers, partition)
    # The tally adds what comes twice twice; a service tells it apart by its id (`make sim` reads topics again). A topic that is
    # shorter than it was has the others read again, too: with what other tests left there, which is about other keys.

    async def reached(total: int) -> bool:
        totals = await fleet.totals()
        return all(totals[key] == total for key in keys)

    await until(lambda: reached(3), "all are added that were kept")
    for key in keys:
        await fleet.add(key)
    await until(lambda: reached(4), "and what came since")
