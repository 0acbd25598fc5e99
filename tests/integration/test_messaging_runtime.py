"""What the runtime promises, in memory and on the real thing: one effect for each message, fence, offsets, outbox, effects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from faults import Cut, Faulty
from tally import Ask, Tally
from tally_real import RealWorld
from tally_world import HOME, Process, Sender, Totals, World

from contracts.topics import INVENTORY_COMMANDS, ORDERS_EVENTS
from messaging.decision import Effect
from messaging.errors import FenceLostError, StaleRowError, TransientStoreError


@pytest.fixture
def sender(world: World) -> Sender:
    return Sender(world)


@pytest.fixture
def totals(world: World) -> Totals:
    return Totals(world)


async def owner(world: World, **ports: Any) -> Process:
    process = Process(world, HOME, **ports)
    await process.take_over()
    return process


async def test_a_message_is_decided_once_whatever_is_delivered_again(
    world: World, sender: Sender, totals: Totals
) -> None:
    first = await owner(world)
    records = [await sender.add("a", 1), await sender.add("b", 10), await sender.add("a", 2)]
    assert await first.work() == 3
    first.worker.buffers.offer(records, first.worker.offsets)
    await first.worker.tidy(datetime.now(UTC), 30)
    second = await owner(world)
    assert await second.work() == 0
    assert await totals() == {"a": 3, "b": 10}
    assert await sender.said() == ["a: m1 -> 1", "b: m2 -> 10", "a: m3 -> 3"]


async def test_records_that_overlap_what_is_buffered_are_passed_over(
    world: World, sender: Sender, totals: Totals
) -> None:
    process = await owner(world)
    records = [await sender.add("a") for _ in range(5)]
    for start, end in ((0, 3), (0, 2), (1, 4), (2, 5), (0, 5)):
        process.worker.buffers.offer(records[start:end], process.worker.offsets)
    assert await process.worker.step(datetime.now(UTC), None) == 5
    assert await totals() == {"a": 5}


async def test_whoever_was_taken_over_cannot_commit_and_changes_nothing(
    world: World, sender: Sender, totals: Totals
) -> None:
    old = await owner(world)
    await sender.add("a", 1)
    await old.fetch()
    new = await owner(world)
    with pytest.raises(FenceLostError):
        await old.worker.step(datetime.now(UTC), None)
    with pytest.raises(FenceLostError):
        await old.worker.reload()
    assert await totals() == {}
    assert not await new.store.outbox_after(HOME, 0, 10)
    assert await new.work() == 1
    await sender.add("a", 2)
    await old.fetch()
    with pytest.raises(FenceLostError):
        await old.worker.step(datetime.now(UTC), None)
    await old.store.mark_published(HOME, old.worker._ownership.epoch, 99, {}, [])
    with pytest.raises(FenceLostError):
        await old.store.set_offsets(HOME, old.worker._ownership.epoch, {INVENTORY_COMMANDS: 0})
    assert await new.work() == 1
    assert (await world.store().take_over(HOME, "third", [])).published_seq < 99
    assert await totals() == {"a": 3}


async def test_the_database_says_where_reading_goes_on(world: World, sender: Sender) -> None:
    first = await owner(world)
    last = [await sender.add("a") for _ in range(3)][-1]
    await sender.event("a")
    await first.work()
    second = await owner(world)
    assert second.worker.offsets == first.worker.offsets
    assert second.worker.offsets[INVENTORY_COMMANDS] == last.offset + 1
    assert second.worker.offsets[ORDERS_EVENTS] == await world.end(ORDERS_EVENTS, HOME)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_after_a_commit_of_unknown_outcome_a_reload_goes_on_from_what_is_true(
    world: World, sender: Sender, totals: Totals, when: str
) -> None:
    process = await owner(world, store=Faulty(world.store(), when))
    await sender.add("a", 1, "effect=e1")
    await sender.add("a", 2)
    await process.fetch()
    with pytest.raises(TransientStoreError):
        await process.worker.step(datetime.now(UTC), None)
    pending = await process.worker.reload()
    assert [effect.id for effect in pending] == (["e1"] if when == "after" else [])
    await process.work()
    assert await totals() == {"a": 3}
    assert await sender.said() == ["a: m1 -> 1", "a: m2 -> 3"]


async def test_a_row_that_is_not_as_it_was_read_undoes_the_whole_batch(
    world: World, sender: Sender, totals: Totals
) -> None:
    process = await owner(world)
    await sender.add("a", 1)
    await process.work()
    await world.put("a", Tally(70, 9))
    await sender.add("b", 5)
    await sender.add("a", 1)
    await process.fetch()
    with pytest.raises(StaleRowError):
        await process.worker.step(datetime.now(UTC), None)
    assert await totals() == {"a": 70}
    assert len(await process.store.outbox_after(HOME, 0, 9)) == 1
    await process.worker.reload()
    await process.work()
    assert await totals() == {"a": 71, "b": 5}
    assert await sender.said() == ["a: m1 -> 1", "b: m2 -> 5", "a: m3 -> 71"]


async def test_an_effect_outlives_its_process_and_ends_once(world: World, sender: Sender) -> None:
    old = await owner(world)
    await sender.add("a", 1, "effect=e1 effect=e2")
    await old.fetch()
    await old.worker.step(datetime.now(UTC), None)
    assert [effect.id for effect in old.worker.launch] == ["e1", "e2"]
    new = Process(world, HOME)
    pending = await new.take_over()
    assert sorted((effect.id, effect.key, effect.kind) for effect in pending) == [
        ("e1", "a", "ask"),
        ("e2", "a", "ask"),
    ]
    assert {Ask.model_validate_json(effect.request).word for effect in pending} == {"e1", "e2"}
    outcome = new.worker.outcome(Effect("a", "e1", "ask", Ask(word="e1")), "done", datetime.now(UTC))
    with pytest.raises(FenceLostError):
        await old.worker.step(datetime.now(UTC), None, [outcome])
    await new.worker.step(datetime.now(UTC), None, [outcome])
    await new.work()
    assert await sender.said() == ["a: m1 -> 1", "a: effect e1 done -> 1"]
    assert [effect.id for effect in await Process(world, HOME).take_over()] == ["e2"]


async def test_an_effect_asked_for_twice_is_one(world: World, sender: Sender) -> None:
    process = await owner(world)
    await sender.add("a", 1, "effect=e1")
    await process.work()
    await sender.add("a", 1, "effect=e1")
    await process.work()
    assert [effect.id for effect in await process.worker.reload()] == ["e1"]


async def test_a_connection_that_dies_before_the_commit_is_a_transient_error_and_nothing_happened(
    world: World, sender: Sender, totals: Totals
) -> None:
    if not isinstance(world, RealWorld):
        pytest.skip("there is no connection in memory")
    process = await owner(world, store=Cut(world.store(), world))
    await sender.add("a")
    await process.fetch()
    with pytest.raises(TransientStoreError):
        await process.worker.step(datetime.now(UTC), None)
    assert await totals() == {}
    await process.worker.reload()
    await process.work()
    assert await totals() == {"a": 1}
