"""The recommendation service's answers, read as conversations; on the runtime with everything in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import encode, headers_for
from contracts.recommendation import Recommend
from contracts.topics import RECOMMENDATION_COMMANDS, RECOMMENDATION_EVENTS, dead_letter_topic
from messaging.memory import MemoryBroker, MemoryDatabase, MemoryStore
from messaging.meters import Meters
from messaging.worker import PartitionWorker
from services.recommendation.copy import PairsCopy
from services.recommendation.domain import merge
from services.recommendation.handlers import RecommendationHandler
from services.recommendation.pairs import BoughtTogether, Pair

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASK = "recommendation.recommend.v1"


def pairs(**counts: int) -> tuple[Pair, ...]:
    return tuple(Pair(sku=sku, count=count) for sku, count in counts.items())


KNOWN = {"A": pairs(B=9, C=4, D=1), "B": pairs(A=9, E=3, D=2), "Z": pairs(F=1, G=1, H=1, I=1, J=1)}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("A", "BCD"),
        ("AB", "CDE"),  # C 4, then D and E 3 each; neither A nor B themselves
        ("AA", "BCD"),
        ("AZ", "BCDFG"),
        ("Q", ""),
        ("QA", "BCD"),
    ],
)
def test_the_lists_are_summed_without_what_was_asked_about(asked: str, expected: str) -> None:
    assert merge(KNOWN, asked) == tuple(expected)


@given(st.permutations("ABZQ"))
def test_the_order_of_the_question_does_not_matter(asked: list[str]) -> None:
    assert merge(KNOWN, asked) == merge(KNOWN, sorted(asked))


class StillClock:
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


async def ask(known: dict[str, tuple[Pair, ...]], *values: bytes) -> MemoryBroker:
    """The commands as one batch; what was said is on the broker after."""
    broker = MemoryBroker(StillClock(), 1)
    worker = PartitionWorker(
        RecommendationHandler(known), MemoryStore(MemoryDatabase(StillClock())), 0, 1, "test", Meters("recommendation")
    )
    await worker.take_over()
    records = [broker.append(RECOMMENDATION_COMMANDS, b"O1", value, headers_for(ASK)) for value in values]
    worker.buffers.offer(records, worker.offsets)
    while await worker.step(NOW, None):
        pass
    await worker.publish(broker)
    return broker


def question(id: str, *skus: str) -> bytes:
    data = Recommend(request_id="r1", skus=skus)
    return encode(id=id, source="orders", type=ASK, subject="O1", data=data, time=NOW, correlationid="O1")


def answers(broker: MemoryBroker) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in broker.all_records(RECOMMENDATION_EVENTS)]


async def test_a_question_is_answered_under_its_order() -> None:
    (answer,) = answers(await ask(dict(KNOWN), question("1", "A", "B")))
    assert (answer["type"], answer["subject"], answer["causationid"]) == ("recommendation.recommended.v1", "O1", "1")
    assert answer["data"] == {"request_id": "r1", "skus": ["C", "D", "E"]}


async def test_with_nothing_known_the_answer_is_empty_not_missing() -> None:
    told = answers(await ask({}, question("1", "A"), question("1", "A")))
    assert [answer["data"]["skus"] for answer in told] == [[], []]


async def test_a_command_that_is_none_goes_to_the_dead_letters_and_the_next_is_answered() -> None:
    broker = await ask(dict(KNOWN), question("1", "A").replace(b'"skus"', b'"kuss"'), question("2", "A"))
    assert len(broker.all_records(dead_letter_topic(RECOMMENDATION_COMMANDS, "recommendation"))) == 1
    assert [answer["data"]["skus"] for answer in answers(broker)] == [["B", "C", "D"]]


def test_the_copy_keeps_the_last_word_on_each_sku_and_passes_over_what_is_not_the_learners() -> None:
    copy = PairsCopy()
    held = copy.pairs
    for best in (pairs(B=1), pairs(C=2)):
        copy.apply(b"A", BoughtTogether(sku="A", orders=2, best=best).encode())
    copy.apply(b"A", b"\xff")
    copy.apply(b"Q", BoughtTogether(sku="A", orders=2, best=()).encode())
    copy.apply(b"B", BoughtTogether(sku="B", orders=2, best=pairs(A=2)).encode())
    copy.apply(b"B", None)
    copy.apply(None, None)
    assert held == {"A": pairs(C=2)}
    assert copy.unreadable == 2
