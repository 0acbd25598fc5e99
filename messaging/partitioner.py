"""Which partition a key belongs to: murmur2 as the Java clients compute it (aiokafka's function gives the same)."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)
def partition_of(key: str, partitions: int) -> int:
    """The partition of `key` under the default partitioner of Kafka's Java client."""
    hashed: int = murmur2(key.encode("utf-8", errors="backslashreplace"))
    return (hashed & 0x7FFFFFFF) % partitions
