"""The runtime's ports in memory: a database and a broker for tests, the simulation and the test kit. They keep the promises
of the real ones (fence, offsets, order for each key) and pass the same tests; nothing in them waits, so a coroutine that
uses them alone runs to its end without an event loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from contracts.letters import Letter
from messaging.decision import SetTimer
from messaging.errors import FenceLostError
from messaging.partitioner import partition_of
from messaging.ports import (
    Clock,
    Commit,
    DueTimer,
    Headers,
    Lane,
    LaneChanges,
    LetterDone,
    Ownership,
    Parked,
    PendingEffect,
    Placed,
    PostponedTimer,
    Record,
    Wire,
    wire_headers,
)


@dataclass(slots=True)
class MemoryDatabase:
    """What PostgreSQL would hold of the runtime's tables. It outlives the stores that work on it, as a database does."""

    clock: Clock
    ownership: dict[int, Ownership] = field(default_factory=dict)
    outbox: dict[int, dict[int, tuple[datetime, Wire]]] = field(default_factory=lambda: defaultdict(dict))
    #: Where published rows stand, by the part of their time, then by partition and number.
    published: tuple[dict[tuple[int, int], Placed], ...] = field(default_factory=lambda: ({}, {}, {}, {}))
    timers: dict[tuple[int, str, str], DueTimer] = field(default_factory=dict)
    effects: dict[tuple[int, str], PendingEffect] = field(default_factory=dict)
    parked: dict[tuple[int, int], Parked] = field(default_factory=dict)
    letters: dict[Letter, LetterDone] = field(default_factory=dict)

    def places(self, partition: int, seqs: Iterable[int]) -> dict[int, Placed]:
        """See `messaging.published.places`."""
        asked = [(partition, seq) for seq in seqs]
        return {key[1]: part[key] for key in asked for part in self.published if key in part}


def _outbox_part(at: datetime) -> int:
    """See the outbox's migration."""
    return int(at.timestamp()) // 60 % 4


def published_part(at: datetime) -> int:
    """See the migration of the places."""
    return int(at.timestamp()) // 2_592_000 % 4


