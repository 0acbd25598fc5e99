"""A key whose message cannot be handled waits for a person, it alone and in order, in memory and on the real thing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from faults import Faulty
from tally import SERVICE, Tally
from tally_world import HOME, Process, Sender, Totals, World

from contracts.envelope import decode_event, event_type, header
from contracts.inventory import AdjustStock
from contracts.letters import Act, Letter, LetterAnswered, Word, bare_headers, word_headers
from contracts.topics import INVENTORY_COMMANDS, LETTERS_EVENTS, ORDERS_EVENTS, dead_letter_topic
from messaging import deciding
from messaging.errors import FenceLostError, TransientStoreError
from messaging.ports import Record
from messaging.worker import MAX_BATCH

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def sender(world: World) -> Sender:
    return Sender(world)


@pytest.fixture
async def process(world: World) -> Process:
    return await owner(world)


async def owner(world: World, broken: bool = True, **ports: Any) -> Process:
    found = Process(world, HOME, **ports)
    await found.take_over()
    found.worker._handler.broken = broken  # type: ignore[attr-defined]
    return found


def mend(process: Process) -> None:
    process.worker._handler.broken = False  # type: ignore[attr-defined]


async def letters(world: World, topic: str = INVENTORY_COMMANDS) -> list[Record]:
    return await world.read(dead_letter_topic(topic, SERVICE), HOME)


def name_of(record: Record) -> Letter:
    return Letter(SERVICE, record.topic, record.partition, record.offset)


async def say(world: World, act: Act, record: Record, letter: Letter | None = None) -> Record:
    """What `orderctl dlq` sends: the record once more, with the word about it."""
    word = Word(letter or name_of(record), act, "m.brown", "ticket 4711")
    headers = [*bare_headers(record.headers), *word_headers(word)]
    return await world.append(record.topic, record.key, record.value, headers, HOME)


async def answers(world: World) -> list[tuple[int, str, str, int]]:
    """What was told of letters: their offset, the act, the outcome, and how many wait behind."""
    found = []
    for record in await world.read(LETTERS_EVENTS, HOME):
        data = decode_event(event_type(record.value, record.headers), record.value).data
        assert isinstance(data, LetterAnswered)
        assert (data.operator, data.reason) == ("m.brown", "ticket 4711")
        found.append((data.offset, data.act, data.outcome, data.waiting))
    return found


async def a_lane(world: World, process: Process, sender: Sender, *words: str) -> list[Record]:
    """`b` fails at its first message and has others behind it, between those of `a`."""
    sent = []
    for n, word in enumerate(("fragile", *words), start=1):
        sent.append(await sender.add("b", 10 ** min(n, 6), word))
        await sender.add("a", 1)
    await process.work()
    return sent


@pytest.mark.parametrize("poison", ["fragile", "refuse"])
async def test_later_messages_of_the_key_wait_and_the_partition_goes_on(
    world: World, process: Process, sender: Sender, poison: str
) -> None:
    head = await sender.add("b", 1, poison)
    for key in "abab":
        await sender.add(key, 10)
    await sender.event("b")
    await process.work()
    assert await Totals(world)() == {"a": 20}
    (letter,) = await letters(world)
    assert (letter.key, letter.value) == (head.key, head.value)
    assert header(letter.headers, "dlq-lane") == "b"
    assert (list(process.worker.lanes.keys), process.worker.lanes.records) == (["b"], 4)
    assert process.worker.offsets[ORDERS_EVENTS] == await world.end(ORDERS_EVENTS, HOME)
    waiting = await process.store.parked(HOME, ["b"], 10)
    assert [row.state for row in waiting] == ["failed", "waiting", "waiting", "waiting"]
    assert [(row.record.key, row.record.value, list(row.record.headers)) for row in waiting[:1]] == [
        (head.key, head.value, list(head.headers))
    ]
    assert waiting[0].record.timestamp == head.timestamp


async def test_a_replayed_head_is_handled_and_its_lane_follows_in_order(
    world: World, process: Process, sender: Sender
) -> None:
    head, *_ = await a_lane(world, process, sender, "add", "add")
    await sender.event("b", "an-event")
    await process.work()
    mend(process)
    await say(world, "replay", head)
    await sender.add("b", 5)
    await process.work()
    told = [line for line in await sender.said() if line.startswith("b")]
    assert told == ["b: m1 -> 10", "b: m3 -> 110", "b: m5 -> 1110", "b: an-event -> 2110", "b: m8 -> 2115"]
    assert not process.worker.lanes
    assert await process.store.lanes(HOME) == []
    assert await answers(world) == [(head.offset, "replay", "handled", 4)]


async def test_what_comes_while_a_lane_is_drained_comes_after_it(
    world: World, process: Process, sender: Sender
) -> None:
    head, *_ = await a_lane(world, process, sender, *["add"] * (MAX_BATCH + 20))
    mend(process)
    await say(world, "replay", head)
    last = await sender.add("b", 7, id="the-last")
    while process.worker.offsets[INVENTORY_COMMANDS] <= last.offset:
        await process.fetch()
        await process.worker.step(datetime.now(UTC), await process.barrier())
    await process.work()
    told = [line.split()[1] for line in await sender.said() if line.startswith("b")]
    assert told == [*(f"m{n}" for n in range(1, 2 * MAX_BATCH + 43, 2)), "the-last"]


async def test_a_letter_that_is_replayed_twice_is_handled_once(world: World, process: Process, sender: Sender) -> None:
    head, _ = await a_lane(world, process, sender, "add")
    mend(process)
    for _ in range(3):
        await say(world, "replay", head)
    await process.work()
    await say(world, "replay", head)
    await say(world, "discard", head)
    await process.work()
    assert await Totals(world)() == {"a": 2, "b": 110}
    assert await answers(world) == [(head.offset, "replay", "handled", 1)]


async def test_a_head_that_fails_again_stays_with_all_that_waits_and_is_no_new_letter(
    world: World, process: Process, sender: Sender
) -> None:
    head, _ = await a_lane(world, process, sender, "add")
    for attempt in range(1, 4):
        await say(world, "replay", head)
        await process.work()
        assert await answers(world) == [(head.offset, "replay", "failed", 1)] * attempt
    assert len(await letters(world)) == 1
    assert len({record.value for record in await world.read(LETTERS_EVENTS, HOME)}) == 3
    mend(process)
    await say(world, "replay", head)
    await process.work()
    assert await Totals(world)() == {"a": 2, "b": 110}


async def test_poison_within_a_lane_becomes_its_head(world: World, process: Process, sender: Sender) -> None:
    sent = await a_lane(world, process, sender, "add", "raise", "add")
    mend(process)
    await say(world, "replay", sent[0])
    await process.work()
    assert await Totals(world)() == {"a": 4, "b": 110}
    first, second = await letters(world)
    assert [header(letter.headers, "dlq-offset") for letter in (first, second)] == [
        str(sent[0].offset),
        str(sent[2].offset),
    ]
    await say(world, "discard", sent[2])
    await process.work()
    assert await Totals(world)() == {"a": 4, "b": 10110}
    assert await answers(world) == [
        (sent[0].offset, "replay", "handled", 3),
        (sent[2].offset, "discard", "discarded", 1),
    ]


async def test_a_refusal_of_the_database_while_a_lane_is_drained_stops_that_lane_alone(
    world: World, process: Process, sender: Sender
) -> None:
    heads = [await sender.add(key, 1, "fragile") for key in "abk"]
    for key in "abk":
        await sender.add(key, 10, "refuse" if key == "b" else "add")
    await process.work()
    mend(process)
    for head in heads:
        await say(world, "replay", head)
    await process.work()
    assert await Totals(world)() == {"a": 11, "b": 1, "k": 11}
    assert [lane.key for lane in process.worker.lanes] == ["b"]
    assert len(await letters(world)) == 4


async def test_garbage_parks_nobody(world: World, process: Process, sender: Sender) -> None:
    await world.append(INVENTORY_COMMANDS, b"b", b"nope", [], HOME)
    await world.append(ORDERS_EVENTS, b"b", b"{}", [("ce_type", b"orders.order-cancelled.v1")], HOME)
    await sender.add("b", 3)
    await process.work()
    assert await Totals(world)() == {"b": 3}
    assert not process.worker.lanes
    for topic in (INVENTORY_COMMANDS, ORDERS_EVENTS):
        (letter,) = await letters(world, topic)
        assert header(letter.headers, "dlq-lane") is None


async def test_a_letter_that_blocks_nobody_is_handled_once_however_often_it_is_replayed(
    world: World, process: Process, sender: Sender
) -> None:
    """As an older version left it, which could not read what this one can."""
    older = Letter(SERVICE, INVENTORY_COMMANDS, HOME, 10**9)
    topic, key, value, headers = sender.message("b", AdjustStock(sku="A", delta=1, reason="add"), "m1")
    record = Record(topic, HOME, 0, key, value, headers, LONG_AGO)
    await say(world, "replay", record, older)
    await say(world, "replay", record, older)
    await process.work()
    await say(world, "replay", record, older)
    await process.work()
    assert await Totals(world)() == {"b": 1}
    assert await answers(world) == [(10**9, "replay", "handled", 0)]


async def test_garbage_that_is_replayed_is_a_new_letter(world: World, process: Process) -> None:
    bad = await world.append(INVENTORY_COMMANDS, b"b", b"nope", [("x", b"y")], HOME)
    await process.work()
    for _ in range(2):
        await say(world, "replay", bad)
        await process.work()
    first, second = await letters(world)
    assert (first.value, second.value) == (b"nope", b"nope")
    assert bare_headers(second.headers) == [("x", b"y")]
    assert await answers(world) == [(bad.offset, "replay", "set-aside", 0)]


@pytest.mark.parametrize("acts", [("discard",), ("replay",), ("replay", "discard"), ("discard", "replay")])
async def test_a_word_about_a_message_of_the_same_batch_is_heeded_too(
    world: World, process: Process, sender: Sender, acts: tuple[Act, ...]
) -> None:
    """Whoever guesses an offset can say it; the partition must not stumble over it."""
    head = await sender.add("b", 1, "fragile")
    for act in acts:
        await say(world, act, head)
    await sender.add("b", 10)
    await sender.add("a", 10)
    await process.work()
    stays = acts == ("replay",)
    assert await Totals(world)() == ({"a": 10} if stays else {"a": 10, "b": 10})
    assert bool(process.worker.lanes) == stays
    stored = [(lane.key, lane.records, lane.held) for lane in await process.store.lanes(HOME)]
    assert stored == [(lane.key, lane.records, lane.held) for lane in process.worker.lanes]


@pytest.mark.parametrize("act", ["discard", "replay"])
async def test_a_word_on_another_record_than_the_letters_own_is_not_heeded(
    world: World, process: Process, sender: Sender, act: Act
) -> None:
    head, *_ = await a_lane(world, process, sender, "add")
    mend(process)
    other = await sender.add("a", 1)
    event = await sender.event("a")
    await process.work()
    before = await Totals(world)()
    await say(world, act, other._replace(value=other.value), name_of(head))
    await say(world, act, head._replace(topic=event.topic), name_of(head))
    await process.work()
    assert list(process.worker.lanes.keys) == ["b"], "the lane is as it was"
    assert await answers(world) == []
    told = await Totals(world)()
    assert told == {**before, "a": before["a"] + 1}, "what carried the word is handled as if it carried none"


async def test_a_word_to_another_service_is_passed_over(world: World, process: Process, sender: Sender) -> None:
    event = await sender.event("b")
    await process.work()
    await say(world, "replay", event, Letter("customer", event.topic, HOME, event.offset))
    await process.work()
    assert await Totals(world)() == {"b": 1000}


async def test_the_timers_of_a_key_wait_with_it_and_fire_when_its_lane_is_over(
    world: World, process: Process, sender: Sender
) -> None:
    await sender.add("b", 1, f"timer=t@{LONG_AGO.isoformat()}")
    head = await sender.add("b", 1, "fragile")
    await sender.add("b", 1)
    await sender.add("a", 1, f"timer=t@{LONG_AGO.isoformat()}")
    await process.work()
    assert (await sender.said())[-1] == "a: timer t 1 -> 1"
    assert [timer.key for timer in await process.store.due_timers(HOME, datetime.now(UTC), 9)] == ["b"]
    assert process.worker.next_due is None, "nobody asks for it again and again"
    mend(process)
    await say(world, "replay", head)
    await process.work()
    assert (await sender.said())[-3:] == ["b: m2 -> 2", "b: m3 -> 3", "b: timer t 1 -> 3"]


async def test_an_effect_that_was_under_way_ends_beside_the_lane(
    world: World, process: Process, sender: Sender
) -> None:
    await sender.add("b", 1, "effect=e1")
    await sender.add("b", 1, "fragile")
    await process.work()
    (effect,) = process.worker.launch
    now = datetime.now(UTC)
    await process.worker.step(now, None, [process.worker.outcome(effect, "done", now)])
    await process.work()
    assert (await sender.said())[-1] == "b: effect e1 done -> 1"
    assert await process.store.pending_effects(HOME) == []


async def test_a_lane_outlives_its_owner_who_cannot_touch_it_any_more(
    world: World, process: Process, sender: Sender
) -> None:
    head, _ = await a_lane(world, process, sender, "add")
    successor = await owner(world, broken=False)
    assert [(lane.key, lane.records, lane.held) for lane in successor.worker.lanes] == [("b", 2, True)]
    await sender.add("b", 5)
    await say(world, "replay", head)
    await process.fetch()
    with pytest.raises(FenceLostError):
        await process.worker.step(datetime.now(UTC), None)
    await successor.work()
    assert await Totals(world)() == {"a": 2, "b": 115}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_crash_while_a_lane_is_drained_handles_nothing_twice_and_leaves_nothing_out(
    world: World, process: Process, sender: Sender, when: str, at: int
) -> None:
    """The commits after the word: the word itself; the lane; what came after it."""
    head, *_ = await a_lane(world, process, sender, "add", "add")
    await say(world, "replay", head)
    heir = await owner(world, broken=False, store=Faulty(world.store(), "" if at else when))
    crashes = 0
    for step in range(6):
        await heir.fetch()
        if step == at:
            heir.store._when = when  # type: ignore[attr-defined]
        if step == 2:
            await sender.add("b", 5)
            await heir.fetch()
        try:
            await heir.worker.step(datetime.now(UTC), None)
        except TransientStoreError:
            crashes += 1
            heir = await owner(world, broken=False, store=Faulty(world.store(), ""))
    await heir.work()
    assert crashes == 1
    assert await Totals(world)() == {"a": 3, "b": 1115}
    assert [line for line in await sender.said() if line.startswith("b")] == [
        "b: m1 -> 10",
        "b: m3 -> 110",
        "b: m5 -> 1110",
        "b: m7 -> 1115",
    ]
    assert await answers(world) == [(head.offset, "replay", "handled", 2)]


async def test_many_failing_replays_do_not_stop_the_process(
    world: World, process: Process, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "MAX_FAILURES_IN_A_ROW", 5)
    await sender.add("a", 1, "fragile")
    await process.work()
    (head,) = await letters(world)
    record = Record(
        INVENTORY_COMMANDS, HOME, int(header(head.headers, "dlq-offset") or 0), head.key, head.value, [], LONG_AGO
    )
    for _ in range(8):
        await say(world, "replay", record)
        await process.work()
    assert len(await answers(world)) == 8


async def test_a_letter_is_not_settled_by_what_was_said_of_an_older_one_of_its_name(
    world: World, process: Process, sender: Sender
) -> None:
    """A broker that lost its tail gives an offset, and so a letter's name, a second time; or a topic is read again."""
    head = await sender.add("b", 1, "fragile")
    await process.work()
    await say(world, "discard", head)
    await process.work()
    assert await process.store.done_with({name_of(head)}) == {name_of(head)}
    ends = {topic: await world.end(topic, HOME) for topic in process.worker.offsets}
    lost = {**ends, INVENTORY_COMMANDS: head.offset}
    assert await process.worker.reconcile(dict.fromkeys(ends, 0), lost, {})
    process.worker.buffers.offer([head], process.worker.offsets)
    await process.worker.step(datetime.now(UTC), None)
    assert [lane.key for lane in process.worker.lanes] == ["b"]
    assert await process.store.done_with({name_of(head)}) == set()
    mend(process)
    word = Word(name_of(head), "replay", "m.brown", "ticket 4711")
    again = await world.append(head.topic, head.key, head.value, [*head.headers, *word_headers(word)], HOME)
    process.worker.buffers.offer([again], {**ends, INVENTORY_COMMANDS: again.offset})
    while await process.worker.step(datetime.now(UTC), None):
        pass
    assert await Totals(world)() == {"b": 1}


