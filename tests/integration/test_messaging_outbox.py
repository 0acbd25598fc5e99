"""What a decision says is published in order, again if need be, never lost: in memory and on the real thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from faults import Unsure
from tally_world import HOME, Process, Sender, Totals, World

from contracts.topics import INVENTORY_COMMANDS, INVENTORY_EVENTS, PAYMENT_COMMANDS
from messaging.decoding import DeadLetter, decode
from messaging.errors import PublishUnknownError
from messaging.partitioner import partition_of
from messaging.ports import Publisher, Record, Wire
from messaging.tail import REREAD


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


async def test_what_is_said_is_published_in_the_order_of_deciding_and_numbered_without_gaps(
    world: World, sender: Sender
) -> None:
    process = await owner(world)
    keys = sender.keys[:4]
    for number in range(40):
        await sender.add(keys[number % 4])
    await process.work()
    said = await sender.said()
    assert said == [f"{keys[n % 4]}: m{n + 1} -> {n // 4 + 1}" for n in range(40)]
    rows = await process.store.outbox_after(HOME, 0, 100)
    assert [row.seq for row in rows] == list(range(1, 41))


@pytest.mark.parametrize("lands", [True, False])
async def test_a_publish_of_unknown_outcome_is_repeated_and_nothing_is_lost_or_overtaken(
    world: World, sender: Sender, lands: bool
) -> None:
    process = await owner(world, publisher=Unsure(world.publisher(), lands))
    await sender.add("a")
    await sender.add("a")
    await process.fetch()
    await process.worker.step(datetime.now(UTC), None)
    with pytest.raises(PublishUnknownError):
        await process.worker.publish(process.publisher)
    assert len(process.worker.unpublished) == 2
    await sender.add("a")
    await process.work()
    published = ["a: m1 -> 1", "a: m2 -> 2"]
    assert await sender.said() == [*(published if lands else []), *published, "a: m3 -> 3"]
    ids = [record.value for record in await world.read(INVENTORY_EVENTS, HOME)]
    assert len(set(ids)) == 3, "what comes again is the same event, byte for byte"


async def test_what_the_broker_has_not_acknowledged_is_never_recorded_as_published(
    world: World, sender: Sender
) -> None:
    process = await owner(world, publisher=Unsure(world.publisher(), lands=False))
    await sender.add("a")
    await process.fetch()
    await process.worker.step(datetime.now(UTC), None)
    with pytest.raises(PublishUnknownError):
        await process.worker.publish(process.publisher)
    await process.worker.tidy(datetime.now(UTC), 30)
    heir = await owner(world)
    await heir.work()
    assert await sender.said() == ["a: m1 -> 1"]


async def test_the_next_owner_first_publishes_what_its_predecessor_left(world: World, sender: Sender) -> None:
    old = await owner(world)
    await sender.add("a")
    await old.fetch()
    await old.worker.step(datetime.now(UTC), None)
    new = await owner(world)
    await sender.add("a")
    await new.fetch()
    await new.worker.step(datetime.now(UTC), None)
    assert await new.worker.publish(new.publisher) == 2
    assert await sender.said() == ["a: m1 -> 1", "a: m2 -> 2"]
    third = await owner(world)
    assert len(third.worker.unpublished) == 2, "no commit carried the news yet that they are published"
    await new.worker.tidy(datetime.now(UTC), 30)
    await third.work()
    fourth = await owner(world)
    assert len(fourth.worker.unpublished) in (0, 2)


async def test_an_owner_that_tidies_up_leaves_nothing_to_repeat(world: World, sender: Sender) -> None:
    old = await owner(world)
    await sender.add("a")
    await old.work()
    await old.worker.tidy(datetime.now(UTC), 30)
    new = await owner(world)
    assert not new.worker.unpublished
    assert new.worker.acked == {INVENTORY_EVENTS: (await world.read(INVENTORY_EVENTS, HOME))[-1].offset}


async def test_published_rows_are_kept_for_the_grace_period_and_unpublished_ones_for_ever(
    world: World, sender: Sender
) -> None:
    process = await owner(world)
    await sender.add("a")
    await process.work()
    await process.worker.tidy(datetime.now(UTC), 30)
    await sender.add("a")
    await process.fetch()
    await process.worker.step(datetime.now(UTC), None)
    assert [row.seq for row in await process.store.outbox_after(HOME, 0, 9)] == [1, 2]
    later = datetime.now(UTC) + timedelta(days=365)
    await world.grow_old(HOME, 1)
    assert await process.store.forget_published(datetime.now(UTC) - timedelta(days=1))
    assert [row.seq for row in await process.store.outbox_after(HOME, 0, 9)] == [1, 2]
    assert await process.store.forget_published(later)
    assert [row.seq for row in await process.store.outbox_after(HOME, 0, 9)] == [2]
    await process.worker.publish(process.publisher)
    await process.worker.tidy(later, 0)
    assert await process.store.outbox_after(HOME, 0, 9) == []


async def test_a_misplaced_command_goes_on_unchanged_to_the_partition_of_its_key(
    world: World, sender: Sender, totals: Totals
) -> None:
    wrong = Process(world, 2)
    await wrong.take_over()
    right = await owner(world)
    key = sender.keys[0]
    sent = await sender.send(key, _adjust(), partition=2)
    headers = [*sent.headers, ("x-none", None), ("x-empty", b""), ("x-none", b"\x00\xff"), ("né\x00", b"1")]
    odd = await world.append(INVENTORY_COMMANDS, sent.key, sent.value, headers, 2)
    nonsense = await world.append(INVENTORY_COMMANDS, b"\xff", b'{"id":"i","source":"s","subject":7}', [], HOME)
    assert await wrong.work() == 2
    arrived = (await world.read(INVENTORY_COMMANDS, HOME))[1:]
    assert [(r.key, r.value, list(r.headers)) for r in arrived] == [
        (r.key, r.value, list(r.headers)) for r in (sent, odd)
    ]
    assert nonsense.offset == arrived[0].offset - 1
    await right.work()
    assert await totals() == {key: 2}
    forwarded = wrong.meters.registry.get_sample_value(
        "messaging_forwarded_total", {"service": "inventory", "topic": INVENTORY_COMMANDS}
    )
    assert forwarded == 2
    assert wrong.worker.acked == {}, "another partition's offset says nothing about this one"


@pytest.mark.parametrize("binary", [False, True])
async def test_a_misplaced_command_too_large_to_go_on_gets_its_verdict_without_its_data(
    world: World, sender: Sender, binary: bool
) -> None:
    wrong = Process(world, 2)
    await wrong.take_over()
    right = await owner(world)
    key = sender.keys[0]
    topic, raw, value, headers = sender.message(key, _adjust(), "big")
    if binary:
        names = {
            "specversion": "1.0",
            "id": "big",
            "source": "test",
            "type": "inventory.adjust-stock.v1",
            "subject": key,
        }
        headers = [*((f"ce_{name}", text.encode()) for name, text in names.items()), ("pad", b"x" * 1_040_000)]
        value = b'{"sku":"A","delta":1,"reason":"add"}'
    else:
        value = value[:-1] + b',"pad":"' + b"x" * 1_040_000 + b'"}'
    await world.append(topic, raw, value, headers, 2)
    assert await wrong.work() == 1
    (arrived,) = await world.read(INVENTORY_COMMANDS, HOME)
    assert len(arrived.value or b"") < 1_000
    await right.work()
    assert await sender.said() == [f"{key}: big rejected"]


def test_where_nobody_is_answered_a_misplaced_command_too_large_to_go_on_is_set_aside_whole() -> None:
    value = b'{"id":"big","source":"s","subject":"k","pad":"' + b"x" * 1_040_000 + b'"}'
    headers = [("mine", b"1")]
    record = Record(PAYMENT_COMMANDS, (partition_of("k", 4) + 1) % 4, 7, b"k", value, headers, datetime.now(UTC))
    found = decode(record, 4, {})
    assert isinstance(found, DeadLetter)
    assert (found.reason, found.record) == ("too-large", record)


def _adjust() -> Any:
    from contracts.inventory import AdjustStock

    return AdjustStock(sku="A", delta=1, reason="add")


async def test_where_the_broker_lost_its_tail_the_owner_rewinds_and_publishes_again(
    world: World, sender: Sender, totals: Totals
) -> None:
    process = await owner(world)
    for _ in range(3):
        await sender.add("a")
    await process.work()
    await process.worker.tidy(datetime.now(UTC), 30)
    offsets, begins = dict(process.worker.offsets), dict.fromkeys(process.worker.offsets, 0)
    ends = {topic: await world.end(topic, HOME) for topic in offsets}
    outputs = {INVENTORY_EVENTS: await world.end(INVENTORY_EVENTS, HOME)}

    assert not await process.worker.reconcile(begins, ends, outputs)
    assert not process.worker.unpublished

    lost_input = {**ends, INVENTORY_COMMANDS: ends[INVENTORY_COMMANDS] - 2}
    assert await process.worker.reconcile(begins, lost_input, outputs)
    assert process.worker.offsets == {
        topic: max(0, min(offsets[topic], lost_input[topic] - REREAD)) for topic in offsets
    }
    assert (await world.store().take_over(HOME, "reader", [])).offsets == process.worker.offsets
    assert [wire.seq for wire in process.worker.unpublished] == [1, 2, 3]

    again = await owner(world)
    assert [wire.seq for wire in again.worker.unpublished] == [1, 2, 3], (
        "who dies before that leaves them to the next owner"
    )
    await again.worker.publish(again.publisher)
    assert await sender.said() == ["a: m1 -> 1", "a: m2 -> 2", "a: m3 -> 3"] * 2
    assert await totals() == {"a": 3}


async def test_where_the_broker_lost_only_what_this_service_wrote_that_is_published_again(
    world: World, sender: Sender
) -> None:
    process = await owner(world)
    for _ in range(3):
        await sender.add("a")
    await process.work()
    await process.worker.tidy(datetime.now(UTC), 30)
    ends = {topic: await world.end(topic, HOME) for topic in process.worker.offsets}
    end = await world.end(INVENTORY_EVENTS, HOME)

    again = await owner(world)
    assert not again.worker.unpublished
    assert not await again.worker.reconcile(dict.fromkeys(ends, 0), ends, {INVENTORY_EVENTS: end})
    assert await again.worker.reconcile(dict.fromkeys(ends, 0), ends, {INVENTORY_EVENTS: end - 1})
    assert [wire.seq for wire in again.worker.unpublished] == [1, 2, 3]
    assert again.worker.offsets == {topic: max(0, end - REREAD) for topic, end in ends.items()}, (
        "what came is read again"
    )


async def with_one_waiting(world: World, sender: Sender, published: int) -> Process:
    """An owner who has published so much, and has decided one thing more."""
    process = await owner(world)
    for _ in range(published):
        await sender.add("a")
    await process.work()
    await process.worker.tidy(datetime.now(UTC), 30)
    await sender.add("a")
    await process.fetch()
    await process.worker.step(datetime.now(UTC), None)
    return process


class Shortened:
    """A broker that has lost so much of what it had acknowledged: whatever comes stands so much lower than it should."""

    def __init__(self, publisher: Publisher, lost: int) -> None:
        self._publisher = publisher
        self._lost = lost

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        return [offset - self._lost for offset in await self._publisher.publish(wires)]


async def test_a_tail_that_is_lost_while_the_partition_stays_is_found_by_the_next_publication(
    world: World, sender: Sender
) -> None:
    process = await with_one_waiting(world, sender, 4)
    assert await process.worker.publish(Shortened(process.publisher, 3)) == 0
    assert process.worker.tail_lost
    assert await process.worker.publish(process.publisher) == 0, (
        "nothing goes out before the broker was asked what is left"
    )

    await process.worker.reload()
    ends = {topic: await world.end(topic, HOME) for topic in process.worker.offsets}
    begins = dict.fromkeys(ends, 0)
    outputs = {INVENTORY_EVENTS: await world.end(INVENTORY_EVENTS, HOME)}
    assert await process.worker.reconcile(begins, ends, outputs), "although the ends have grown again"
    assert [wire.seq for wire in process.worker.unpublished] == [1, 2, 3, 4, 5]
    assert process.worker.offsets == {topic: max(0, end - REREAD) for topic, end in ends.items()}
    assert await process.worker.publish(process.publisher) == 5
    assert not process.worker.tail_lost


async def test_a_publication_under_way_takes_nothing_with_it_of_what_is_queued_again(
    world: World, sender: Sender
) -> None:
    process = await with_one_waiting(world, sender, 3)
    ends = {topic: await world.end(topic, HOME) for topic in process.worker.offsets}

    class Meanwhile:
        async def publish(self, wires: Sequence[Wire]) -> list[int]:
            lost = {INVENTORY_EVENTS: await world.end(INVENTORY_EVENTS, HOME) - 1}
            assert await process.worker.reconcile(dict.fromkeys(ends, 0), ends, lost)
            return await process.publisher.publish(wires)

    await process.worker.publish(Meanwhile())
    assert [wire.seq for wire in process.worker.unpublished] == [1, 2, 3, 4]
    await process.worker.tidy(datetime.now(UTC), 30)
    assert [wire.seq for wire in (await owner(world)).worker.unpublished] == [1, 2, 3, 4]


async def test_what_came_since_the_broker_lost_its_tail_is_handled(
    world: World, sender: Sender, totals: Totals
) -> None:
    process = await owner(world)
    before, since = sender.keys[:3], sender.keys[3:5]
    at = [(await sender.add(key)).offset for key in before]
    await process.work()
    # As if four more had been read and handled, which the broker then lost; two others took the places of two of them.
    begins = dict.fromkeys(process.worker.offsets, at[0])
    await process.store.set_offsets(HOME, process.worker.epoch, {INVENTORY_COMMANDS: at[-1] + 4})
    process.worker.offsets[INVENTORY_COMMANDS] = at[-1] + 4
    for key in since:
        await sender.add(key)
    ends = {topic: await world.end(topic, HOME) for topic in process.worker.offsets}
    assert await process.worker.reconcile(begins, ends, {})
    await process.work()
    # The tally adds what comes twice twice; a service tells it apart by its id.
    assert await totals() == {**dict.fromkeys(before, 2), **dict.fromkeys(since, 1)}


async def test_where_retention_ate_what_was_not_read_the_owner_goes_on_from_what_is_left(world: World) -> None:
    process = await owner(world)
    begins = {topic: offset + 5 for topic, offset in process.worker.offsets.items()}
    assert not await process.worker.reconcile(begins, begins, {})
    assert process.worker.offsets == begins


async def test_an_empty_header_and_none_are_told_apart_in_the_outbox(world: World) -> None:
    process = await owner(world)
    wire = Wire(1, INVENTORY_EVENTS, HOME, None, None, "forwarded", [("a", None), ("a", b""), ("b\x00", b"\xff")])
    commit = replace(process.worker._new_commit(), next_seq=2, outbox=[wire])
    await (await process.store.begin()).commit(commit)
    assert [row._replace(headers=list(row.headers or [])) for row in await process.store.outbox_after(HOME, 0, 9)] == [
        wire
    ]
