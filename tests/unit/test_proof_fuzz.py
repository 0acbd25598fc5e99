"""A fuzzer's bytes are records, and records are bytes to it; what it says is understood."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.topics import DEFAULT_PARTITIONS
from proof import fuzz
from proof.hostile.maker import Hostile, Maker
from proof.hostile.packing import bent, pack, unpack
from proof.hostile.readers import TOPICS

MAKER = Maker(5, TOPICS, DEFAULT_PARTITIONS)


def same(one: Hostile, other: Hostile) -> bool:
    def parts(hostile: Hostile) -> tuple[object, ...]:
        return hostile.topic, hostile.partition, hostile.key, hostile.value, list(hostile.headers)

    return parts(one) == parts(other)


def test_a_record_that_was_packed_is_unpacked_as_it_was() -> None:
    records = [MAKER.make(number) for number in range(3_000)]
    packed = [(record, pack(record, TOPICS, DEFAULT_PARTITIONS)) for record in records]
    fit = [(record, found) for record, found in packed if found is not None]
    assert len(fit) > 2_900
    assert all(same(record, unpack(found, TOPICS, DEFAULT_PARTITIONS)) for record, found in fit)


@given(st.binary(max_size=300))
@example(b"")
@example(bytes((200, 200, 3, 255, 255, 65)))
def test_any_bytes_are_a_record_of_a_topic_that_is_read(packed: bytes) -> None:
    record = unpack(packed, TOPICS, DEFAULT_PARTITIONS)
    assert record.topic in TOPICS
    assert 0 <= record.partition < DEFAULT_PARTITIONS
    again = pack(record, TOPICS, DEFAULT_PARTITIONS)
    assert again is None or same(record, unpack(again, TOPICS, DEFAULT_PARTITIONS))


def test_a_document_in_a_record_is_bent_and_stays_one_for_its_topic() -> None:
    random = Random(1)
    packed = [pack(MAKER.make(number), TOPICS, DEFAULT_PARTITIONS) for number in range(1_000)]
    fit = [one for one in packed if one is not None]
    found = [(one, bent(one, MAKER, random, TOPICS, DEFAULT_PARTITIONS)) for one in fit]
    changed = [(one, other) for one, other in found if other not in (None, one)]
    assert len(changed) > len(fit) / 2
    assert all(one[0] == other[0] for one, other in changed)


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff"])
def test_what_is_no_document_is_not_bent(value: bytes) -> None:
    packed = pack(Hostile(0, "x", TOPICS[0], 0, b"k", value, []), TOPICS, DEFAULT_PARTITIONS)
    assert packed is not None
    assert bent(packed, MAKER, Random(1), TOPICS, DEFAULT_PARTITIONS) is None


@pytest.mark.parametrize(
    "large",
    [
        Hostile(0, "x", TOPICS[0], 0, b"k" * 70_000, b"", []),
        Hostile(0, "x", TOPICS[0], 0, b"k", b"", [("n" * 300, b"")]),
        Hostile(0, "x", TOPICS[0], 0, b"k", b"", [("n", b"v" * 65_535)]),
        Hostile(0, "x", TOPICS[0], 0, b"k", b"", [("n", b"")] * 256),
    ],
    ids=["key", "name", "header", "headers"],
)
def test_what_does_not_fit_is_not_packed(large: Hostile) -> None:
    assert pack(large, TOPICS, DEFAULT_PARTITIONS) is None


def test_the_fuzzer_begins_with_records_and_words_of_the_contract(tmp_path: Path) -> None:
    fuzz.sow(tmp_path / "corpus", tmp_path / "words", seed=1)
    assert len(list((tmp_path / "corpus").iterdir())) > fuzz.BEGIN_WITH * 0.9
    words = (tmp_path / "words").read_text().splitlines()
    assert '"orders.start-order.v1"' in words
    assert r'"\x22causationid\x22"' in words
    assert all(word.isascii() and word.isprintable() for word in words)


def test_what_libfuzzer_reached_is_read_from_its_last_line() -> None:
    told = "#2\tINITED cov: 10 ft: 12 corp: 1/9b\n#1000\tDONE   cov: 236 ft: 563 corp: 87/60Kb lim: 8192 exec/s: 600"
    assert fuzz.reached(told) == {"runs": 1000, "branches": 236, "features": 563, "corpus": 87}
    assert fuzz.reached("nothing of the kind") == {}


def test_an_error_is_told_by_its_name() -> None:
    told = "INFO: seed\n\n === Uncaught Python exception: ===\nWrongError: a dead letter has no reason\nTraceback\n"
    assert fuzz.complaint(told) == "WrongError: a dead letter has no reason"
    assert (
        fuzz.complaint("ALARM: working on the last Unit for 5 seconds")
        == "ALARM: working on the last Unit for 5 seconds"
    )


def test_one_record_is_judged_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    valid = next(record for record in map(MAKER.make, range(1_000)) if record.how == "valid")
    packed = pack(valid, TOPICS, DEFAULT_PARTITIONS)
    assert packed is not None
    path = tmp_path / "crash-1"
    path.write_bytes(packed)
    assert fuzz.main(["--only", str(path)]) == 0
    told = capsys.readouterr().out
    assert valid.topic in told
    assert ": accepted" in told or ": passed-over" in told or ": forwarded" in told
