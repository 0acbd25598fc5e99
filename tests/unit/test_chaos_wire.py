"""The kill run's proxies know the answers that they swallow: to Produce on Kafka's wire, to a commit on PostgreSQL's."""

from __future__ import annotations

import struct

import pytest

from chaos.wire import CommitWatch, ProduceWatch, Seen
from messaging.ports import Commit
from messaging.postgres_statement import compose, runtime_parts


def kafka(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def request(api_key: int, correlation: int) -> bytes:
    return kafka(struct.pack(">hhi", api_key, 7, correlation) + b"rest")


def postgres(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


def idle(status: bytes = b"I") -> bytes:
    return postgres(b"Z", status)


def bind(name: bytes) -> bytes:
    return postgres(b"B", b"\0" + name + b"\0\0\0\0\0\0\0")


def watch_of(query: str, name: bytes = b"s1") -> CommitWatch:
    watch = CommitWatch()
    watch.request(postgres(b"P", name + b"\0" + query.encode() + b"\0\0\0"))
    return watch


def the_commit() -> str:
    return compose(runtime_parts([Commit(partition=0, epoch=1, expected={"t": 0}, offsets={"t": 1}, next_seq=1)]))[0]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_stream_is_cut_into_whole_messages_however_it_arrives(size: int) -> None:
    said, answered = CommitWatch().splitters()
    startup = struct.pack(">ii", 8, 196_608)
    messages = [startup, bind(b"s1"), postgres(b"Q", b"COMMIT\0")]
    stream = b"".join(messages)
    found = [m for at in range(0, len(stream), size) for m in said.feed(stream[at : at + size])]
    assert found == messages
    both = idle() + postgres(b"C", b"SELECT 1\0")
    assert [m for at in range(0, len(both), size) for m in answered.feed(both[at : at + size])] == [both[:6], both[6:]]
    frames = kafka(b"0123") + kafka(b"") + kafka(b"4")
    splitter, _ = ProduceWatch().splitters()
    assert b"".join(m for at in range(0, len(frames), size) for m in splitter.feed(frames[at : at + size])) == frames


def test_the_answer_to_a_produce_is_known_by_its_correlation_id_and_once() -> None:
    watch = ProduceWatch()
    watch.request(request(api_key=1, correlation=6))
    watch.request(request(api_key=0, correlation=7))
    answers = [kafka(struct.pack(">i", correlation) + b"rest") for correlation in (6, 7, 7)]
    assert [watch.answer(answer) for answer in answers] == [Seen.OTHER, Seen.ANSWER, Seen.OTHER]


def test_the_runtimes_own_commit_is_known_and_its_answer_ends_when_no_transaction_is_open() -> None:
    watch = watch_of(the_commit())
    watch.request(bind(b"s1"))
    assert watch.answer(postgres(b"C", b"SELECT 1\0")) is Seen.MAYBE
    assert watch.answer(idle()) is Seen.ANSWER
    assert watch.answer(idle()) is Seen.OTHER


def test_inside_a_transaction_only_its_commit_is_one() -> None:
    watch = watch_of(the_commit())
    watch.request(bind(b"s1"))
    assert watch.answer(idle(b"T")) is Seen.OTHER
    watch.request(postgres(b"Q", b"COMMIT\0"))
    assert watch.answer(idle()) is Seen.ANSWER


def test_a_commit_that_failed_is_none() -> None:
    watch = watch_of(the_commit())
    watch.request(bind(b"s1"))
    assert watch.answer(postgres(b"E", b"SERROR\0\0")) is Seen.MAYBE
    assert watch.answer(idle()) is Seen.OTHER


def test_other_statements_are_none() -> None:
    watch = watch_of("SELECT 1")
    watch.request(bind(b"s1"))
    watch.request(postgres(b"Q", b"ROLLBACK\0"))
    assert watch.answer(idle()) is Seen.OTHER
