"""What cannot be handled goes to the dead letters with its reason, it alone, and the partition goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tally_world import HOME, Process, Sender, Totals, World

from contracts.envelope import header, headers_for
from contracts.topics import INVENTORY_COMMANDS, MAX_DEAD_LETTER_BYTES, ORDERS_EVENTS, dead_letter_topic
from messaging.deciding import MAX_FAILURES_IN_A_ROW, RETRY_S
from messaging.errors import FenceLostError, TooManyDeadLettersError
from messaging.ports import Record

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def sender(world: World) -> Sender:
    return Sender(world)


@pytest.fixture
async def process(world: World) -> Process:
    process = Process(world, HOME)
    await process.take_over()
    return process


async def dead(world: World, topic: str = INVENTORY_COMMANDS) -> list[Record]:
    return await world.read(dead_letter_topic(topic, "inventory"), HOME)


def facts(record: Record) -> dict[str, str | None]:
    names = ("reason", "topic", "partition", "offset", "lane")
    return {name: header(record.headers, f"dlq-{name}") for name in names}


@pytest.mark.parametrize(
    ("word", "told"), [("raise", "ValueError"), ("refuse", "The database refuses what this message would write.")]
)
async def test_only_the_poisonous_message_is_set_aside(
    world: World, process: Process, sender: Sender, word: str, told: str
) -> None:
    sent = [await sender.add(key, n, word if n == 3 else "add") for n, key in enumerate("aabab", start=1)]
    await process.work()
    assert await Totals(world)() == {"a": 7}
    assert await sender.said() == ["a: m1 -> 1", "a: m2 -> 3", "a: m4 -> 7"], "b's later message waits behind it"
    (letter,) = await dead(world)
    assert (letter.key, letter.value) == (sent[2].key, sent[2].value)
    assert list(letter.headers)[: len(sent[2].headers)] == list(sent[2].headers)
    assert facts(letter) == {
        "reason": "handler-error",
        "topic": INVENTORY_COMMANDS,
        "partition": str(HOME),
        "offset": str(sent[2].offset),
        "lane": "b",
    }
    assert header(letter.headers, "dlq-error") == told
    assert datetime.fromisoformat(header(letter.headers, "dlq-time") or "").utcoffset() == timedelta(0)
    assert process.worker.offsets[INVENTORY_COMMANDS] == sent[-1].offset + 1


async def test_poison_that_comes_alone_is_set_aside_too(world: World, process: Process, sender: Sender) -> None:
    await sender.add("a", 1, "refuse")
    assert await process.work() == 1
    assert len(await dead(world)) == 1
    await sender.add("b")
    await process.work()
    assert await sender.said() == ["b: m2 -> 1"]


@pytest.mark.parametrize(
    "value", [None, b"", b"nope", b"\xff", b"[]", b'{"id":"a\\u0000"}', b"[" * 100_000, b"x" * 1_000_000]
)
async def test_what_names_no_sender_is_set_aside_with_the_reason(
    world: World, process: Process, value: bytes | None
) -> None:
    headers = [("né\x00", b"\x00\xff"), ("none", None), ("none", b"")]
    for topic in (INVENTORY_COMMANDS, ORDERS_EVENTS):
        await world.append(topic, b"\xff\x00", value, headers, HOME)
    assert await process.work() == 2
    for topic in (INVENTORY_COMMANDS, ORDERS_EVENTS):
        (letter,) = await dead(world, topic)
        assert letter.key == b"\xff\x00"
        assert list(letter.headers)[:3] == headers
        assert facts(letter)["topic"] == topic
        if header(letter.headers, "dlq-truncated") is None:
            assert letter.value == value


async def test_a_client_s_headers_of_a_letter_s_names_are_left_out(world: World, process: Process) -> None:
    forged = [("dlq-lane", b"b"), ("x", b"y"), ("DLQ-Offset", b"7"), ("dlq-reason", b"forged")]
    await world.append(INVENTORY_COMMANDS, b"b", b"nope", forged, HOME)
    await process.work()
    (letter,) = await dead(world)
    assert [header for header in letter.headers if not header[0].startswith("dlq-")] == [("x", b"y")]
    assert b"forged" not in dict(letter.headers).values()
    assert header(letter.headers, "dlq-lane") is None
    assert facts(letter)["reason"] == "not-json"


async def test_what_only_fits_compressed_is_cut_in_the_dead_letters_and_says_so(world: World, process: Process) -> None:
    """A client may send megabytes of the same byte: the broker counts what it gets, compressed."""
    huge = Record(
        INVENTORY_COMMANDS, HOME, process.worker.offsets[INVENTORY_COMMANDS], b"k", b"0" * 5_000_000, [], LONG_AGO
    )
    wide = [(f"h{n}", b"x" * 100_000) for n in range(30)]
    heavy = Record(INVENTORY_COMMANDS, HOME, huge.offset + 1, b"k" * 2_000_000, b"{}", wide, LONG_AGO)
    process.worker.buffers.offer([huge, heavy], process.worker.offsets)
    for _ in range(2):
        assert await process.worker.step(datetime.now(UTC), None) == 1, "so large a one is a batch by itself"
        await process.worker.publish(process.publisher)
    first, second = await dead(world)
    assert first.value == b"0" * len(first.value or b"")
    assert MAX_DEAD_LETTER_BYTES - 10_000 < len(first.value or b"") < MAX_DEAD_LETTER_BYTES
    assert header(first.headers, "dlq-truncated") == "the value had 5000000 bytes, the key 1"
    assert (second.key, second.value) == (b"k" * 1000, b"{}")
    assert facts(second)["offset"] == str(heavy.offset)


async def test_many_wide_records_are_published_in_batches_that_the_broker_takes(world: World, process: Process) -> None:
    wide = [(f"h{n}", b"x" * 30_000) for n in range(10)]
    for _ in range(6):
        await world.append(INVENTORY_COMMANDS, b"a", b"nope", wide, HOME)
    assert await process.work() == 6
    assert [list(letter.headers)[:10] for letter in await dead(world)] == [wide] * 6


async def test_an_invalid_command_gets_a_verdict(world: World, process: Process, sender: Sender) -> None:
    document = (
        b'{"specversion":"1.0","id":"c1","source":"s","type":"inventory.adjust-stock.v1","subject":"a","data":{}}'
    )
    await world.append(INVENTORY_COMMANDS, b"a", document, [], HOME)
    await process.work()
    assert await sender.said() == ["a: c1 rejected"]
    assert await dead(world) == []


async def test_events_that_nobody_here_reads_are_passed_over_unparsed(world: World, process: Process) -> None:
    await world.append(ORDERS_EVENTS, b"a", b"whatever", headers_for("orders.order-started.v1"), HOME)
    await world.append(ORDERS_EVENTS, b"a", b'{"type":"of.something.new.v7"}', [], HOME)
    assert await process.work() == 2
    assert await dead(world, ORDERS_EVENTS) == []
    assert process.worker.offsets[ORDERS_EVENTS] == await world.end(ORDERS_EVENTS, HOME)


async def test_so_many_failures_in_a_row_stop_everything_before_all_is_buried(
    world: World, process: Process, sender: Sender
) -> None:
    for key in sender.keys[:MAX_FAILURES_IN_A_ROW]:
        await sender.add(key, 1, "raise")
    await process.fetch()
    offsets = dict(process.worker.offsets)
    with pytest.raises(TooManyDeadLettersError):
        await process.worker.step(datetime.now(UTC), None)
    await process.worker.reload()
    assert process.worker.offsets == offsets
    assert not process.worker.unpublished


async def test_failures_in_a_row_are_counted_over_batches_and_forgotten_with_a_success(
    world: World, process: Process, sender: Sender
) -> None:
    keys = iter(sender.keys)
    for words in (["raise"] * 30, ["raise"] * 19 + ["add"], ["raise"] * 49, ["raise"]):
        for word in words:
            await sender.add(next(keys), 1, word)
        await process.fetch()
        if words == ["raise"]:
            with pytest.raises(TooManyDeadLettersError):
                await process.worker.step(datetime.now(UTC), None)
        else:
            await process.worker.step(datetime.now(UTC), None)


async def test_refusals_of_the_database_count_as_failures_too(process: Process, sender: Sender) -> None:
    for key in sender.keys[: MAX_FAILURES_IN_A_ROW + 1]:
        await sender.add(key, 1, "refuse")
    await process.fetch()
    with pytest.raises(TooManyDeadLettersError):
        await process.worker.step(datetime.now(UTC), None)


class Touchy:
    """The tally's batch, but the decision on a timer or an effect fails as told."""

    def __init__(self, batch: Any, how: str) -> None:
        self._batch, self._how = batch, how

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def decide(self, message: Any, now: datetime) -> Any:
        if not message.type.startswith(("timer.", "effect.")):
            return self._batch.decide(message, now)
        if self._how == "raise":
            raise ValueError("told to")
        decision = self._batch.decide(message, now)
        self._batch.changed[message.key] = replace(decision.state, total=-1)
        return decision


