"""How far each partition was read for good: what is handled next, and the only thing from which offsets are committed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Partition = tuple[str, int]  # topic, number

#: So many looks in a row without a step forward are more than a record that has to be asked for again.
MOST_LOOKS: Final = 30


class NoProgressError(Exception):
    """It goes on no longer. Start anew, from what was committed."""


@dataclass(slots=True)
class Progress:
    """For each assigned partition the offset before which every record is settled. Records are handled in their order, without a
    hole: one that comes early (because others were lost on the way) is not handled, and comes again."""

    _next: dict[Partition, int] = field(default_factory=dict)
    _seen: dict[Partition, int] = field(default_factory=dict)
    _looks: dict[Partition, int] = field(default_factory=dict)

    def forget(self) -> None:
        """The partitions are being given out anew."""
        self._next.clear()
        self._seen.clear()
        self._looks.clear()

    def begin(self, starts: Mapping[Partition, int]) -> None:
        """Reading begins here. A partition that is known already stays where it is: it may be further than what is committed."""
        for partition, offset in starts.items():
            self._next.setdefault(partition, offset)

    def is_next(self, partition: Partition, offset: int) -> bool:
        """Whether this record is to be handled now. Earlier ones are settled, later ones come again."""
        return self._next.get(partition) == offset

    def done(self, partition: Partition, offset: int) -> None:
        """This record is settled, if it is still ours to settle."""
        if self.is_next(partition, offset):
            self._next[partition] = offset + 1

    def committable(self) -> dict[Partition, int]:
        """For each partition the offset to be read next by whoever owns it after us."""
        return dict(self._next)

    def stuck(self, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        """Asked now and then: where records wait, though nothing moved since the last look, and from where to read them again.
        Raises `NoProgressError` once that has not helped for long."""
        found = {}
        for partition, offset in self._next.items():
            behind = offset < ends.get(partition, 0)
            if behind and self._seen.get(partition) == offset:
                found[partition] = offset
                self._looks[partition] = self._looks.get(partition, 0) + 1
            else:
                self._looks[partition] = 0
            self._seen[partition] = offset
            if self._looks[partition] > MOST_LOOKS:
                raise NoProgressError(f"{partition[0]}/{partition[1]} stands at offset {offset} of {ends[partition]}")
        return found
