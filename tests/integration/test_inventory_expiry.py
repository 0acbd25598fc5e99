"""What is over is announced once, whoever lives through it: on the runtime, with tables in memory and in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from inventory_bench import (
    PARTITIONS,
    Bench,
    MemoryBackend,
    PostgresBackend,
    after,
    completed,
    extend,
    key_on,
    new_database,
    pieces,
    receive,
    release,
    reserve,
)

from contracts.inventory import ReservationExpired
from services.inventory import handlers, holds


@pytest.fixture(params=["memory", "postgres"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "memory":
        bench = Bench(MemoryBackend())
        await bench.start()
        await bench.ask("A", receive("A", 10_000))
        yield bench
        return
    async with new_database(request.getfixturevalue("server_dsn")) as dsn:
        bench = Bench(PostgresBackend(dsn))
        await bench.start()
        await bench.ask("A", receive("A", 10_000))
        yield bench
        await bench.stop()


def announced(bench: Bench, key: str) -> list[datetime]:
    """The expiries that were announced under the key, in order."""
    return [said.expired_at for said in bench.said()[key] if isinstance(said, ReservationExpired)]


async def test_what_is_over_is_announced_and_stays_held_until_it_is_released(bench: Bench) -> None:
    await bench.ask("o1", reserve("r1", ("A", 2), for_s=900))
    await bench.pass_to(after(899))
    assert announced(bench, "o1") == []
    await bench.pass_to(after(901))
    assert announced(bench, "o1") == [after(900)]
    assert await bench.backend.stock() == {"A": pieces(10_000, held=2)}
    await bench.ask("o1", release("r1"))
    await bench.pass_to(after(10_000))
    assert announced(bench, "o1") == [after(900)]
    assert await bench.backend.timers() == []


async def test_an_extended_hold_is_announced_when_that_is_over(bench: Bench) -> None:
    await bench.ask("o1", reserve("r1", ("A", 2), for_s=900))
    await bench.pass_to(after(901))
    await bench.ask("o1", extend("r1", 1_200))
    await bench.pass_to(after(1_199))
    assert announced(bench, "o1") == [after(900)]
    await bench.pass_to(after(1_201))
    assert announced(bench, "o1") == [after(900), after(1_200)]


async def test_silence_is_answered_with_growing_patience(bench: Bench) -> None:
    await bench.ask("o1", reserve("r1", ("A", 2), for_s=900))
    for until, times in ((959, 1), (961, 2), (1_079, 2), (1_081, 3), (1_319, 3), (1_321, 4)):
        await bench.pass_to(after(until))
        assert announced(bench, "o1") == [after(900)] * times


async def test_a_new_process_knows_what_its_predecessor_held(bench: Bench) -> None:
    await bench.ask("o1", reserve("r1", ("A", 2), for_s=900))
    await bench.ask("o1", reserve("r2", ("A", 2), for_s=1_800))
    await bench.stop()
    await bench.start()
    # It holds something until later, which must not put off what comes before; and something until earlier.
    await bench.ask("o1", reserve("r3", ("A", 2), for_s=3_600))
    await bench.ask("o1", reserve("r4", ("A", 2), for_s=60))
    for until, expiries in ((61, 1), (901, 2)):
        await bench.pass_to(after(until))
        assert len(set(announced(bench, "o1"))) == expiries
        await bench.stop()
        await bench.start()
    await bench.pass_to(after(3_601))
    assert set(announced(bench, "o1")) == {after(60), after(900), after(1_800), after(3_600)}


async def test_a_partition_has_one_timer_whatever_it_holds(bench: Bench) -> None:
    for partition in range(PARTITIONS):
        for number in range(10):
            bench.send(key_on(partition, number), reserve("r1", ("A", 1), for_s=900 + number))
    await bench.drain()
    assert await bench.backend.timers() == [after(900)] * PARTITIONS
    for partition in range(PARTITIONS):
        for number in range(10):
            bench.send(key_on(partition, number), completed("r1"))
    await bench.drain()
    await bench.pass_to(after(10_000))
    assert await bench.backend.timers() == []
    assert await bench.backend.stock() == {"A": pieces(10_000, shipped=10 * PARTITIONS)}


async def test_more_than_a_sweep_can_take_is_announced_by_the_next_ones_once_each(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (holds, handlers):
        monkeypatch.setattr(module, "SWEEP_LIMIT", 20)
    keys = [key_on(0, number) for number in range(30)]
    for key in keys:
        bench.send(key, reserve("r1", ("A", 1), for_s=900))
    await bench.drain()
    await bench.pass_to(after(904))
    assert sum(len(announced(bench, key)) for key in keys) == 20
    await bench.pass_to(after(950))
    assert all(announced(bench, key) == [after(900)] for key in keys)


async def test_what_its_own_batch_releases_ships_or_extends_is_not_announced(bench: Bench) -> None:
    same = [key_on(0, number) for number in range(4)]
    for key in same:
        await bench.ask(key, reserve("r1", ("A", 1), for_s=900))
    # Appended in time, read together with the timer: nobody was there before.
    bench.clock.time = after(899)
    bench.send(same[0], release("r1"))
    bench.send(same[1], completed("r1"))
    bench.send(same[2], extend("r1", 2_000))
    bench.clock.time = after(1_000)
    await bench.drain()
    assert [announced(bench, key) for key in same] == [[], [], [], [after(900)]]
    await bench.pass_to(after(2_001))
    assert announced(bench, same[2]) == [after(2_000)]


async def test_announcements_have_ids_of_their_own_on_every_partition(bench: Bench) -> None:
    for partition in range(PARTITIONS):
        await bench.ask(key_on(partition, 0), reserve("r1", ("A", 1), for_s=900))
    await bench.pass_to(after(961))
    records = bench.broker.all_records("inventory.events.v1")
    told = [r.value for r in records if r.value is not None and b"reservation-expired" in r.value]
    assert len(told) == len({value.split(b'"id":"')[1][:24] for value in told}) == 2 * PARTITIONS


async def test_what_is_freed_is_the_next_ones_at_once(bench: Bench) -> None:
    await bench.ask("B", receive("B", 1))
    await bench.ask("o1", reserve("r1", ("B", 1), for_s=900))
    await bench.pass_to(after(901))
    assert [type(said).__name__ for said in await bench.ask("o2", reserve("r1", ("B", 1)))] == ["ReservationRefused"]
    bench.send("o1", release("r1"))
    await bench.drain()
    assert [type(said).__name__ for said in await bench.ask("o3", reserve("r1", ("B", 1)))] == ["StockReserved"]
