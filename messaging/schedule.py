"""In which order records and timers are decided.

A timer may fire only after every record that was appended before its deadline: a timely approval does not lose to its timer
because the service was down. Records are ordered by the time at which the broker appended them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from messaging.ports import DueTimer, Parked, Record, Wire

#: A batch ends with the record that brings it here. (A hundred orders of a thousand lines each, 9 MB, held up the whole process
#: for 1.8 s; five hundred small ones are 0.3 MB.)
MOST_BYTES: Final = 2 * 1024 * 1024


@dataclass(slots=True)
class Buffers:
    """Records that were read and not handled yet, by topic, in the order of their offsets; `bytes` is about how much they are."""

    topics: dict[str, deque[Record]] = field(default_factory=dict)
    bytes: int = 0

    def offer(self, records: Sequence[Record], expected: Mapping[str, int]) -> bool:
        """Take records in; those that were handled or taken before are passed over. Returns whether there were any of those: a
        reader gives each record once, so it has gone back, which it does where the broker no longer has what comes next."""
        again = False
        for record in records:
            queue = self.topics.setdefault(record.topic, deque())
            after = queue[-1].offset + 1 if queue else expected.get(record.topic, 0)
            if record.offset >= after:
                queue.append(record)
                self.bytes += bytes_of(record)
            else:
                again = True
        return again

    def pop(self, topic: str) -> Record:
        """Take out the earliest record of a topic."""
        record = self.topics[topic].popleft()
        self.bytes -= bytes_of(record)
        return record

    def clear(self) -> None:
        """Forget everything; it will be read again."""
        self.topics.clear()
        self.bytes = 0

    def __len__(self) -> int:
        return sum(len(queue) for queue in self.topics.values())


@dataclass(frozen=True, slots=True)
class Barrier:
    """Where each topic ended at the time `at`: whatever was appended before `at` stands below these offsets. `read` is how far
    the reader has come: not every offset holds a record (a transaction's marker does not), so it can be further than the last
    record that was handled."""

    at: datetime
    ends: Mapping[str, int]
    read: Mapping[str, int] = field(default_factory=dict)


def take(
    buffers: Buffers,
    timers: Sequence[DueTimer],
    expected: Mapping[str, int],
    barrier: Barrier | None,
    limit: int,
) -> list[Record | DueTimer]:
    """Take out of the buffers, in order of time, what may be handled now, together with the timers that may fire.

    `timers` are due, the earliest first. Without timers all records go. With one, records appended later than its deadline
    wait until it is known that nothing earlier can still arrive: from the barrier, or from later records in every topic.
    At most `limit` are taken, and no more than bring the records to `MOST_BYTES`.
    """
    taken: list[Record | DueTimer] = []
    size = 0
    waiting = deque(timers)
    position = dict(expected)
    while len(taken) < limit and size < MOST_BYTES:
        topic = _earliest(buffers)
        record = buffers.topics[topic][0] if topic is not None else None
        if waiting and (record is None or record.timestamp > waiting[0].due_at):
            if not _all_seen(waiting[0].due_at, buffers, position, barrier):
                break
            taken.append(waiting.popleft())
        elif record is not None:
            size += bytes_of(buffers.pop(record.topic))
            position[record.topic] = record.offset + 1
            taken.append(record)
        else:
            break
    return taken


def bytes_of(record: Record | Wire) -> int:
    """About how much a record is."""
    return len(record.key or b"") + len(record.value or b"")


def bytes_of_all(items: Sequence[object]) -> int:
    """About how much the records among these are."""
    records = (item.record if isinstance(item, Parked) else item for item in items)
    return sum(bytes_of(record) for record in records if isinstance(record, Record))


def within(rows: Sequence[Parked], most_bytes: int = MOST_BYTES) -> Sequence[Parked]:
    """As many of the rows, from the first on, as a batch takes."""
    size = 0
    for place, row in enumerate(rows):
        if size >= most_bytes:
            return rows[:place]
        size += bytes_of(row.record)
    return rows


def _earliest(buffers: Buffers) -> str | None:
    found: str | None = None
    for topic, queue in buffers.topics.items():
        if queue and (found is None or queue[0].timestamp < buffers.topics[found][0].timestamp):
            found = topic
    return found


def _all_seen(due_at: datetime, buffers: Buffers, position: Mapping[str, int], barrier: Barrier | None) -> bool:
    """Whether no record appended at or before `due_at` can still come: each topic shows a later one, or has been read to
    where it ended at a time after the deadline."""
    for topic, offset in position.items():
        queue = buffers.topics.get(topic)
        if queue:
            continue  # its earliest record is later than the deadline, or it would have been taken first
        if barrier is None or barrier.at <= due_at:
            return False
        if max(offset, barrier.read.get(topic, 0)) < barrier.ends.get(topic, 0):
            return False
    return True