@pytest.mark.parametrize("why", ["raise", "refuse"])
async def test_a_command_whose_rejection_fails_too_is_not_given_up_before_it_can_be_told(
    world: World, process: Process, sender: Sender, why: str
) -> None:
    head, _ = await a_lane(world, process, sender, "add")
    handler: Any = process.worker._handler
    handler.broken_verdicts = why
    for attempt in range(1, 3):
        await say(world, "discard", head)
        await sender.add("a", 1)
        await process.work()
        assert await answers(world) == [(head.offset, "discard", "failed", 1)] * attempt
    assert [(lane.key, lane.records, lane.held) for lane in process.worker.lanes] == [("b", 2, True)]
    assert await process.store.done_with({name_of(head)}) == set()
    handler.broken_verdicts = ""
    await say(world, "discard", head)
    await process.work()
    assert [line for line in await sender.said() if line.startswith("b")] == ["b: m1 rejected", "b: m3 -> 100"]
    assert await Totals(world)() == {"a": 4, "b": 100}


async def test_a_row_that_was_put_right_by_hand_lets_a_refused_message_through(
    world: World, process: Process, sender: Sender
) -> None:
    head = await sender.add("b", 1, "refuse")
    await process.work()
    await world.put("b", Tally(2 * 10**9, 1))
    await say(world, "replay", head)
    await process.work()
    assert await Totals(world)() == {"b": 10**9}
