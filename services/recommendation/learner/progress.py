"""How far each partition was read for good: what is handled next, and the only thing from which offsets are committed. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

Partition = tuple[str, int]  # topic, number

#: So many looks in a row without a step forward are more than a record that has to be asked for again, or one that takes its time.
MOST_LOOKS: Final = 120


class NoProgressError(Exception):
    """It goes on no longer. Start anew, from what was committed."""


@dataclass(slots=True)
class Progress:
    """For each assigned partition the offset before which every record is settled. Records are taken in their order, without a
    hole (one that comes early, because others were lost on the way, is not taken, and comes again); they may end in any order."""

    _next: dict[Partition, int] = field(default_factory=dict)
    _take: dict[Partition, int] = field(default_factory=dict)
    _ended: defaultdict[Partition, set[int]] = field(default_factory=lambda: defaultdict(set))
    _passed: defaultdict[Partition, set[int]] = field(default_factory=lambda: defaultdict(set))
    _seen: dict[Partition, int] = field(default_factory=dict)
    _looks: dict[Partition, int] = field(default_factory=dict)

    def forget(self) -> None:
        """The partitions are being given out anew."""
        for book in (self._next, self._take, self._ended, self._passed, self._seen, self._looks):
            book.clear()

    def begin(self, starts: Mapping[Partition, int]) -> None:
        """Reading begins here. A partition that is known already stays where it is: it may be further than what is committed."""
        for partition, offset in starts.items():
            self._next.setdefault(partition, offset)
            self._take.setdefault(partition, offset)

    def take(self, partition: Partition, offset: int) -> bool:
        """Whether this record is to be handled now. Earlier ones are under way or settled, later ones come again."""
        if self._take.get(partition) != offset:
            return False
        self._take[partition] = offset + 1
        self._go_on(partition)
        return True

    def pass_over(self, partition: Partition, offsets: Iterable[int]) -> None:
        """These records are of no concern and never will be: each is settled without being taken, as soon as it is its turn."""
        if (take := self._take.get(partition)) is not None:
            self._passed[partition].update(offset for offset in offsets if offset >= take)
            self._go_on(partition)

    def done(self, partition: Partition, offset: int) -> None:
        """This record is handled; it is settled as soon as all before it are."""
        if offset < self._next.get(partition, offset + 1):
            return  # handled twice, or not ours any longer
        self._ended[partition].add(offset)
        self._go_on(partition)

    def _go_on(self, partition: Partition) -> None:
        """Past everything that is settled, in order."""
        passed, ended = self._passed[partition], self._ended[partition]
        while self._take[partition] in passed:
            passed.remove(self._take[partition])
            ended.add(self._take[partition])
            self._take[partition] += 1
        while self._next[partition] in ended:
            ended.remove(self._next[partition])
            self._next[partition] += 1

    def committable(self) -> dict[Partition, int]:
        """For each partition the offset to be read next by whoever owns it after us."""
        return dict(self._next)

    def stuck(self, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        """Asked now and then: where records wait and none is under way, though nothing moved since the last look; and from where
        to read them again. Raises `NoProgressError` once a partition has stood still for long, whatever the cause."""
        found = {}
        for partition, offset in self._next.items():
            if offset >= ends.get(partition, 0) or self._seen.get(partition) != offset:
                self._looks[partition] = 0
            else:
                self._looks[partition] = self._looks.get(partition, 0) + 1
                if self._looks[partition] > MOST_LOOKS:
                    raise NoProgressError(
                        f"{partition[0]}/{partition[1]} stands at offset {offset} of {ends[partition]}"
                    )
                if self._take[partition] == offset:
                    found[partition] = offset
            self._seen[partition] = offset
        return found
