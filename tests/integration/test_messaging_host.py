"""A service's process on real Kafka and PostgreSQL: it works, shares, takes over, and survives what its surroundings do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from tally import MIGRATIONS, TOPICS, PostgresTally, TallyHandler
from tally_hosts import Fleet, new_fleet
from tally_process import Asker
from tally_real import real_world
from tally_world import PARTITIONS
from waiting import until

from contracts.topics import INVENTORY_COMMANDS
from messaging import host as host_module
from messaging.clients import make_admin
from messaging.errors import TopicMismatchError
from messaging.partitioner import partition_of

#: Three keys on each partition.
KEYS = [[k for n in range(200) if partition_of(k := f"k{n}", PARTITIONS) == p][:3] for p in range(PARTITIONS)]
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ALL_KEYS = [key for keys in KEYS for key in keys]


@pytest.fixture
async def fleet(kafka: str, new_database: Any) -> AsyncIterator[Fleet]:
    dsn = await new_database(MIGRATIONS)
    async with real_world(kafka, dsn, locking=False) as world, new_fleet(world, kafka, dsn) as found:
        yield found


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the host look at itself every 0.2 s."""
    monkeypatch.setattr(host_module, "LOOK_EVERY_S", 0.2)


async def test_records_timers_and_effects_on_all_partitions_have_their_effect_once(fleet: Fleet) -> None:
    running = fleet.host()
    soon = datetime.now(UTC) + timedelta(seconds=1)
    for number in range(1, 11):
        await asyncio.gather(*(fleet.add(key, number) for key in ALL_KEYS))
    await fleet.add(ALL_KEYS[0], 1, f"timer=t@{soon.isoformat()} effect=e1")
    await fleet.until_totals({key: 55 + (key == ALL_KEYS[0]) for key in ALL_KEYS})
    assert running.host.ready
    assert running.host.partitions == list(range(PARTITIONS))
    await fleet.until_said(ALL_KEYS[0], f"{ALL_KEYS[0]}: timer t 1 -> 56")
    await fleet.until_said(ALL_KEYS[0], f"{ALL_KEYS[0]}: effect e1 done -> 56")
    for key in ALL_KEYS[1:]:
        totals = [int(line.rpartition(" ")[2]) for line in await fleet.said(key)]
        assert totals == [1, 3, 6, 10, 15, 21, 28, 36, 45, 55]


async def test_a_command_on_the_wrong_partition_finds_its_way(fleet: Fleet) -> None:
    fleet.host()
    key = KEYS[3][0]
    await fleet.sender(0).add(key)
    await fleet.until_totals({key: 1})
    await fleet.until_said(key, f"{key}: m1 -> 1")


@pytest.mark.parametrize("count", ["3", "5"])
async def test_another_partition_count_than_the_contracts_is_refused(fleet: Fleet, count: str) -> None:
    with pytest.raises(TopicMismatchError, match=f"has 4 partitions, but TOPIC_PARTITIONS is {count}"):
        await fleet.host(TOPIC_PARTITIONS=count).task


async def test_a_missing_topic_is_refused(fleet: Fleet) -> None:
    handler = TallyHandler(PostgresTally())
    handler.topics = (INVENTORY_COMMANDS, "there.is.no.such.topic")
    with pytest.raises(TopicMismatchError, match="does not exist"):
        await fleet.host(handler).task


@pytest.mark.usefixtures("often")
async def test_a_topic_that_is_deleted_is_not_asked_for_without_a_pause_and_work_goes_on_when_it_is_back(
    fleet: Fleet, kafka: str, caplog: pytest.LogCaptureFixture
) -> None:
    admin, new = make_admin(kafka, "test"), [NewTopic("soon.gone.v1", PARTITIONS, 1)]
    await admin.start()
    try:
        await admin.create_topics(new)
        handler = TallyHandler(PostgresTally())
        handler.topics = (*TOPICS, "soon.gone.v1")
        running = fleet.host(handler)
        await fleet.add(KEYS[0][0])
        await fleet.until_totals({KEYS[0][0]: 1})
        await admin.delete_topics(["soon.gone.v1"])

        def told_after(moment: datetime) -> bool:
            error = running.host.last_error
            return error is not None and "soon.gone.v1" in error.text and error.at > moment

        await until(lambda: told_after(LONG_AGO), "the missing topic is told")
        caplog.clear()
        since = datetime.now(UTC)
        await until(lambda: told_after(since + timedelta(seconds=3)), "it is told again, seconds later")
        # The client alone asks hundreds of times a second.
        asked = [record for record in caplog.records if "not found in cluster metadata" in record.getMessage()]
        assert len(asked) < 30
        await admin.create_topics(new)
        await fleet.add(KEYS[0][0])
        await fleet.until_totals({KEYS[0][0]: 2})
    finally:
        await admin.close()


