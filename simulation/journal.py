"""A broker that remembers in which order records were appended, over all topics, and wakes who listens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

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

    def lose_tail(self, topic: str, partition: int, since: datetime, most: int) -> int:
        """The newest records of a partition are not there any more: `most`, and none that was appended before `since`. What comes
        now takes their places. Returns how many are gone; the journal remembers them."""
        log = self._logs[topic, partition]
        left = len(log)
        while left and len(log) - left < most and log[left - 1].timestamp >= since:
            left -= 1
        gone = len(log) - left
        del log[left:]
        return gone

    @property
    def written(self) -> list[tuple[str, int]]:
        """Topics and partitions on which anything stands."""
        return [place for place, log in self._logs.items() if log]

    def listen(self, topic: str, partition: int, wake: Callable[[], None]) -> None:
        """`wake` is called whenever something was appended there."""
        self._listeners[topic, partition].append(wake)

    def unlisten(self, topic: str, partition: int, wake: Callable[[], None]) -> None:
        """Not any more. Harmless where nobody listened."""
        if wake in self._listeners[topic, partition]:
            self._listeners[topic, partition].remove(wake)
