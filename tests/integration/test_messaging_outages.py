"""Broker and database crash and freeze under a running service: nothing is lost, nothing happens twice, and it stops in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from backends import Backends, Name
from tally import MIGRATIONS
from tally_hosts import Fleet, new_fleet
from tally_real import real_world
from tally_world import PARTITIONS
from test_messaging_host import ALL_KEYS
from waiting import until

STOP_S = 10


@pytest.fixture
async def fleet(kafka: str, new_database: Any, backends: Backends) -> AsyncIterator[Fleet]:
    dsn = await new_database(MIGRATIONS)
    async with real_world(kafka, dsn, locking=False) as world, new_fleet(world, kafka, dsn) as found:
        try:
            yield found
        finally:
            # Before anything is cleaned up, and for the next test: as if nothing had been.
            await asyncio.to_thread(backends.heal)


async def _load(fleet: Fleet, rounds: int) -> None:
    for _ in range(rounds):
        await asyncio.gather(*(fleet.add(key) for key in ALL_KEYS))


async def _said(fleet: Fleet, key: str, times: int) -> bool:
    return len(await fleet.said(key)) >= times


async def test_a_crash_of_the_broker_and_then_of_the_database_loses_and_repeats_nothing(
    fleet: Fleet, backends: Backends
) -> None:
    running = fleet.host()
    await _load(fleet, 20)
    backends.crash("kafka")
    more = asyncio.create_task(_load(fleet, 20))
    await asyncio.to_thread(backends.wait_until_ready)
    await more
    backends.crash("postgres")
    await _load(fleet, 20)
    await asyncio.to_thread(backends.wait_until_ready)
    await fleet.world.reconnect()
    await fleet.until_totals(dict.fromkeys(ALL_KEYS, 60))
    for key in ALL_KEYS:
        await until(lambda key=key: _said(fleet, key, 60), "all is said")  # type: ignore[misc]
        totals = [int(line.rpartition(" ")[2]) for line in await fleet.said(key)]
        assert totals == list(range(1, 61))
    assert not running.task.done()


@pytest.mark.parametrize(("name", "how"), [("kafka", "crash"), ("kafka", "freeze"), ("postgres", "freeze")])
async def test_a_process_stops_in_time_whatever_is_down_and_its_successor_goes_on(
    fleet: Fleet, backends: Backends, name: Name, how: str
) -> None:
    process = await fleet.process()
    await fleet.add(ALL_KEYS[0])
    await fleet.until_totals({ALL_KEYS[0]: 1})
    await _load(fleet, 30)
    getattr(backends, how)(name)
    started = time.monotonic()
    process.terminate()
    async with asyncio.timeout(STOP_S + 5):
        assert await process.wait() == 0
    assert time.monotonic() - started < STOP_S
    await asyncio.to_thread(backends.heal)
    fleet.host()
    await fleet.until_totals({key: 30 + (key == ALL_KEYS[0]) for key in ALL_KEYS})


async def test_a_process_without_any_backend_starts_waits_and_stops_in_time(fleet: Fleet, backends: Backends) -> None:
    backends.freeze("postgres")
    backends.freeze("kafka")
    process = await fleet.process()
    assert process.stdout is not None
    async with asyncio.timeout(90):
        assert b"task queue" in await process.stdout.readline()
    process.terminate()
    async with asyncio.timeout(STOP_S):
        assert await process.wait() == 0


async def test_everything_is_taken_over_within_moments_of_a_clean_stop(fleet: Fleet) -> None:
    process = await fleet.process()

    async def owned() -> bool:
        return list((await fleet.owners()).values()) == ["tally-process-0"] * PARTITIONS

    await until(owned, "the process owns all")
    running = fleet.host()
    await until(lambda: len(running.host.partitions) == 2, "they share")
    process.terminate()
    started = time.monotonic()
    assert await process.wait() == 0
    await until(lambda: running.host.partitions == list(range(PARTITIONS)) and running.host.ready, "the other owns all")
    assert time.monotonic() - started < 5, "it left the group, instead of being missed"
