"""Reading what other clients wrote. Kafka's headers have names of any bytes (librdkafka sends them as they are); aiokafka takes
them for UTF-8 and raises, again and again: one such record would stop every partition of the process for good."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_OFFSET_AND_LENGTH: Final = struct.Struct(">qi")


def read_any_header_name() -> None:
    """Have aiokafka's consumers read records whose header names are not UTF-8; those bytes are told as escapes."""
    fetcher.MemoryRecords = LenientRecords


class LenientRecords:
    """The batches of a fetch, as aiokafka's `MemoryRecords` gives them."""

    def __init__(self, data: bytes) -> None:
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
        return _Batch(batch, memoryview(self._data)[start : self._at])


class _Batch:
    """A batch that is read again, slowly and patiently, where its headers are not as expected."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                read += 1
                yield record
        except UnicodeDecodeError:
            patient = _DefaultRecordBatchPy(self._raw)
            patient._maybe_uncompress()
            patient._buffer = _Bytes(patient._buffer)
            yield from islice(patient, read, None)


class _Bytes(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Bytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As escapes, where it is no text."""
        return super().decode(encoding, "backslashreplace")
