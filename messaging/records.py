"""How aiokafka's consumers read here, in two things otherwise than by themselves.

What other clients wrote: Kafka's headers have names of any bytes (librdkafka sends them as they are); aiokafka takes them for UTF-8
and raises, again and again: one such record would stop every partition of the process for good.

What concerns nobody here: of the eight events that an order tells, most who follow them read one. The others are passed over where
they are unpacked, by their header, before anything is made of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from contracts.envelope import TYPE_HEADER

_OFFSET_AND_LENGTH: Final = struct.Struct(">qi")
_PartitionRecords: Final[Any] = fetcher.PartitionRecords

#: For the consumers that are started in this context: the types of events that are read, by topic. A topic that is not named is
#: read whole.
INTERESTS: ContextVar[Mapping[str, frozenset[bytes]]] = ContextVar("INTERESTS")


def read_with_care() -> None:
    """Have aiokafka's consumers read records whose header names are not UTF-8 (those bytes are told as escapes), and pass over what
    is not in `INTERESTS`."""
    fetcher.MemoryRecords = LenientRecords
    fetcher.PartitionRecords = SelectiveRecords


class SelectiveRecords(_PartitionRecords):  # type: ignore[misc]
    """What a fetch brought of one partition, as aiokafka's `PartitionRecords`, without what is of no interest."""

    def __init__(self, tp: Any, records: Any, *rest: Any) -> None:
        if isinstance(records, LenientRecords):
            records.wanted = INTERESTS.get({}).get(tp.topic)
        super().__init__(tp, records, *rest)


class LenientRecords:
    """The batches of a fetch, as aiokafka's `MemoryRecords` gives them."""

    def __init__(self, data: bytes) -> None:
        self.wanted: frozenset[bytes] | None = None
        self._data = data
        self._at = 0
        self._records = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """See `MemoryRecords`."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """See `MemoryRecords`."""
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        """See `MemoryRecords`."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        start = self._at
        self._at += _OFFSET_AND_LENGTH.size + _OFFSET_AND_LENGTH.unpack_from(self._data, start)[1]
        return _Batch(batch, memoryview(self._data)[start : self._at], self.wanted)


class _Batch:
    """A batch that is read again, slowly and patiently, where its headers are not as expected. Of the types that are not `wanted`
    only the last record is kept: by it the reader learns how far the batch went."""

    def __init__(self, batch: Any, raw: memoryview, wanted: frozenset[bytes] | None) -> None:
        self._batch = batch
        self._raw = raw
        self._wanted = wanted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                read += 1
                if self._wanted is None or self._concerns(record, self._wanted):
                    yield record
        except UnicodeDecodeError:
            patient = _DefaultRecordBatchPy(self._raw)
            patient._maybe_uncompress()
            patient._buffer = _Bytes(patient._buffer)
            yield from islice(patient, read, None)

    def _concerns(self, record: Any, wanted: frozenset[bytes]) -> bool:
        headers = record.headers
        # Only what looks like one of our own events is passed over unseen.
        if len(headers) != 2 or headers[1][0] != TYPE_HEADER:
            return True
        return headers[1][1] in wanted or record.offset + 1 == self._batch.next_offset


class _Bytes(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Bytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As escapes, where it is no text."""
        return super().decode(encoding, "backslashreplace")
