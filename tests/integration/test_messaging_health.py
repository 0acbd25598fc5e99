"""What `/healthz` says of a process whose messages do not move: a reader that lives and receives nothing, again and again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tally import MIGRATIONS
from tally_hosts import Fleet, new_fleet
from tally_process import hear_nothing
from tally_real import real_world
from tally_world import PARTITIONS
from waiting import until
from workbench import free_port

from messaging import host as host_module
from messaging.host import STALLS_MOST
from messaging.kafka import GroupReader
from messaging.partitioner import partition_of

HEALTHCHECK = Path(__file__).resolve().parents[2] / "deploy" / "healthcheck.py"
KEY = next(key for n in range(200) if partition_of(key := f"k{n}", PARTITIONS) == 0)


@pytest.fixture
async def fleet(kafka: str, new_database: Any) -> AsyncIterator[Fleet]:
    dsn = await new_database(MIGRATIONS)
    async with real_world(kafka, dsn, locking=False) as world, new_fleet(world, kafka, dsn) as found:
        yield found


async def test_a_host_whose_readers_receive_nothing_three_times_is_not_alive_until_a_message_moves(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_module, "LOOK_EVERY_S", 0.2)
    with monkeypatch.context() as deaf:
        deaf.setattr(GroupReader, "pump", hear_nothing)
        running = fleet.host(WATCHDOG_S="1")
        await fleet.add(KEY)
        seen: list[tuple[float, bool]] = []

        async def given_up() -> bool:
            seen.append((running.happened("rebuilt"), running.host.alive))
            return seen[-1][0] > STALLS_MOST

        await until(given_up, "it was rebuilt once more than that")
        # Neither sooner, nor is it forgotten while the next session begins: who asks every 10 s would never see it.
        assert {alive for rebuilt, alive in seen if rebuilt < STALLS_MOST - 1} == {True}
        assert {alive for rebuilt, alive in seen if rebuilt >= STALLS_MOST} == {False}
        assert await fleet.totals() == {}
    await fleet.until_totals({KEY: 1})
    await until(lambda: running.host.alive, "a message has moved")


async def test_the_process_answers_503_and_its_container_is_not_healthy(fleet: Fleet) -> None:
    port = free_port()
    process = await fleet.process(TALLY_DEAF="1", WATCHDOG_S="1", HTTP_PORT=str(port))

    async def status(path: str) -> int:
        async with aiohttp.ClientSession() as web:
            try:
                async with web.get(f"http://127.0.0.1:{port}{path}") as answer:
                    return answer.status
            except aiohttp.ClientError:
                return 0

    await until(lambda: _is(status("/readyz"), 200), "it is ready")
    assert await status("/healthz") == 200
    await fleet.add(KEY)
    await until(lambda: _is(status("/healthz"), 503), "it says that nothing moves")
    assert process.returncode is None
    check = await asyncio.create_subprocess_exec(sys.executable, str(HEALTHCHECK), env={"HTTP_PORT": str(port)})
    assert await asyncio.wait_for(check.wait(), 30) == 1


async def _is(answer: Awaitable[int], wanted: int) -> bool:
    return await answer == wanted
