"""Records of any client can be read, whatever bytes it took for the name of a header."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from messaging.clients import make_group_consumer, make_reader
from messaging.records import LenientRecords


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


async def test_every_consumer_reads_so() -> None:
    fetcher.MemoryRecords = MemoryRecords
    make_reader("localhost:1", "me")
    assert fetcher.MemoryRecords is LenientRecords
    fetcher.MemoryRecords = MemoryRecords
    make_group_consumer("localhost:1", "me", "group", None, 6_000)
    assert fetcher.MemoryRecords is LenientRecords
