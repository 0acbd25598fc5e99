"""The loop around a partition's worker, over a reader that the test moves: where the broker is not as it was, and where too much is
waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
from tally_hosts import Asker
from tally_real import settings_for
from tally_world import HOME, MemoryWorld, Process, RealClock, Sender, Totals
from waiting import until

from contracts.topics import INVENTORY_COMMANDS
from messaging import runner as loop
from messaging.errors import PublishUnknownError
from messaging.ports import Wire
from messaging.runner import PartitionRunner


class Reader:
    """What a runner asks of the group's reader. `sought`: from where it was told to read, each time."""

    def __init__(self, world: MemoryWorld, topics: Sequence[str]) -> None:
        self._world, self._topics = world, topics
        self.sought: list[dict[str, int]] = []
        self.held = False

    async def begins(self, partition: int) -> dict[str, int]:
        return dict.fromkeys(self._topics, 0)

    async def ends(self, partition: int) -> dict[str, int]:
        return await self.ends_of(self._topics, partition)

    async def ends_of(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        return {topic: await self._world.end(topic, partition) for topic in topics}

    def seek(self, partition: int, offsets: dict[str, int]) -> None:
        self.sought.append(dict(offsets))

    def hold(self, partition: int) -> None:
        self.held = True

    def go_on(self, partition: int) -> None:
        self.held = False

    async def commit(self, offsets: Any) -> None:
        """Nobody looks."""


class Gate:
    """A publisher whose broker is away until it is `open`."""

    def __init__(self, world: MemoryWorld) -> None:
        self._publisher = world.publisher()
        self.open, self.tries = False, 0

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        self.tries += 1
        if not self.open:
            raise PublishUnknownError("no answer in time")
        return await self._publisher.publish(wires)


class Loop:
    """A runner at work, and what it works on."""

    def __init__(self, gate: bool = False) -> None:
        self.world = MemoryWorld()
        self.sender, self.totals = Sender(self.world), Totals(self.world)
        process = Process(self.world, HOME)
        self.worker, self.gate = process.worker, Gate(self.world)
        self.reader = Reader(self.world, process.worker._handler.topics)
        self.runner = PartitionRunner(
            process.worker,
            process.store,
            cast("Any", self.reader),
            self.gate if gate else self.world.publisher(),
            Asker(0),
            RealClock(),
            settings_for("127.0.0.1:9", "postgresql:///nowhere"),
            process.meters,
            lambda: None,
            lambda error: None,
        )

    async def deliver(self, offset: int) -> None:
        """The commands from there on."""
        self.runner.deliver(await self.world.read(INVENTORY_COMMANDS, HOME, offset))

    async def until_totals(self, expected: dict[str, int]) -> None:
        async def reached() -> bool:
            return await self.totals() == expected

        await until(reached, f"totals {expected}")


@pytest.fixture
async def at_work(request: pytest.FixtureRequest) -> AsyncIterator[Loop]:
    found = Loop(gate=getattr(request, "param", False))
    found.runner.start()
    await until(lambda: found.runner.ready, "it has taken over")
    yield found
    found.gate.open = True
    await found.runner.stop(5)


async def test_a_reader_that_is_sent_back_is_told_from_where_to_read_and_what_took_the_place_of_lost_records_is_handled(
    at_work: Loop,
) -> None:
    for _ in range(3):
        await at_work.sender.add("a")
    await at_work.deliver(0)
    await at_work.until_totals({"a": 3})
    assert len(at_work.reader.sought) == 1
    # The broker loses the last of them, another one takes its place, and the client begins at the beginning.
    del at_work.world.broker._logs[INVENTORY_COMMANDS, HOME][2:]
    await at_work.sender.add("b")
    await at_work.deliver(0)
    await until(lambda: len(at_work.reader.sought) == 2, "it is told anew")
    assert at_work.reader.sought[-1][INVENTORY_COMMANDS] == 0
    await at_work.deliver(0)
    await at_work.until_totals({"a": 5, "b": 1})  # a tally adds what comes twice twice
    assert not at_work.worker.tail_lost


async def test_a_partition_is_not_fetched_from_while_many_bytes_wait(
    at_work: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await at_work.sender.add("a")
    monkeypatch.setattr(loop, "MAX_BUFFERED_BYTES", 3 * len(record.value or b""))
    for _ in range(5):
        await at_work.sender.add("a")
    await at_work.deliver(0)
    assert at_work.reader.held
    await at_work.until_totals({"a": 6})
    await until(lambda: not at_work.reader.held, "it is fetched from again")
    assert at_work.worker.buffers.bytes == 0


@pytest.mark.parametrize("at_work", [True], indirect=True)
async def test_nothing_more_is_decided_while_too_much_waits_for_its_publication(
    at_work: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_UNPUBLISHED", 5)
    monkeypatch.setattr(loop, "IDLE_S", 0.02)
    for _ in range(10):
        await at_work.sender.add("a")
    await at_work.deliver(0)
    await at_work.until_totals({"a": 10})
    await at_work.sender.add("a")
    await at_work.deliver(10)
    tries = at_work.gate.tries
    await until(lambda: at_work.gate.tries > tries + 2, "it is tried again")
    assert await at_work.totals() == {"a": 10}
    at_work.gate.open = True
    await at_work.until_totals({"a": 11})