@pytest.mark.parametrize("how", ["raise", "refuse"])
async def test_a_timer_whose_decision_fails_is_tried_again_later_and_holds_nobody_up(
    world: World, process: Process, sender: Sender, how: str
) -> None:
    handler = process.worker._handler
    load = handler.load

    async def touchy(*arguments: Any) -> Any:
        return Touchy(await load(*arguments), how)

    await sender.add("a", 1, f"timer=t@{LONG_AGO.isoformat()} effect=e1")
    await process.fetch()
    await process.worker.step(datetime.now(UTC), None)
    handler.load = touchy  # type: ignore[method-assign, assignment]
    (effect,) = process.worker.launch
    await sender.add("b")
    await process.fetch()
    now = datetime.now(UTC)
    outcome = process.worker.outcome(effect, "done", now)
    assert await process.worker.step(now, await process.barrier(), [outcome]) == 3
    assert await process.store.next_due(HOME) == now + timedelta(seconds=RETRY_S)
    assert [row.id for row in await process.store.pending_effects(HOME)] == ["e1"], (
        "it is asked for again by the next owner"
    )
    assert await process.worker.reload() == [], "this owner knows how it ended"
    await process.worker.publish(process.publisher)
    assert await sender.said() == ["a: m1 -> 1", "b: m2 -> 1"]
    handler.load = load  # type: ignore[method-assign]
    before, then = (now + timedelta(seconds=RETRY_S + late) for late in (-1, 0))
    assert await process.worker.step(before, None) == 0, "it is tried again after a while"
    assert process.worker.put_off.next_due == then
    barrier = replace(await process.barrier(), at=then + timedelta(seconds=1))
    assert await process.worker.step(then, barrier) == 2
    assert await process.store.pending_effects(HOME) == []
    assert (len(process.worker.put_off), await process.store.next_due(HOME)) == (0, None)


async def test_an_outcome_that_waits_to_be_recorded_is_nothing_any_more_once_another_owner_has_its_effect(
    world: World, process: Process, sender: Sender
) -> None:
    await sender.add("a", 1, "effect=e1")
    await process.fetch()
    now = datetime.now(UTC)
    await process.worker.step(now, None)
    (effect,) = process.worker.launch
    handler = process.worker._handler
    load = handler.load

    async def touchy(*arguments: Any) -> Any:
        return Touchy(await load(*arguments), "raise")

    handler.load = touchy  # type: ignore[method-assign]
    await process.worker.step(now, None, [process.worker.outcome(effect, "done", now)])
    handler.load = load  # type: ignore[method-assign]
    heir = Process(world, HOME)
    assert [left.id for left in await heir.take_over()] == ["e1"]
    await heir.worker.step(now, None, [heir.worker.outcome(effect, "done", now)])
    assert await heir.store.pending_effects(HOME) == []
    with pytest.raises(FenceLostError):
        await process.worker.step(now + timedelta(seconds=RETRY_S), None)
