"""What the console holds of dead letters, and what it shows and sends of them, against a real broker."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Final

from tally_real import settings_for

from contracts.topics import INVENTORY_COMMANDS
from messaging.decoding import DeadLetter, dead_letter_wire
from messaging.kafka import KafkaPublisher
from messaging.ports import Record
from orderctl.letters import book
from orderctl.letters.sending import skipped
from orderctl.settings import Settings
from services.console.letters import HELD_BYTES, Letters

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
