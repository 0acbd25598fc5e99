"""Timers beside records, in memory and on the real thing: a timely record never loses to its timer, a late one never wins."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tally_world import HOME, Process, Sender, World

from contracts.topics import INVENTORY_COMMANDS, ORDERS_EVENTS
from messaging.schedule import Barrier

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def sender(world: World) -> Sender:
    return Sender(world)


@pytest.fixture
async def process(world: World) -> Process:
    process = Process(world, HOME)
    await process.take_over()
    return process


async def past(moment: datetime) -> None:
    """Wait until the clock is past the moment, by more than Kafka's millisecond."""
    left = moment + timedelta(milliseconds=2) - datetime.now(UTC)
    await asyncio.sleep(max(0.0, left.total_seconds()))


async def step(process: Process, barrier: Barrier | None) -> int:
    handled = await process.worker.step(datetime.now(UTC), barrier)
    await process.worker.publish(process.publisher)
    return handled


async def set_by(process: Process, sender: Sender, key: str, words: str, step_number: int = 1) -> None:
    """Have the key's timer set, without reading anything of the other topic."""
    await sender.add(key, step_number, words)
    await process.fetch([INVENTORY_COMMANDS])
    await step(process, None)


async def test_records_from_before_the_deadline_come_first_and_later_ones_after(
    process: Process, sender: Sender
) -> None:
    early = await sender.event("a", "early")
    due = early.timestamp
    await past(due)
    await sender.event("a", "late")
    await set_by(process, sender, "a", f"timer=t@{due.isoformat()}")
    assert await step(process, await process.barrier()) == 0, "the events are not read yet"
    await process.fetch()
    assert await step(process, await process.barrier()) == 3
    assert await sender.said() == ["a: m3 -> 1", "a: early -> 1001", "a: timer t 1 -> 1001", "a: late -> 2001"]


async def test_a_timer_waits_until_it_is_known_that_nothing_earlier_can_come(process: Process, sender: Sender) -> None:
    event = await sender.event("a", "early")
    due = event.timestamp + timedelta(milliseconds=1)
    await set_by(process, sender, "a", f"timer=t@{due.isoformat()}")
    await past(due)
    ends = (await process.barrier()).ends
    assert await step(process, None) == 0
    assert await step(process, Barrier(due, ends)) == 0, "a barrier of the deadline's own moment proves nothing"
    assert await step(process, Barrier(datetime.now(UTC), ends)) == 0, "a record below the end is not read yet"
    await process.fetch()
    assert await step(process, Barrier(datetime.now(UTC), ends)) == 2
    assert (await sender.said())[1:] == ["a: early -> 1001", "a: timer t 1 -> 1001"]


async def test_offsets_that_hold_no_record_do_not_hold_a_timer_up(process: Process, sender: Sender) -> None:
    await set_by(process, sender, "a", f"timer=t@{LONG_AGO.isoformat()}")
    found = await process.barrier()
    beyond = {topic: end + 1 for topic, end in found.ends.items()}
    assert await step(process, Barrier(found.at, beyond)) == 0
    assert await step(process, Barrier(found.at, beyond, beyond)) == 1


async def test_a_later_record_in_every_topic_is_as_good_as_a_barrier(process: Process, sender: Sender) -> None:
    await set_by(process, sender, "a", f"timer=t@{LONG_AGO.isoformat()}")
    await sender.event("a", "event")
    await process.fetch([ORDERS_EVENTS])
    assert await step(process, None) == 0
    await sender.add("b")
    await process.fetch([INVENTORY_COMMANDS])
    assert await step(process, None) == 3
    assert (await sender.said())[1] == "a: timer t 1 -> 1"


async def test_a_timer_fires_once_and_only_when_it_is_due(process: Process, sender: Sender, world: World) -> None:
    due = datetime.now(UTC) + timedelta(seconds=1)
    await set_by(process, sender, "a", f"timer=t@{due.isoformat()}")
    assert await process.work() == 0
    assert await process.store.next_due(HOME) == due
    successor = Process(world, HOME)
    await successor.take_over()
    assert successor.worker.next_due == due
    await past(due)
    assert await successor.work() == 1
    assert await successor.work() == 0
    assert await successor.store.next_due(HOME) is None
    assert (await sender.said())[-1] == "a: timer t 1 -> 1"


async def test_a_timer_set_again_is_replaced_and_a_cancelled_one_is_gone(process: Process, sender: Sender) -> None:
    far = datetime.now(UTC) + timedelta(days=1)
    await set_by(process, sender, "a", f"timer=t@{far.isoformat()} timer=u@{far.isoformat()}", 1)
    await set_by(process, sender, "a", f"timer=t@{LONG_AGO.isoformat()} cancel=u", 2)
    await process.work()
    assert [said for said in await sender.said() if "timer" in said] == ["a: timer t 2 -> 3"]
    assert await process.store.next_due(HOME) is None


async def test_a_due_timer_that_a_record_of_the_same_batch_replaces_does_not_fire_and_the_new_one_stays(
    process: Process, sender: Sender
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    await sender.add("a", 1, f"timer=t@{LONG_AGO.isoformat()}")
    await sender.add("b", 1, f"timer=t@{LONG_AGO.isoformat()}")
    await process.fetch()
    await step(process, None)
    # What is appended before a timer of 2026 is due can only be made by hand: the records are given that time.
    await sender.add("a", 2, f"timer=t@{soon.isoformat()}")
    await sender.add("b", 2, "cancel=t")
    await process.fetch()
    _age(process)
    assert await step(process, await process.barrier()) == 4
    assert [said for said in await sender.said() if "timer" in said] == []
    assert await process.store.next_due(HOME) == soon
    await past(soon)
    await process.work()
    assert [said for said in await sender.said() if "timer" in said] == ["a: timer t 2 -> 3"]


async def test_the_same_holds_where_a_poisonous_neighbour_makes_every_item_a_transaction_of_its_own(
    process: Process, sender: Sender
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    await set_by(process, sender, "a", f"timer=t@{LONG_AGO.isoformat()}")
    await sender.add("a", 2, f"timer=t@{soon.isoformat()}")
    await sender.add("b", 1, "refuse")
    await process.fetch()
    _age(process)
    assert await step(process, await process.barrier()) == 3
    await past(soon)
    await process.work()
    assert [said for said in await sender.said() if "timer" in said] == ["a: timer t 2 -> 3"]


def _age(process: Process) -> None:
    """Have the buffered records appended before the timers were due."""
    from collections import deque

    for topic, queue in process.worker.buffers.topics.items():
        aged = (record._replace(timestamp=LONG_AGO - timedelta(seconds=1)) for record in queue)
        process.worker.buffers.topics[topic] = deque(aged)


async def test_more_timers_than_a_batch_takes_fire_in_portions_in_the_order_of_their_deadlines(
    process: Process, sender: Sender
) -> None:
    """400 commands set three timers each, so that they fit into a batch that no timer can interrupt."""
    due = [LONG_AGO + timedelta(seconds=1200 - number) for number in range(1200)]
    for number in range(400):
        words = " ".join(f"timer=t{n}@{due[n].isoformat()}" for n in range(number, 1200, 400))
        await sender.add(sender.keys[number], 1, words)
    await process.fetch()
    assert await step(process, None) == 400
    portions = []
    while handled := await step(process, await process.barrier()):
        portions.append(handled)
    assert portions == [500, 500, 200]
    fired = (await sender.said())[400:]
    assert fired == [f"{sender.keys[n % 400]}: timer t{n} 1 -> 1" for n in reversed(range(1200))]
