"""A broker that remembers in which order records were appended, over all topics, and wakes who listens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from messaging.memory import MemoryBroker
from messaging.ports import Clock, Headers, Record


class JournalBroker(MemoryBroker):
    """See `MemoryBroker`. `journal` holds every record, the first one first."""

    def __init__(self, clock: Clock, partitions: int) -> None:
        super().__init__(clock, partitions)
        self.journal: list[Record] = []
        self._listeners: dict[tuple[str, int], list[Callable[[], None]]] = defaultdict(list)

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Record:
        """See `MemoryBroker.append`."""
        record = super().append(topic, key, value, headers, partition)
        self.journal.append(record)
        for wake in self._listeners[topic, record.partition]:
            wake()
        return record

    def listen(self, topic: str, partition: int, wake: Callable[[], None]) -> None:
        """`wake` is called whenever something was appended there."""
        self._listeners[topic, partition].append(wake)

    def unlisten(self, topic: str, partition: int, wake: Callable[[], None]) -> None:
        """Not any more. Harmless where nobody listened."""
        if wake in self._listeners[topic, partition]:
            self._listeners[topic, partition].remove(wake)