async def test_an_error_that_nobody_foresaw_ends_the_host(fleet: Fleet) -> None:
    class Broken(TallyHandler):
        async def load(self, *arguments: Any) -> Any:
            raise KeyError("a bug")

    running = fleet.host(Broken(PostgresTally()))
    await fleet.add(ALL_KEYS[0])
    with pytest.raises(KeyError, match="a bug"):
        await asyncio.wait_for(running.task, 20)


async def test_an_owner_that_was_fenced_joins_again_and_goes_on(fleet: Fleet) -> None:
    running = fleet.host()
    await fleet.add(KEYS[0][0])
    await fleet.until_totals({KEYS[0][0]: 1})
    await fleet.world.execute("update partition_ownership set epoch = epoch + 1, owner = 'somebody else'")
    await asyncio.gather(*(fleet.add(key) for key in ALL_KEYS))
    await fleet.until_totals({key: 1 + (key == KEYS[0][0]) for key in ALL_KEYS})
    assert running.happened("fence-lost") >= 1
    assert set((await fleet.owners()).values()) == {"tally-0"}


@pytest.mark.usefixtures("often")
async def test_a_reader_that_lives_and_receives_nothing_is_rebuilt(fleet: Fleet) -> None:
    running = fleet.host(WATCHDOG_S="1")
    await fleet.add(KEYS[0][0])
    await fleet.until_totals({KEYS[0][0]: 1})
    reader = running.host._reader
    assert reader is not None
    reader._consumer.pause(*reader._consumer.assignment())
    await asyncio.gather(*(fleet.add(key) for key in ALL_KEYS))
    await fleet.until_totals({key: 1 + (key == KEYS[0][0]) for key in ALL_KEYS})
    assert running.happened("rebuilt") == 1
    assert running.host.alive


@pytest.mark.usefixtures("often")
async def test_a_partition_that_was_idle_for_long_is_not_taken_for_a_stalled_one(fleet: Fleet) -> None:
    running = fleet.host(WATCHDOG_S="1")
    await fleet.add(KEYS[0][0])
    await fleet.until_totals({KEYS[0][0]: 1})

    async def idle_for_longer_than_the_watchdog_waits() -> bool:
        (seen,) = [found for found in await running.host.progress() if found["partition"] == 0]
        return datetime.now(UTC) - seen["last_progress_at"] > timedelta(seconds=1)

    for burst in (1, 2, 3):
        await until(idle_for_longer_than_the_watchdog_waits, "the partition is idle")
        await asyncio.gather(*(fleet.add(KEYS[0][0]) for _ in range(20)))
        await fleet.until_totals({KEYS[0][0]: 1 + 20 * burst})
    assert running.happened("rebuilt") == 0


@pytest.mark.usefixtures("often")
async def test_the_markers_of_a_foreign_clients_transaction_hold_nothing_up(fleet: Fleet) -> None:
    """They take an offset and are no record: nothing waits there, and a timer need not wait for it."""
    running = fleet.host(WATCHDOG_S="1")
    key = KEYS[0][0]
    soon = datetime.now(UTC) + timedelta(seconds=1)
    await fleet.add_in_transaction(key, 1, f"timer=t@{soon.isoformat()}")
    await fleet.until_said(key, f"{key}: timer t 1 -> 1")

    def lag() -> bool:
        labels = {"service": "inventory", "partition": "0"}
        return running.meters.registry.get_sample_value("messaging_lag_records", labels) == 0

    await until(lag, "a lag of 0")
    assert running.happened("rebuilt") == 0


async def test_two_hosts_share_and_the_death_of_one_leaves_everything_to_the_other(fleet: Fleet) -> None:
    process = await fleet.process()
    await until(lambda: _owned(fleet, "tally-process-0", PARTITIONS), "the process owns all")
    running = fleet.host(asker=Asker(0))
    await until(lambda: _owned(fleet, "tally-process-0", 2), "they share")
    await until(lambda: _owned(fleet, "tally-0", 2), "they share")
    # An effect is under way in each of the process's partitions when it dies.
    await asyncio.gather(*(fleet.add(keys[0], 1, f"effect=e{p}") for p, keys in enumerate(KEYS)))
    await fleet.until_totals({keys[0]: 1 for keys in KEYS})
    theirs = [p for p, owner in (await fleet.owners()).items() if owner != "tally-0"]
    process.kill()
    await asyncio.gather(*(fleet.add(key) for key in ALL_KEYS))
    await fleet.until_totals({key: 1 + (key in [keys[0] for keys in KEYS]) for key in ALL_KEYS})
    assert running.host.partitions == list(range(PARTITIONS))
    for partition in theirs:
        key = KEYS[partition][0]
        await until(lambda key=key: _says(fleet, key, "resumed"), "the effect is done by the survivor")  # type: ignore[misc]


async def _owned(fleet: Fleet, owner: str, partitions: int) -> bool:
    return list((await fleet.owners()).values()).count(owner) == partitions


async def _says(fleet: Fleet, key: str, word: str) -> bool:
    return any(word in line for line in await fleet.said(key))
