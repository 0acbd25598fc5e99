"""What several partitions of a process have to do at once is one transaction; the trouble of one stays its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from faults import Faulty
from tally import SERVICE, TOPICS
from tally_world import PARTITIONS, Process, Sender, Totals, World

from contracts.topics import INVENTORY_COMMANDS, dead_letter_topic
from messaging.errors import FenceLostError, TransientStoreError
from messaging.meters import Meters
from messaging.together import Together
from messaging.worker import PartitionWorker


class Counted(Faulty):
    """A store that counts its transactions."""

    def __init__(self, store: Any) -> None:
        super().__init__(store, "")
        self.begun = 0

    def fail(self, when: str) -> None:
        """At the next commit, before or after it."""
        self._when = when

    async def begin(self) -> Any:
        self.begun += 1
        return await super().begin()


class Company:
    """A process that owns all partitions."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = Counted(world.store())
        handler = world.handler()
        self.together = Together(handler, self.store, Meters(SERVICE))
        self.processes = [Process(world, partition) for partition in range(PARTITIONS)]
        for process in self.processes:
            process.worker = PartitionWorker(
                handler, process.store, process.partition, PARTITIONS, "me", process.meters, together=self.together
            )
        self.senders = [Sender(world, partition) for partition in range(PARTITIONS)]
        self.keys = [sender.keys[0] for sender in self.senders]

    async def add(self, words: str = "add") -> None:
        """A message on every partition."""
        for sender, key in zip(self.senders, self.keys, strict=True):
            await sender.add(key, words=words)

    async def work(self) -> list[int | BaseException]:
        """Read everything, and let all partitions work at once; what each handled."""
        for process in self.processes:
            await process.fetch(TOPICS)
        steps = [process.worker.step(datetime.now(UTC), None) for process in self.processes]
        done = await asyncio.gather(*steps, return_exceptions=True)
        for process in self.processes:
            await process.worker.publish(process.publisher)
        return done

    def totals(self, found: dict[str, int]) -> list[int]:
        """By partition."""
        return [found.get(key, 0) for key in self.keys]


@pytest.fixture
async def company(world: World) -> AsyncIterator[Company]:
    made = Company(world)
    for process in made.processes:
        await process.take_over()
    yield made
    await made.together.close()


async def test_the_batches_of_all_partitions_are_one_transaction(company: Company, world: World) -> None:
    for n in range(1, 4):
        await company.add()
        assert await company.work() == [1] * PARTITIONS
        assert company.store.begun == n
    assert company.totals(await Totals(world)()) == [3] * PARTITIONS
    for process, sender in zip(company.processes, company.senders, strict=True):
        assert [line.split(" -> ")[1] for line in await sender.said()] == ["1", "2", "3"]
        offsets = dict(process.worker.offsets)
        await process.worker.reload()
        assert process.worker.offsets == offsets


async def test_who_has_lost_a_partition_loses_that_one_alone(company: Company, world: World) -> None:
    heir = Process(world, 0)
    await heir.take_over()
    await company.add()
    lost, *others = await company.work()
    assert isinstance(lost, FenceLostError)
    assert others == [1] * (PARTITIONS - 1)
    assert company.totals(await Totals(world)()) == [0] + [1] * (PARTITIONS - 1)
    await heir.work()
    assert company.totals(await Totals(world)()) == [1] * PARTITIONS


async def test_what_the_database_refuses_is_set_aside_and_nothing_else(company: Company, world: World) -> None:
    await company.senders[1].add(company.keys[1], words="refuse")
    await company.add()
    assert await company.work() == [1, 2] + [1] * (PARTITIONS - 2)
    assert company.totals(await Totals(world)()) == [1, 0] + [1] * (PARTITIONS - 2), "its key waits"
    letters = [await world.read(dead_letter_topic(INVENTORY_COMMANDS, "inventory"), p) for p in range(PARTITIONS)]
    assert [len(found) for found in letters] == [0, 1] + [0] * (PARTITIONS - 2)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_commit_of_which_nothing_is_heard_is_looked_up_by_each_and_done_once(
    company: Company, world: World, when: str
) -> None:
    await company.add()
    company.store.fail(when)
    assert [type(error) for error in await company.work()] == [TransientStoreError] * PARTITIONS
    for process in company.processes:
        await process.worker.reload()
    await company.work()
    assert company.totals(await Totals(world)()) == [1] * PARTITIONS
    assert [len(await sender.said()) for sender in company.senders] == [1] * PARTITIONS


async def test_who_is_gone_before_his_turn_holds_up_nobody(company: Company, world: World) -> None:
    await company.add()
    for process in company.processes:
        await process.fetch(TOPICS)
    steps = [asyncio.create_task(p.worker.step(datetime.now(UTC), None)) for p in company.processes]
    await asyncio.sleep(0)
    steps[0].cancel()
    done = await asyncio.gather(*steps, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1:] == [1] * (PARTITIONS - 1)
