"""Keys whose records wait: one of them could not be handled, so those that came after it wait their turn behind it, while the
partition goes on (docs/adr/0011).

A lane that is held waits for an operator's word about its head. Else it is drained: its records are handled in their order, like
any other, until one fails or none is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from contracts.letters import Letter
from messaging.ports import Commit, Lane, LaneChanges, LetterDone, Parked, Record


class Lanes:
    """The lanes of one partition, as its owner knows them. It is false where there are none, as almost always."""

    def __init__(self) -> None:
        self._of: dict[str, Lane] = {}
        #: Keys whose lane is being drained.
        self.free: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._of)

    @property
    def keys(self) -> Collection[str]:
        """The keys whose records wait."""
        return self._of.keys()

    @property
    def records(self) -> int:
        """How many records wait."""
        return sum(lane.records for lane in self._of.values())

    def get(self, key: str) -> Lane | None:
        """The lane of a key."""
        return self._of.get(key)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._of.values())

    def adopt(self, lanes: Sequence[Lane]) -> None:
        """These are all lanes there are."""
        self._of = {lane.key: lane for lane in lanes}
        self._sort()

    def update(self, changed: Mapping[str, Lane | None]) -> bool:
        """What a batch has changed. Returns whether a lane is over."""
        for key, lane in changed.items():
            if lane is None:
                self._of.pop(key, None)
            else:
                self._of[key] = lane
        self._sort()
        return None in changed.values()

    def _sort(self) -> None:
        self.free = frozenset(key for key, lane in self._of.items() if not lane.held)


class LaneWork:
    """What one batch does to the lanes. Everything here is rare: a batch without lanes, failures and words makes none."""

    def __init__(self, lanes: Lanes, commit: Commit) -> None:
        self._lanes = lanes
        self._commit = commit
        self.changed: dict[str, Lane | None] = {}

    def get(self, key: str) -> Lane | None:
        """The lane of a key, as the batch has left it so far."""
        return self.changed[key] if key in self.changed else self._lanes.get(key)

    def of_letter(self, letter: Letter) -> Lane | None:
        """The lane whose head is this letter's record."""
        found = {lane.key: lane for lane in self._lanes} | self.changed
        for lane in found.values():
            if lane is not None and lane.head is not None:
                record = lane.head.record
                if (record.topic, record.partition, record.offset) == (letter.topic, letter.partition, letter.offset):
                    return lane
        return None

    def append(self, key: str, record: Record) -> None:
        """The record waits behind those of its key."""
        lane = self.get(key) or Lane(key, 0)
        row = Parked(self._place(), key, record, "waiting")
        self.changes.parked[row.place] = row
        self.changed[key] = replace(lane, records=lane.records + 1)

    def open(self, key: str, record: Record, error: str) -> None:
        """The record could not be handled: those of its key wait from now on."""
        row = Parked(self._place(), key, record, "failed", 1, error)
        self.changes.parked[row.place] = row
        self.changed[key] = Lane(key, 1, row)

    def hold(self, row: Parked, error: str) -> None:
        """The first record of the lane has failed, perhaps not for the first time."""
        self._mark(replace(row, state="failed", failures=row.failures + 1, error=error, operator=None, reason=None))

    def retry(self, head: Parked, operator: str, reason: str) -> None:
        """The head is to be handled once more."""
        self._mark(replace(head, state="retry", operator=operator, reason=reason))

    def _mark(self, row: Parked) -> None:
        # A row of this very batch is not there to be changed yet: whoever guesses an offset can have such a one marked.
        changed = self.changes.parked if row.place in self.changes.parked else self.changes.marked
        changed[row.place] = row
        lane = self.get(row.key) or Lane(row.key, 1)
        self.changed[row.key] = replace(lane, head=row)

    def leave(self, row: Parked) -> int:
        """The first record of the lane need not wait any more. Returns how many are left."""
        lane = self.get(row.key) or Lane(row.key, 1)
        self.changes.marked.pop(row.place, None)
        if self.changes.parked.pop(row.place, None) is None:
            self.changes.gone.add(row.place)
        left = lane.records - 1
        self.changed[row.key] = replace(lane, records=left, head=None) if left else None
        return left

    def finish(self, done: LetterDone) -> None:
        """Everything about the letter is said."""
        self.changes.done.append(done)

    def anew(self, letter: Letter) -> None:
        """The letter is written now. One of the same name may be settled: a broker that lost its tail gives an offset a second
        time, and a topic may be read again."""
        self.changes.anew.add(letter)

    def is_done(self, letter: Letter) -> bool:
        """Whether this batch has finished the letter."""
        return self._commit.lanes is not None and any(done.letter == letter for done in self._commit.lanes.done)

    @property
    def changes(self) -> LaneChanges:
        """What goes into the database."""
        if self._commit.lanes is None:
            self._commit.lanes = LaneChanges()
        return self._commit.lanes

    def _place(self) -> int:
        """The next turn. It comes from the numbers of the outbox: they rise as the partition's records are handled."""
        self._commit.next_seq += 1
        return self._commit.next_seq - 1
