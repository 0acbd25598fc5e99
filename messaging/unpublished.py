"""The rows of a partition's outbox that are not on their topics yet, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from messaging.ports import Wire
from messaging.schedule import bytes_of


class Unpublished:
    """Kept in memory by the partition's owner. `bytes` is about how much they are."""

    def __init__(self) -> None:
        self._rows: deque[Wire] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Wire]:
        return iter(self._rows)

    @property
    def first_seq(self) -> int:
        """The number of the first one. Raises `IndexError` where there is none."""
        return self._rows[0].seq

    def extend(self, rows: Iterable[Wire]) -> None:
        """More, behind those that are here."""
        for row in rows:
            self._rows.append(row)
            self.bytes += bytes_of(row)

    def clear(self) -> None:
        """They are read anew from the database."""
        self._rows.clear()
        self.bytes = 0

    def head(self, most: int, most_bytes: int) -> list[Wire]:
        """The next ones to be published: one at least, where there is any."""
        found: list[Wire] = []
        size = 0
        for row in self._rows:
            if len(found) == most or (found and size + bytes_of(row) > most_bytes):
                break
            found.append(row)
            size += bytes_of(row)
        return found

    def leave(self, head: Sequence[Wire]) -> bool:
        """These are published. False: meanwhile the rows were read anew, and others stand before them; then all stay, and are
        published once more."""
        if not self._rows or self._rows[0].seq != head[0].seq:
            return False
        while self._rows and self._rows[0].seq <= head[-1].seq:
            self.bytes -= bytes_of(self._rows.popleft())
        return True
