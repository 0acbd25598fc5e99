"""100,000 hostile records on the decoder, each as every reader of its topic gets it (`python -m proof.decoder` makes more)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.topics import DEFAULT_PARTITIONS
from messaging.decoding import DeadLetter
from messaging.partitioner import partition_of
from messaging.ports import Headers
from proof import decoder
from proof.decoder import Tally, run
from proof.hostile import judge as judging
from proof.hostile.judge import judge, record_of
from proof.hostile.maker import Hostile, Maker
from proof.hostile.readers import INTERESTS, TOPICS, readers_of

SEED = 20261128
RECORDS = 100_000
FATES = {"accepted", "rejected", "set-aside", "forwarded", "passed-over"}


def test_100_000_hostile_records_are_accepted_rejected_or_set_aside_and_each_of_it_rightly() -> None:
    tally = run(SEED, 0, RECORDS, Tally())
    assert tally.wrong == []
    assert tally.records == RECORDS
    assert tally.fates.keys() == FATES
    # Every fate was met often: a maker whose records all fail alike finds nothing.
    assert min(tally.fates.values()) > RECORDS / 50
    readings = sum(count * sum(1 for _ in readers_of(topic)) for topic, count in tally.topics.items())
    assert sum(tally.fates.values()) == readings > RECORDS


def test_a_record_depends_on_its_seed_and_its_number_alone() -> None:
    made = [Maker(7, TOPICS, DEFAULT_PARTITIONS).make(number) for number in range(500)]
    again = Maker(7, TOPICS, DEFAULT_PARTITIONS)
    assert [again.make(number) for number in reversed(range(500))] == made[::-1]
    assert Maker(8, TOPICS, DEFAULT_PARTITIONS).make(1) != made[1]


@pytest.mark.parametrize(
    "broken",
    [
        lambda record, *_: DeadLetter(record, "", "no reason"),
        lambda record, *_: None,
        lambda record, *_: 1 / 0,
        lambda record, *_: DeadLetter(record, "invalid", "never mind"),
    ],
    ids=["no reason", "passes commands over", "raises", "refuses everything"],
)
def test_a_decoder_that_is_wrong_is_noticed(broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "decode", broken)
    assert run(SEED, 0, 200, Tally()).wrong


def test_a_decoder_that_takes_too_long_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MOST_S", 0.0)
    assert "it takes" in run(SEED, 0, 1, Tally()).wrong[0]["why"]


MAKER = Maker(SEED, TOPICS, DEFAULT_PARTITIONS)
SOURCES = st.builds(MAKER.make, st.integers(0, 2**39))


@st.composite
def bent(draw: st.DrawFn) -> Hostile:
    """A record of the maker's, some of whose bytes Hypothesis has chosen, so that it can shrink what it finds."""
    made = draw(SOURCES)
    value = bytearray(made.value or b"")
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(value)))
        value[start : start + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    headers = [
        *made.headers,
        *draw(st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=9)), max_size=2)),
    ]
    return Hostile(made.number, made.how, made.topic, made.partition, made.key, bytes(value), headers)


@given(bent())
@settings(max_examples=300)
def test_any_bytes_on_any_topic_are_judged_rightly_by_each_of_its_readers(hostile: Hostile) -> None:
    for service in readers_of(hostile.topic):
        assert judge(record_of(hostile), DEFAULT_PARTITIONS, INTERESTS[service]) in FATES


def test_a_name_that_reads_like_an_escaped_nul_is_none() -> None:
    """Found by `make fuzz`: the judge took the six characters of a plain text for what they are in a JSON document."""
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"shop"),
        ("ce_type", b"orders.approve-payment.v1"),
        ("ce_subject", rb"a\u0000b"),
    ]
    hostile = Hostile(
        0, "binary", "orders.commands.v1", partition_of(r"a\u0000b", DEFAULT_PARTITIONS), None, b"", headers
    )
    assert judge(record_of(hostile), DEFAULT_PARTITIONS, INTERESTS["orders"]) == "rejected"
