"""A fetch session: what is asked of a broker, and what happens when it does not go on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4, FetchRequest_v11

from messaging.fetching import FETCHES, FetchSession, fetch_incrementally

MOST = 100


def fetch_of(offsets: Mapping[tuple[str, int], int]) -> FetchRequest:
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for (topic, partition), offset in offsets.items():
        topics.setdefault(topic, []).append((partition, offset, MOST))
    return FetchRequest(500, 1, 1_000, 0, list(topics.items()))


class Broker:
    """Keeps one session as a broker does: `reads` is what it reads for it."""

    def __init__(self, version: Any = FetchRequest_v11) -> None:
        self.version = version
        self.session, self.epoch = 0, 0
        self.reads: dict[tuple[str, int], int] = {}
        self.named: list[tuple[str, int]] = []
        self.problem: Exception | None = None
        self.full = False

    def forget(self) -> None:
        self.session = 0

    async def send(self, request: Any) -> Any:
        built = request.build(self.version)
        self.named = [(topic, part[0]) for topic, parts in built.topics for part in parts]
        if self.problem is not None:
            raise self.problem
        if self.version.API_VERSION < 7:
            return SimpleNamespace(topics=[])
        if built.session_epoch == 0:
            self.session, self.epoch = (0 if self.full else self.session + 7), 0
            self.reads = {}
        elif built.session_id != self.session:
            return SimpleNamespace(error_code=70, session_id=0, topics=[])
        elif built.session_epoch != self.epoch:
            return SimpleNamespace(error_code=71, session_id=0, topics=[])
        self.epoch += 1
        self.reads |= {(topic, part[0]): part[2] for topic, parts in built.topics for part in parts}
        for topic, partitions in built.forgotten_topics_data:
            for partition in partitions:
                del self.reads[topic, partition]
        return SimpleNamespace(error_code=0, session_id=self.session, topics=[])


FIRST = {("a", 0): 5, ("a", 1): 0, ("b", 0): 9}


async def test_the_first_fetch_names_everything_and_the_next_ones_what_has_moved() -> None:
    broker, session = Broker(), FetchSession()
    await session.fetch(fetch_of(FIRST), broker.send)
    assert broker.named == list(FIRST)
    await session.fetch(fetch_of(FIRST), broker.send)
    assert broker.named == []
    await session.fetch(fetch_of({**FIRST, ("b", 0): 12}), broker.send)
    assert broker.named == [("b", 0)]
    assert broker.reads == {**FIRST, ("b", 0): 12}


async def test_what_is_paused_is_forgotten_and_named_again_when_it_goes_on() -> None:
    broker, session = Broker(), FetchSession()
    await session.fetch(fetch_of(FIRST), broker.send)
    await session.fetch(fetch_of({("a", 1): 0}), broker.send)
    assert broker.reads == {("a", 1): 0}
    await session.fetch(fetch_of(FIRST), broker.send)
    assert broker.reads == FIRST
    assert broker.epoch == 3


@pytest.mark.parametrize("epoch", [0, 40], ids=["not found", "another epoch"])
async def test_where_the_broker_does_not_know_the_session_everything_is_named_again(epoch: int) -> None:
    broker, session = Broker(), FetchSession()
    await session.fetch(fetch_of(FIRST), broker.send)
    if epoch:
        broker.epoch = epoch
    else:
        broker.forget()
    answer = await session.fetch(fetch_of(FIRST), broker.send)
    assert answer.error_code in (70, 71)
    await session.fetch(fetch_of(FIRST), broker.send)
    assert broker.named == list(FIRST)
    await session.fetch(fetch_of(FIRST), broker.send)
    assert broker.named == []


@pytest.mark.parametrize("problem", [KafkaConnectionError(), asyncio.CancelledError()])
async def test_a_fetch_that_was_not_answered_is_followed_by_one_that_names_everything(
    problem: KafkaConnectionError | asyncio.CancelledError,
) -> None:
    broker, session = Broker(), FetchSession()
    await session.fetch(fetch_of(FIRST), broker.send)
    broker.problem = problem  # type: ignore[assignment]
    with pytest.raises(type(problem)):
        await session.fetch(fetch_of({("a", 0): 6}), broker.send)
    broker.problem = None
    await session.fetch(fetch_of(FIRST), broker.send)
    assert broker.named == list(FIRST)
    assert broker.reads == FIRST


async def test_a_broker_that_has_no_room_for_a_session_is_always_told_everything() -> None:
    broker, session = Broker(), FetchSession()
    broker.full = True
    for _ in range(2):
        await session.fetch(fetch_of(FIRST), broker.send)
        assert broker.named == list(FIRST)


async def test_a_broker_that_knows_no_sessions_is_always_told_everything() -> None:
    broker, session = Broker(FetchRequest_v4), FetchSession()
    for _ in range(2):
        await session.fetch(fetch_of(FIRST), broker.send)
        assert broker.named == list(FIRST)


async def test_fetches_have_a_connection_of_their_own_and_nothing_else_waits_on_it() -> None:
    sent: list[tuple[Any, Any]] = []

    async def send(node_id: int, request: Any, *, group: Any = "others") -> Any:
        sent.append((type(request).__mro__[1], group))
        return SimpleNamespace(error_code=0, session_id=0, topics=[])

    consumer: Any = SimpleNamespace(_client=SimpleNamespace(send=send))
    fetch_incrementally(consumer)
    await consumer._client.send(1, fetch_of(FIRST))
    await consumer._client.send(1, SimpleNamespace())
    await consumer._client.send(1, SimpleNamespace(), group="coordination")
    assert sent == [(FetchRequest, FETCHES), (object, "others"), (object, "coordination")]
