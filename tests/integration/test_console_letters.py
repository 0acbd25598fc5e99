"""What the console holds of dead letters, and what it shows and sends of them, against a real broker."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from itertools import count
from typing import Final
from uuid import uuid4

from console_bench import console_room
from tally_real import settings_for
from waiting import until

from contracts.topics import INVENTORY_COMMANDS
from messaging.decoding import DeadLetter, dead_letter_wire
from messaging.kafka import KafkaPublisher
from messaging.ports import Record
from orderctl.letters import book
from orderctl.letters.sending import skipped
from orderctl.settings import Settings
from services.console.letters import HELD_BYTES, Letters
from services.console.pages_letters import LISTED

SIZE: Final = 400_000
#: Offsets that no other test's letters have.
_OFFSETS: Final = count(7_000_000_000)


async def nothing() -> None:
    """Kafka is there."""


async def long_letters(kafka: str, number: int) -> dict[int, bytes]:
    """So many dead letters of this size; their records by offset."""
    values = {next(_OFFSETS): bytes([65 + n]) * SIZE for n in range(number)}
    dead = [
        DeadLetter(Record(INVENTORY_COMMANDS, 1, offset, b"k", value, [], datetime.now(UTC)), "unreadable", "why")
        for offset, value in values.items()
    ]
    publisher = KafkaPublisher(settings_for(kafka))
    try:
        await publisher.publish(
            [dead_letter_wire(n, "inventory", one, datetime.now(UTC)) for n, one in enumerate(dead)]
        )
    finally:
        await publisher.close()
    return values


async def test_of_long_letters_the_beginning_is_held_and_the_whole_is_read_where_it_is_wanted(kafka: str) -> None:
    values = await long_letters(kafka, 3)
    letters = Letters(Settings(bootstrap_servers=kafka, connect_timeout_s=60), "test", nothing)
    mine = {one.letter.offset: one for one in await letters.all() if one.letter.offset in values}
    assert mine.keys() == values.keys()
    assert {(len(one.value or b""), one.left_out) for one in mine.values()} == {(HELD_BYTES, SIZE - HELD_BYTES)}
    first, second, third = mine.values()
    assert [one.value for one in await letters.whole([third, first])] == [
        values[third.letter.offset],
        values[first.letter.offset],
    ]
    assert second.value == values[second.letter.offset][:HELD_BYTES]


async def test_older_letters_and_settled_ones_are_told_under_the_same_filter(kafka: str, server_dsn: str) -> None:
    reason = f"reason-{uuid4().hex}"
    now = datetime.now(UTC)
    offsets = [next(_OFFSETS) for _ in range(LISTED + 20)]
    dead = [
        DeadLetter(Record(INVENTORY_COMMANDS, 1, offset, b"k", b"{}", [], now), reason, "why") for offset in offsets
    ]
    publisher = KafkaPublisher(settings_for(kafka))
    try:
        await publisher.publish([dead_letter_wire(n, "inventory", one, now) for n, one in enumerate(dead)])
    finally:
        await publisher.close()
    async with console_room(server_dsn, KAFKA_BOOTSTRAP_SERVERS=kafka) as room:
        seat = await room.somebody("operator")

        async def listed() -> str | None:
            text = (await seat.get(f"/letters?service=inventory&reason_is={reason}"))[1]
            return text if "20 older" in text else None

        first = await until(listed, "the letters are listed")
        (settled,) = re.findall(r'href="([^"]+)">Also those that are settled', first)
        settled_ones = (await seat.get(unescape(settled)))[1]
        (older,) = re.findall(r'rel="next" href="([^"]+)">20 older', settled_ones)
        second = (await seat.get(unescape(older)))[1]
        assert "Only the open ones" in second, "it is still all of them that are looked at"
        (newest,) = re.findall(r'href="([^"]+)">To the newest', second)
        again = (await seat.get(unescape(newest)))[1]
    pages = [_offsets_on(text, offsets) for text in (first, settled_ones, second, again)]
    newest_first = offsets[::-1]
    assert pages == [newest_first[:LISTED], newest_first[:LISTED], newest_first[LISTED:], newest_first[:LISTED]]
    assert 'rel="next"' not in second


def _offsets_on(text: str, offsets: list[int]) -> list[int]:
    """Of these the offsets that are listed, in their order."""
    return [int(offset) for offset in re.findall(r"/(\d+)</a></td>", text) if int(offset) in offsets]


async def test_a_letter_that_is_too_large_to_be_sent_again_is_known_by_its_beginning(kafka: str) -> None:
    value = b"x" * 1_100_000
    record = Record("inventory.commands.v1.inventory.dlq", 0, 0, b"k", value, _facts(), datetime.now(UTC))
    (whole,) = book.read_letters([record])
    (held,) = book.read_letters([book.shortened(record, HELD_BYTES)])
    told = skipped(whole, "replay", again=False), skipped(held, "replay", again=False)
    assert [None if one is None else one.skipped for one in told] == ["it is too large for its topic"] * 2


def _facts() -> list[tuple[str, bytes | None]]:
    named = {"reason": "r", "error": "e", "topic": INVENTORY_COMMANDS, "partition": "0", "offset": "1", "time": "t"}
    return [(f"dlq-{name}", text.encode()) for name, text in named.items()]
