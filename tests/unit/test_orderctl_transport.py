"""A broker that goes away between two questions of the client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from orderctl import transport
from orderctl.errors import BrokerUnreachableError
from orderctl.transport import KafkaTransport

TOPIC = "orders.events.v1"


class Reader:
    """aiokafka's consumer, as it is while the broker starts again: it gives up some questions after a time of its own."""

    def __init__(self, unanswered: int, starts: int = 0, listings: int = 0) -> None:
        self.unanswered = unanswered
        self.failing = {"start": starts, "topics": listings}
        self.stopped = False
        self.at: dict[TopicPartition, int] = {}

    def _fail(self, question: str) -> None:
        if self.failing[question]:
            self.failing[question] -= 1
            raise KafkaConnectionError(question)

    async def start(self) -> None:
        self._fail("start")

    async def stop(self) -> None:
        self.stopped = True

    def assign(self, partitions: list[TopicPartition]) -> None: ...

    async def topics(self) -> set[str]:
        self._fail("topics")
        return {TOPIC}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        await asyncio.sleep(0)
        if self.unanswered:
            self.unanswered -= 1
            raise KafkaTimeoutError("Failed to get offsets by times in 10000 ms")
        return dict.fromkeys(partitions, 7)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.at[partition] = offset


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_RETRY_S", 0.001)


def _hears(monkeypatch: pytest.MonkeyPatch, reader: Reader, connect_timeout_s: float) -> KafkaTransport:
    def make(*_: Any) -> Reader:
        return reader

    monkeypatch.setattr(transport, "make_reader", make)
    return KafkaTransport("127.0.0.1:1", "test", connect_timeout_s)


async def test_a_question_that_the_client_library_gave_up_is_asked_again_within_the_time_to_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Reader(unanswered=3, starts=2, listings=2)
    hears = _hears(monkeypatch, reader, 30.0)
    await hears.listen([TOPIC])
    assert reader.at == {TopicPartition(TOPIC, 0): 7}
    await hears.close()


async def test_a_broker_that_never_answers_is_told_after_the_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    hears = _hears(monkeypatch, Reader(unanswered=1_000_000), 0.1)
    with pytest.raises(BrokerUnreachableError, match=r"within 0\.1 s"):
        await hears.listen([TOPIC])
    await hears.close()


class Silent(Reader):
    """Nobody takes its connection."""

    def __init__(self) -> None:
        super().__init__(0)
        self.waits = asyncio.Event()

    async def start(self) -> None:
        self.waits.set()
        await asyncio.Event().wait()


async def test_who_is_stopped_while_it_connects_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Silent()
    listening = asyncio.create_task(_hears(monkeypatch, reader, 60).listen([TOPIC]))
    await reader.waits.wait()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert reader.stopped
