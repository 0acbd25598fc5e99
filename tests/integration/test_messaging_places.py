"""Where published messages stand is remembered, a row per flush: in memory and on the real thing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from faults import Unsure
from tally_real import RealWorld
from tally_world import HOME, Process, Sender, World

from contracts.inventory import AdjustStock
from contracts.topics import INVENTORY_EVENTS
from messaging.errors import PublishUnknownError, TransientStoreError
from messaging.ports import Placed


@pytest.fixture
def sender(world: World) -> Sender:
    return Sender(world)


async def owner(world: World, **ports: Any) -> Process:
    process = Process(world, HOME, **ports)
    await process.take_over()
    return process


async def tidy(process: Process) -> None:
    await process.worker.tidy(datetime.now(UTC), 30)


async def offsets(world: World) -> list[int]:
    """The offsets of everything that the tally has said on its partition."""
    return [record.offset for record in await world.read(INVENTORY_EVENTS, HOME)]


def at(found: Sequence[int], first_seq: int = 1) -> dict[int, Placed]:
    return {seq: Placed(seq, INVENTORY_EVENTS, offset) for seq, offset in enumerate(found, first_seq)}


async def rows(world: World) -> list[tuple[int, int]] | None:
    """The rows' spans; None where there are no rows to count."""
    if not isinstance(world, RealWorld):
        return None
    found = await world.fetch("select first_seq, last_seq from published order by last_seq")
    return [(row["first_seq"], row["last_seq"]) for row in found]


async def test_every_published_message_is_known_at_its_place_and_a_flush_is_one_row(
    world: World, sender: Sender
) -> None:
    process = await owner(world)
    for batch in range(3):
        for number in range(7):
            await sender.add(sender.keys[number])
        await process.work()
        if batch > 0:
            await tidy(process)
    await tidy(process)
    assert await world.places(HOME, range(25)) == at(await offsets(world))
    assert await rows(world) in (None, [(1, 14), (15, 21)])


async def test_what_is_not_published_or_stands_on_another_partition_has_no_place(world: World, sender: Sender) -> None:
    wrong = Process(world, 2)
    await wrong.take_over()
    await sender.send(sender.keys[0], AdjustStock(sku="A", delta=1, reason="add"), partition=2)
    await wrong.work()
    await wrong.worker.tidy(datetime.now(UTC), 30)
    assert await world.places(2, [1, 2]) == {}
    process = await owner(world)
    await process.fetch()
    await process.worker.step(datetime.now(UTC), None)
    await tidy(process)
    assert await world.places(HOME, [1]) == {}
    await process.worker.publish(process.publisher)
    assert await world.places(HOME, [1]) == {}, "it is told with the next tidying up"
    await tidy(process)
    assert await world.places(HOME, [1]) == at(await offsets(world))


async def test_a_successor_publishes_again_what_has_no_place_and_then_knows_it(world: World, sender: Sender) -> None:
    old = await owner(world)
    await sender.add("a")
    await old.work()
    new = await owner(world)
    await new.work()
    await tidy(new)
    await tidy(old)
    first, again = await offsets(world)
    assert await world.places(HOME, [1]) == at([again])
    assert first < again


async def test_a_message_that_came_twice_stands_where_it_was_acknowledged(world: World, sender: Sender) -> None:
    process = await owner(world, publisher=Unsure(world.publisher(), lands=True))
    await sender.add("a")
    await process.fetch()
    await process.worker.step(datetime.now(UTC), None)
    with pytest.raises(PublishUnknownError):
        await process.worker.publish(process.publisher)
    await process.work()
    await tidy(process)
    assert await world.places(HOME, [1]) == at((await offsets(world))[1:])


@pytest.mark.parametrize("days", [0, 30])
async def test_a_lost_answer_of_the_database_repeats_the_places_and_changes_none(
    world: World, sender: Sender, days: int
) -> None:
    process = await owner(world)
    mark, lost = process.store.mark_published, [True]

    async def unsure(*arguments: Any) -> None:
        await mark(*arguments)
        if lost:
            await world.age_places(HOME, 2, days)  # in between a period may have ended
            raise TransientStoreError(f"the answer was lost: {lost.pop()}")

    process.store.mark_published = unsure  # type: ignore[method-assign]
    await sender.add("a")
    await process.work()
    with pytest.raises(TransientStoreError):
        await tidy(process)
    await sender.add("b")
    await process.work()
    await tidy(process)
    await sender.add("b")
    await process.work()
    await tidy(process)
    assert await world.places(HOME, [1, 2, 3]) == at(await offsets(world))


@pytest.mark.parametrize("days", [0, 30, 90])
async def test_where_the_broker_lost_its_tail_the_old_places_are_forgotten(
    world: World, sender: Sender, days: int
) -> None:
    process = await owner(world)
    for key in "abk":
        await sender.add(key)
    await process.work()
    await tidy(process)
    await world.grow_old(HOME, 2)
    assert await process.store.forget_published(datetime.now(UTC) - timedelta(seconds=30))
    await world.age_places(HOME, 3, days)
    kept = await offsets(world)
    begins, ends = dict.fromkeys(process.worker.offsets, 0), dict(process.worker.offsets)
    assert await process.worker.reconcile(begins, ends, {INVENTORY_EVENTS: kept[-1]})
    assert await world.places(HOME, [1, 2, 3]) == at(kept[:2]), "the outbox has forgotten those"
    await process.worker.publish(process.publisher)
    await tidy(process)
    assert await world.places(HOME, [1, 2, 3]) == at([*kept[:2], (await offsets(world))[-1]])
    assert await rows(world) in (None, [(1, 2), (3, 3)])
    # What was left in its place is forgotten in its time.
    await process.store.forget_published(datetime.now(UTC))
    left = kept[:2] if days < 90 else []
    assert await world.places(HOME, [1, 2, 3]) == {**at(left), **at((await offsets(world))[-1:], 3)}


async def test_places_are_told_for_sixty_days_and_gone_when_the_part_of_their_time_is_needed_again(
    world: World, sender: Sender
) -> None:
    process = await owner(world)
    for _ in range(4):
        await sender.add("a")
        await process.work()
        await tidy(process)
    found = await offsets(world)
    for days, upto in ((30, 3), (60, 2), (90, 1)):
        await world.age_places(HOME, upto, days)
    assert await world.places(HOME, [1, 2, 3, 4]) == at(found)
    await process.store.forget_published(datetime.now(UTC))
    assert await world.places(HOME, [1, 2, 3, 4]) == at(found[1:], 2)


async def test_places_that_nobody_forgot_in_time_are_told_until_it_is_their_turn_again(
    world: World, sender: Sender
) -> None:
    process = await owner(world)
    await sender.add("a")
    await process.work()
    await tidy(process)
    await world.age_places(HOME, 1, 120)
    await sender.add("a")
    await process.work()
    await tidy(process)
    await process.store.forget_published(datetime.now(UTC))
    assert await world.places(HOME, [1, 2]) == at(await offsets(world))
    await world.age_places(HOME, 2, 90)
    await process.store.forget_published(datetime.now(UTC))
    assert await world.places(HOME, [1, 2]) == {}
