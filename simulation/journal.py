"""A broker that remembers in which order records were appended, over all topics: a conversation can be told from it."""

from __future__ import annotations

from messaging.memory import MemoryBroker
from messaging.ports import Clock, Headers, Record


class JournalBroker(MemoryBroker):
    """See `MemoryBroker`. `journal` holds every record, the first one first."""

    def __init__(self, clock: Clock, partitions: int) -> None:
        super().__init__(clock, partitions)
        self.journal: list[Record] = []

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Record:
        """See `MemoryBroker.append`."""
        record = super().append(topic, key, value, headers, partition)
        self.journal.append(record)
        return record
