"""A record as one string of bytes and back, so that a fuzzer that knows only bytes can bend all of it.

    topic (1) | partition (1; from 128 on: its key's) | what is missing (1; bit 0 the key, bit 1 the value)
    length of the key (2) | key | number of headers (1) | per header: length (1) name, length (2; 65,535: null) value | value

Any bytes are a record: a length that points beyond the end takes what there is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from messaging.partitioner import partition_of
from messaging.ports import Headers
from proof.hostile.maker import BENDS, WEIGHTS, Hostile, Maker

_OWN_PARTITION: Final = 128
_NULL: Final = 0xFFFF
#: What fits: beyond it a record cannot be packed.
MOST_KEY_BYTES: Final = 0xFFFF
MOST_HEADERS: Final = 255
MOST_NAME_BYTES: Final = 255
MOST_HEADER_BYTES: Final = _NULL - 1


def pack(hostile: Hostile, topics: Sequence[str], partitions: int) -> bytes | None:
    """The record as bytes; None where some part of it is too large for that."""
    key = hostile.key or b""
    named = [(name.encode(errors="replace"), value) for name, value in hostile.headers]
    fits = len(key) <= MOST_KEY_BYTES and len(named) <= MOST_HEADERS
    fits = fits and all(len(n) <= MOST_NAME_BYTES and len(v or b"") <= MOST_HEADER_BYTES for n, v in named)
    if not fits:
        return None
    own = hostile.partition == _partition_of(key, partitions)
    missing = (hostile.key is None) | (hostile.value is None) << 1
    packed = bytearray((topics.index(hostile.topic), _OWN_PARTITION if own else hostile.partition, missing))
    packed += len(key).to_bytes(2) + key + len(named).to_bytes(1)
    for name, value in named:
        packed += len(name).to_bytes(1) + name
        packed += _NULL.to_bytes(2) if value is None else len(value).to_bytes(2) + value
    return bytes(packed + (hostile.value or b""))


def unpack(packed: bytes, topics: Sequence[str], partitions: int) -> Hostile:
    """The record that these bytes are."""
    rest = _Rest(packed)
    topic, partition, missing = topics[rest.number(1) % len(topics)], rest.number(1), rest.number(1)
    key = rest.take(rest.number(2))
    headers: Headers = [
        (rest.take(rest.number(1)).decode(errors="replace"), rest.body()) for _ in range(rest.number(1))
    ]
    return Hostile(
        number=0,
        how="fuzzed",
        topic=topic,
        partition=_partition_of(key, partitions) if partition >= _OWN_PARTITION else partition % partitions,
        key=None if missing & 1 else key,
        value=None if missing & 2 else rest.left(),
        headers=headers,
    )


def bent(packed: bytes, maker: Maker, random: Random, topics: Sequence[str], partitions: int) -> bytes | None:
    """The record with its document bent in one of the maker's ways; None where it holds none, or the result does not fit."""
    record = unpack(packed, topics, partitions)
    try:
        document = json.loads(record.value or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or "" in document or not {"subject", "data"} <= document.keys():
        return None
    if not isinstance(document.get("type"), str):
        return None
    _, bend = random.choices(BENDS, WEIGHTS)[0]
    value, headers = bend(maker, random, document)
    return pack(replace(record, value=value, headers=headers or record.headers), topics, partitions)


def _partition_of(key: bytes, partitions: int) -> int:
    return partition_of(key.decode(errors="backslashreplace"), partitions)


class _Rest:
    """What has not been read of it yet."""

    def __init__(self, packed: bytes) -> None:
        self._packed, self._at = packed, 0

    def take(self, count: int) -> bytes:
        taken = self._packed[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def body(self) -> bytes | None:
        length = self.number(2)
        return None if length == _NULL else self.take(length)

    def left(self) -> bytes:
        return self._packed[self._at :]
