"""Records of any client can be read, whatever bytes it took for the name of a header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder, _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from contracts.envelope import headers_for
from messaging.clients import make_group_consumer, make_reader
from messaging.records import INTERESTS, LenientRecords, SelectiveRecords


class Raw(str):
    """A header's name that is sent as these bytes."""

    def __new__(cls, raw: bytes) -> Raw:
        return super().__new__(cls, raw.decode("latin-1"))

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


def batch(first: int, names: list[bytes], compression: int = 0) -> bytes:
    """A batch with one record per header name, as a client writes it."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, -1, 1_000_000)
    for n, name in enumerate(names):
        builder.append(
            n, timestamp=1_000 + n, key=b"k%d" % n, value=None, headers=[(Raw(name), None), (Raw(b"x"), b"\xff")]
        )
    built = builder.build()
    built[0:8] = first.to_bytes(8, "big")
    return bytes(built)


def read(records: Any) -> list[tuple[int, int, bytes, list[tuple[str, bytes | None]]]]:
    found: list[tuple[int, int, bytes, list[tuple[str, bytes | None]]]] = []
    while records.has_next():
        one = records.next_batch()
        assert one.validate_crc()
        found.extend((r.offset, r.timestamp, r.key, list(r.headers)) for r in one)
        assert one.next_offset == found[-1][0] + 1
    return found


@pytest.mark.parametrize("compression", [0, 1])
def test_a_header_name_that_is_no_utf8_is_told_as_escapes_and_its_neighbours_as_they_are(compression: int) -> None:
    data = batch(7, [b"a", b"\xff\xfe", "né".encode(), b"\x80"], compression) + batch(11, [b"b"], compression)
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(data))
    names = ["a", "\\xff\\xfe", "né", "\\x80", "b"]
    assert read(LenientRecords(data)) == [
        (7 + n, 1_000 + n % 4, b"k%d" % (n % 4), [(name, None), ("x", b"\xff")]) for n, name in enumerate(names)
    ]


def test_ordinary_records_are_read_as_ever() -> None:
    data = batch(0, [b"a", b"b"]) + batch(2, [b"c"]) + b"\0" * 5
    assert read(LenientRecords(data)) == read(MemoryRecords(data))
    assert LenientRecords(data).size_in_bytes() == len(data)
    assert LenientRecords(b"").has_next() is False


def events(first: int, types: list[str], *more: tuple[str, bytes]) -> bytes:
    """A batch of events as the outbox publishes them, with headers of its own behind those."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000_000)
    for n, kind in enumerate(types):
        builder.append(n, timestamp=1, key=b"k", value=b"v", headers=[*headers_for(kind), *more])
    built = builder.build()
    built[0:8] = first.to_bytes(8, "big")
    return bytes(built)


def taken(topic: str, data: bytes, interests: Mapping[str, frozenset[bytes]]) -> tuple[list[int], int]:
    """The offsets that a consumer gets of a fetch, and where it fetches next."""
    token = INTERESTS.set(interests)
    try:
        found = SelectiveRecords(TopicPartition(topic, 0), LenientRecords(data), [], 0, None, None, False, 0)
    finally:
        INTERESTS.reset(token)
    return [record.offset for record in found], found.next_fetch_offset


INTEREST = {"events": frozenset({b"b.v1"})}


def test_what_is_of_no_interest_is_passed_over_but_for_the_last_of_each_batch() -> None:
    data = events(0, ["a.v1", "b.v1", "a.v1", "c.v1", "a.v1"]) + events(5, ["a.v1", "a.v1"]) + events(7, ["b.v1"])
    assert taken("events", data, INTEREST) == ([1, 4, 6, 7], 8)
    assert taken("commands", data, INTEREST) == ([*range(8)], 8)
    assert taken("events", data, {}) == ([*range(8)], 8)


def test_what_does_not_look_like_an_event_of_ours_is_read_whatever_its_type() -> None:
    assert taken("events", events(0, ["a.v1"] * 3, ("dlq-word", b"x")), INTEREST) == ([0, 1, 2], 3)
    assert taken("events", batch(0, [b"a", b"\xff", b"ce_type"]), INTEREST) == ([0, 1, 2], 3)


async def test_every_consumer_reads_so() -> None:
    fetcher.MemoryRecords = MemoryRecords
    make_reader("localhost:1", "me")
    assert fetcher.MemoryRecords is LenientRecords
    assert fetcher.PartitionRecords is SelectiveRecords
    fetcher.MemoryRecords = MemoryRecords
    make_group_consumer("localhost:1", "me", "group", None, 6_000)
    assert fetcher.MemoryRecords is LenientRecords
