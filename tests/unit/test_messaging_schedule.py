"""The order of records and timers, against an oracle that knows everything that will ever arrive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from messaging.ports import DueTimer, Parked, Record, Wire
from messaging.schedule import MOST_BYTES, Barrier, Buffers, take, within
from messaging.unpublished import Unpublished

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = ("a", "b", "c")


def at(tick: int) -> datetime:
    return START + timedelta(seconds=tick)


@dataclass(frozen=True)
class Case:
    """Whole logs per topic; how much of each was handled, and how much of the rest has been read; timers; a barrier."""

    logs: dict[str, list[Record]]
    handled: dict[str, int]
    read: dict[str, int]
    timers: list[DueTimer]
    barrier: Barrier | None
    limit: int

    def buffers(self) -> Buffers:
        buffers = Buffers()
        for topic, log in self.logs.items():
            buffers.offer(log[self.handled[topic] : self.read[topic]], self.handled)
        return buffers


@st.composite
def cases(draw: st.DrawFn) -> Case:
    logs, handled, read = {}, {}, {}
    for topic in TOPICS[: draw(st.integers(1, 3))]:
        ticks = sorted(draw(st.lists(st.integers(0, 12), max_size=6)))
        logs[topic] = [Record(topic, 0, n, b"k", b"v", [], at(tick)) for n, tick in enumerate(ticks)]
        handled[topic] = draw(st.integers(0, len(ticks)))
        read[topic] = draw(st.integers(handled[topic], len(ticks)))
    due = sorted(draw(st.lists(st.integers(0, 12), max_size=4)))
    timers = [DueTimer("k", f"t{n}", n, at(tick)) for n, tick in enumerate(due)]
    barrier = None
    if draw(st.booleans()):
        # A truthful barrier: what was appended before its moment stands below its ends, and no more is known.
        tick = draw(st.integers(0, 14))
        ends = {topic: sum(record.timestamp < at(tick) for record in log) for topic, log in logs.items()}
        barrier = Barrier(
            at(tick), {topic: end + draw(st.integers(0, len(logs[topic]) - end)) for topic, end in ends.items()}
        )
    return Case(logs, handled, read, timers, barrier, draw(st.integers(1, 12)))


def moment(item: Record | DueTimer) -> tuple[datetime, bool]:
    """Where an item belongs in time; a record goes before a timer of the same moment."""
    return (item.due_at, True) if isinstance(item, DueTimer) else (item.timestamp, False)


def taken(case: Case) -> list[Record | DueTimer]:
    return take(case.buffers(), case.timers, case.handled, case.barrier, case.limit)


@given(cases())
def test_no_timer_fires_before_a_record_that_was_appended_by_its_deadline(case: Case) -> None:
    """The oracle looks at the whole logs, also at what has not been read yet."""
    done = dict(case.handled)
    for item in taken(case):
        if isinstance(item, Record):
            done[item.topic] = item.offset + 1
            continue
        for topic, log in case.logs.items():
            assert all(record.timestamp > item.due_at for record in log[done[topic] :]), (
                "an earlier record was overtaken"
            )


@given(cases())
def test_what_is_taken_is_in_the_order_of_time(case: Case) -> None:
    found = [moment(item) for item in taken(case)]
    assert found == sorted(found)


@given(cases())
def test_each_topic_keeps_its_order_and_nothing_is_lost_or_taken_twice(case: Case) -> None:
    buffers = case.buffers()
    found = take(buffers, case.timers, case.handled, case.barrier, case.limit)
    assert len(found) <= case.limit
    for topic, log in case.logs.items():
        gone = [item for item in found if isinstance(item, Record) and item.topic == topic]
        left = list(buffers.topics.get(topic, ()))
        assert gone + left == log[case.handled[topic] : case.read[topic]]
    fired = [item for item in found if isinstance(item, DueTimer)]
    assert fired == case.timers[: len(fired)]


@given(cases())
def test_as_much_is_taken_as_is_certain(case: Case) -> None:
    """It stops only at its limit, at the end, or at a timer that something unread might still precede."""
    buffers = case.buffers()
    found = take(buffers, case.timers, case.handled, case.barrier, case.limit)
    fired = sum(isinstance(item, DueTimer) for item in found)
    left = [record for queue in buffers.topics.values() for record in queue]
    if len(found) == case.limit or (not left and fired == len(case.timers)):
        return
    timer = case.timers[fired]
    assert all(record.timestamp > timer.due_at for record in left)
    assert _doubtful(case, buffers, timer)


def _doubtful(case: Case, buffers: Buffers, timer: DueTimer) -> bool:
    for topic in case.logs:
        if buffers.topics.get(topic):
            continue
        if case.barrier is None or case.barrier.at <= timer.due_at:
            return True
        if case.read[topic] < case.barrier.ends[topic]:
            return True
    return False


@given(cases())
def test_without_timers_everything_goes(case: Case) -> None:
    buffers = case.buffers()
    found = take(buffers, [], case.handled, None, 1_000)
    assert len(found) == sum(case.read[topic] - case.handled[topic] for topic in case.logs)
    assert len(buffers) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), max_size=8), st.integers(0, 20))
def test_overlapping_reads_come_to_each_record_once_in_order(reads: Sequence[tuple[int, int]], handled: int) -> None:
    log = [Record("a", 0, n, None, None, [], START) for n in range(30)]
    buffers = Buffers()
    for start, count in reads:
        buffers.offer(log[start : start + count], {"a": handled})
    found = [record.offset for record in buffers.topics.get("a", ())]
    assert found == sorted(set(found))
    assert all(offset >= handled for offset in found)


def record(offset: int, size: int = 1, topic: str = "a") -> Record:
    return Record(topic, 0, offset, b"", b"v" * size, [], at(offset))


def test_a_reader_that_gives_what_it_gave_before_has_gone_back() -> None:
    buffers = Buffers()
    assert not buffers.offer([record(5), record(7)], {"a": 5})
    assert buffers.offer([record(7), record(8)], {"a": 5})
    assert [taken.offset for taken in take(buffers, [], {"a": 5}, None, 10) if isinstance(taken, Record)] == [5, 7, 8]
    assert buffers.offer([record(0)], {"a": 9})
    assert not len(buffers)


def test_a_batch_ends_with_the_record_that_makes_it_too_large() -> None:
    half = MOST_BYTES // 2
    buffers = Buffers()
    buffers.offer([record(0, half), record(1, half + 1), record(2, 3 * half), record(3)], {})
    sizes = []
    while taken := take(buffers, [], {}, None, 500):
        sizes.append(len(taken))
    assert sizes == [2, 1, 1]
    assert buffers.bytes == 0


def test_of_what_waits_in_lanes_a_batch_takes_no_more_either() -> None:
    rows = [Parked(place, "k", record(place, MOST_BYTES // 2), "waiting") for place in range(5)]
    assert within(rows) == rows[:2]
    assert within(rows, 10) == rows[:1]
    assert within([]) == []


def test_what_is_published_at_once_has_a_most_in_rows_and_in_bytes() -> None:
    waiting = Unpublished()
    rows = [Wire(seq, "a", 0, b"k", b"v" * (9 if seq < 4 else 99), "t") for seq in range(1, 6)]
    waiting.extend(rows)
    assert waiting.bytes == 3 * 10 + 2 * 100
    assert waiting.head(2, 1000) == rows[:2]
    assert waiting.head(5, 35) == rows[:3]
    assert waiting.leave(rows[:3])
    assert not waiting.leave(rows[:3]), "they stand there no more"
    assert (list(waiting), waiting.bytes) == (rows[3:], 200)
    assert waiting.head(5, 35) == rows[3:4], "one goes, however large"