class MemoryTransaction:
    """One batch. Writes are staged as functions and happen together, or not at all."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._writes: list[Callable[[], None]] = []

    def stage(self, write: Callable[[], None]) -> None:
        """A write for the commit. It must check before it changes: the first exception undoes nothing that came before."""
        self._writes.append(write)

    async def commit(self, *commits: Commit) -> None:
        """See `Transaction.commit`."""
        owned = [self._fence(commit) for commit in commits]
        for write in self._writes:
            write()
        for commit, before in zip(commits, owned, strict=True):
            self._apply(commit, before)

    def _fence(self, commit: Commit) -> Ownership:
        owned = self._database.ownership.get(commit.partition)
        held = owned is not None and owned.epoch == commit.epoch
        if owned is None or not held or any(owned.offsets[t] != commit.expected[t] for t in commit.offsets):
            raise FenceLostError(f"partition {commit.partition} has another owner or other offsets")
        return owned

    def _apply(self, commit: Commit, owned: Ownership) -> None:
        database, partition = self._database, commit.partition
        offsets = {**owned.offsets, **commit.offsets}
        database.ownership[partition] = Ownership(
            partition, owned.epoch, offsets, commit.next_seq, owned.published_seq, owned.acked, owned.next_due
        )
        now = database.clock.now()
        for wire in commit.outbox:
            database.outbox[partition][wire.seq] = (now, wire)
        for (key, name), timer in commit.timers.items():
            before = database.timers.pop((partition, key, name), None)
            if isinstance(timer, SetTimer):
                database.timers[partition, key, name] = DueTimer(key, name, timer.step, timer.due_at)
            elif isinstance(timer, PostponedTimer) and before is not None:
                stays = replace(before, due_at=timer.until) if before == timer.claimed else before
                database.timers[partition, key, name] = stays
        for effect in commit.effects:
            stored = PendingEffect(effect.id, effect.key, effect.kind, effect.request.model_dump_json().encode())
            database.effects.setdefault((partition, effect.id), stored)
        for effect_id in commit.effects_done:
            database.effects.pop((partition, effect_id), None)
        if commit.lanes is not None:
            self._apply_lanes(partition, commit.lanes)

    def _apply_lanes(self, partition: int, changes: LaneChanges) -> None:
        database = self._database
        database.parked |= {(partition, place): row for place, row in (changes.parked | changes.marked).items()}
        for place in changes.gone:
            del database.parked[partition, place]
        for letter in changes.anew:
            database.letters.pop(letter, None)
        for done in changes.done:
            database.letters.setdefault(done.letter, done)


class MemoryStore:
    """A process's view of a `MemoryDatabase`; see `Store` for what each method promises."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def take_over(self, partition: int, owner: str, topics: Sequence[str]) -> Ownership:
        """See `Store.take_over`."""
        found = self._database.ownership.get(partition)
        fresh = Ownership(partition, 0, {}, 1, 0, {}, None)
        owned = found or fresh
        owned = replace(owned, epoch=owned.epoch + 1, offsets={**dict.fromkeys(topics, 0), **owned.offsets})
        self._database.ownership[partition] = owned
        return await self.reload(partition, owned.epoch)

    async def reload(self, partition: int, epoch: int) -> Ownership:
        """See `Store.reload`."""
        owned = self._database.ownership.get(partition)
        if owned is None or owned.epoch != epoch:
            raise FenceLostError(f"partition {partition} has another owner")
        return replace(owned, next_due=await self.next_due(partition))

    async def set_offsets(self, partition: int, epoch: int, offsets: Mapping[str, int]) -> None:
        """See `Store.set_offsets`."""
        owned = await self.reload(partition, epoch)
        self._database.ownership[partition] = replace(owned, offsets={**owned.offsets, **offsets})

    async def begin(self) -> MemoryTransaction:
        """See `Store.begin`."""
        return MemoryTransaction(self._database)

    async def rollback(self, transaction: MemoryTransaction) -> None:
        """See `Store.rollback`: nothing was written yet."""

    async def outbox_after(self, partition: int, seq: int, limit: int) -> list[Wire]:
        """See `Store.outbox_after`."""
        rows = self._database.outbox[partition]
        return [rows[number][1] for number in sorted(rows) if number > seq][:limit]

    async def mark_published(
        self, partition: int, epoch: int, seq: int, acked: Mapping[str, int], placed: Sequence[Placed]
    ) -> None:
        """See `Store.mark_published`."""
        owned = self._database.ownership[partition]
        if owned.epoch == epoch:
            moved = replace(owned, published_seq=max(owned.published_seq, seq), acked=dict(acked))
            self._database.ownership[partition] = moved
            part = self._database.published[published_part(self._database.clock.now())]
            part.update({(partition, row.seq): row for row in placed})

    async def unplace(self, partition: int, epoch: int, since_seq: int) -> None:
        """See `Store.unplace`."""
        owned = self._database.ownership[partition]
        if owned.epoch == epoch:
            moved = replace(owned, published_seq=min(owned.published_seq, since_seq - 1), acked={})
            self._database.ownership[partition] = moved
            for part in self._database.published:
                for key in [(p, seq) for p, seq in part if p == partition and seq >= since_seq]:
                    del part[key]

    async def forget_published(self, older_than: datetime) -> bool:
        """See `Store.forget_published`."""
        database = self._database
        database.published[published_part(database.clock.now() + timedelta(hours=721))].clear()
        # By the part of the outbox, each partition's last row, which speaks for those before it.
        last: dict[int, dict[int, datetime]] = defaultdict(dict)
        needed: set[int] = set()
        for partition, rows in database.outbox.items():
            for seq, (at, _) in rows.items():
                last[_outbox_part(at)][partition] = at
                if seq > database.ownership[partition].published_seq:
                    needed.add(_outbox_part(at))
        needed |= {part for part, ends in last.items() if max(ends.values()) >= older_than}
        for rows in database.outbox.values():
            for seq in [seq for seq, (at, _) in rows.items() if _outbox_part(at) not in needed]:
                del rows[seq]
        return bool(needed)

    async def due_timers(
        self, partition: int, until: datetime, limit: int, but: Collection[str] = ()
    ) -> list[DueTimer]:
        """See `Store.due_timers`."""
        due = [timer for timer in self._timers(partition, but) if timer.due_at <= until]
        return sorted(due, key=lambda timer: (timer.due_at, timer.key, timer.name))[:limit]

    async def next_due(self, partition: int, but: Collection[str] = ()) -> datetime | None:
        """See `Store.next_due`."""
        return min((timer.due_at for timer in self._timers(partition, but)), default=None)

    def _timers(self, partition: int, but: Collection[str]) -> list[DueTimer]:
        return [timer for (p, key, _), timer in self._database.timers.items() if p == partition and key not in but]

    async def lanes(self, partition: int) -> list[Lane]:
        """See `Store.lanes`."""
        found: dict[str, list[Parked]] = {}
        for (p, _), row in sorted(self._database.parked.items()):
            if p == partition:
                found.setdefault(row.key, []).append(row)
        return [Lane(key, len(rows), rows[0] if rows[0].failures else None) for key, rows in sorted(found.items())]

    async def parked(self, partition: int, keys: Collection[str], limit: int) -> list[Parked]:
        """See `Store.parked`."""
        rows = sorted(self._database.parked.items())
        return [row for (p, _), row in rows if p == partition and row.key in keys][:limit]

    async def done_with(self, letters: Collection[Letter]) -> set[Letter]:
        """See `Store.done_with`."""
        return {letter for letter in letters if letter in self._database.letters}

    async def pending_effects(self, partition: int) -> list[PendingEffect]:
        """See `Store.pending_effects`."""
        return [effect for (p, _), effect in self._database.effects.items() if p == partition]

    async def close(self) -> None:
        """See `Store.close`."""


class MemoryBroker:
    """Topics as lists. Records get their offset and their time when they are appended, as in Kafka with LogAppendTime."""

    def __init__(self, clock: Clock, partitions: int) -> None:
        self.partitions = partitions
        self._clock = clock
        self._logs: dict[tuple[str, int], list[Record]] = defaultdict(list)

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Record:
        """Append one record, on the partition of its key unless one is named."""
        if partition is None:
            partition = partition_of((key or b"").decode(errors="backslashreplace"), self.partitions)
        log = self._logs[topic, partition]
        record = Record(topic, partition, len(log), key, value, list(headers), self._clock.now())
        log.append(record)
        return record

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        """See `Publisher.publish`."""
        return [self.append(w.topic, w.key, w.value, wire_headers(w), w.partition).offset for w in wires]

    def read(self, topic: str, partition: int, offset: int, limit: int = 500) -> list[Record]:
        """Records from `offset` on."""
        return self._logs[topic, partition][offset : offset + limit]

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record will get."""
        return len(self._logs[topic, partition])

    def all_records(self, topic: str) -> list[Record]:
        """Everything on a topic, partition by partition."""
        return [record for p in range(self.partitions) for record in self._logs[topic, p]]
