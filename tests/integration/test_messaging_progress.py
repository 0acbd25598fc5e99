"""What a process tells of itself at /progress, on real Kafka and PostgreSQL: also, and above all, when something is wrong."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from tally import MIGRATIONS, TOPICS
from tally_hosts import SCRIPT, Fleet, new_fleet
from tally_process import Asker
from tally_real import real_world
from tally_world import PARTITIONS
from waiting import until

from contracts.topics import INVENTORY_COMMANDS
from devstack.ports import free_offset
from messaging.partitioner import partition_of

KEY = "a"
PARTITION = partition_of(KEY, PARTITIONS)
REFUSE_FOR_NOW = """
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'the disk is full'; end $$;
create trigger refuse before insert or update on tally for each row execute function refuse();
"""


@pytest.fixture
async def fleet(kafka: str, new_database: Any) -> AsyncIterator[Fleet]:
    dsn = await new_database(MIGRATIONS)
    async with real_world(kafka, dsn, locking=False) as world, new_fleet(world, kafka, dsn) as found:
        yield found


async def look(fleet: Fleet, partition: int = PARTITION) -> dict[str, Any]:
    """What the first host tells of the partition; empty while it does not own it."""
    told = await fleet.hosts[0].host.progress()
    return next((found for found in told if found["partition"] == partition), {})


async def until_seen(fleet: Fleet, fact: Any, what: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    async def holds() -> bool:
        seen.update(await look(fleet))
        return bool(seen) and bool(fact(seen))

    await until(holds, what)
    return seen


async def test_who_wants_nobody_asked_is_told_the_ends_of_the_last_look(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = fleet.host()
    seen = await until_seen(fleet, lambda told: told["ready"] and told["ends_at"], "it works, and has asked")

    async def asked(partitions: Any) -> Any:
        raise AssertionError(f"the broker was asked about {partitions}")

    assert running.host._reader is not None
    monkeypatch.setattr(running.host._reader, "all_ends", asked)
    told = await running.host.progress(ask=False)
    (known,) = [one for one in told if one["partition"] == PARTITION]
    assert (known["ends"], known["ends_at"]) == (seen["ends"], seen["ends_at"])
    monkeypatch.undo()


async def test_a_partition_that_works_tells_where_it_stands_and_that_nothing_waits(fleet: Fleet) -> None:
    fleet.host()
    began = datetime.now(UTC)
    await fleet.add(KEY)
    await fleet.until_totals({KEY: 1})
    seen = await until_seen(fleet, lambda p: p["lag"] == 0 and p["outbox"]["waiting"] == 0, "all is read and told")
    assert seen["offsets"][INVENTORY_COMMANDS] == seen["ends"][INVENTORY_COMMANDS]
    assert set(seen["offsets"]) == set(TOPICS)
    assert (seen["ready"], seen["failing"], seen["last_error"], seen["epoch"]) == (True, False, None, 1)
    assert seen["last_progress_at"] > began
    assert seen["timers"] == {"next_due_at": None, "overdue": False}
    assert (seen["outbox"]["oldest_at"], seen["parked"]) == (None, 0)


async def test_a_record_that_the_database_refuses_for_now_shows_as_an_offset_that_stands_and_the_last_error(
    fleet: Fleet,
) -> None:
    fleet.host()
    await until_seen(fleet, lambda p: p["ready"], "ready")
    await fleet.world.execute(REFUSE_FOR_NOW)
    before = (await look(fleet))["offsets"][INVENTORY_COMMANDS]
    await fleet.add(KEY)
    await fleet.add(KEY)
    # It tries again and again, and in between it looks as if nothing were wrong: the error stays told.
    seen = await until_seen(fleet, lambda p: p["last_error"] and p["lag"] == 2, "the error is told, and what waits")
    assert "the disk is full" in seen["last_error"]["text"]
    assert seen["offsets"][INVENTORY_COMMANDS] == before
    await fleet.world.execute("drop trigger refuse on tally")
    seen = await until_seen(fleet, lambda p: p["lag"] == 0, "it goes on")
    assert seen["last_progress_at"] > seen["last_error"]["at"]


async def test_a_locked_table_shows_as_a_turn_that_does_not_end(fleet: Fleet) -> None:
    fleet.host()
    await until_seen(fleet, lambda p: p["ready"], "ready")
    await fleet.world.execute("begin")
    await fleet.world.execute("lock table tally in access exclusive mode")
    await fleet.add(KEY)
    seen = await until_seen(
        fleet,
        lambda p: p["busy_since"] and datetime.now(UTC) - p["busy_since"] > timedelta(seconds=1.5),
        "the turn goes on and on",
    )
    assert seen["ready"]
    await fleet.world.execute("rollback")
    await fleet.until_totals({KEY: 1})


async def test_a_timer_to_come_and_an_effect_under_way_are_told(fleet: Fleet) -> None:
    fleet.host(asker=Asker(60))
    due = datetime.now(UTC) + timedelta(hours=1)
    await fleet.add(KEY, 1, f"timer=t@{due.isoformat()} effect=e1")
    seen = await until_seen(fleet, lambda p: p["effects_under_way"] == 1, "the effect is under way")
    assert seen["timers"] == {"next_due_at": due, "overdue": False}


async def test_only_what_a_process_owns_is_told(fleet: Fleet) -> None:
    fleet.host()
    await until_seen(fleet, lambda p: p["ready"], "ready")
    told = await fleet.hosts[0].host.progress()
    assert [found["partition"] for found in told] == list(range(PARTITIONS))
    await fleet.hosts[0].stop()
    assert await fleet.hosts[0].host.progress() == []


@asynccontextmanager
async def process(**environment: str) -> AsyncIterator[str]:
    """A tally of its own with this environment; where it answers."""
    port = str(free_offset() + 8002)
    env = {
        **os.environ,
        "HTTP_PORT": port,
        "IDENTITY": "tally-alone",
        "ORDER_TASK_QUEUE": f"alone-{port}",
        **environment,
    }
    running = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), env=env)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.kill()
        await running.wait()


async def ask(url: str, fact: Any, what: str) -> dict[str, Any]:
    """What `/progress` says, once the fact holds of it."""
    seen: dict[str, Any] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:

        async def holds() -> bool:
            try:
                async with session.get(f"{url}/progress") as response:
                    assert response.status == 200
                    seen.clear()
                    seen.update(await response.json())
            except aiohttp.ClientConnectionError:
                return False  # it has not come up yet
            return bool(fact(seen))

        await until(holds, what)
    return seen


async def test_a_process_without_its_database_answers_and_says_so(kafka: str) -> None:
    nowhere = "postgresql://inventory@127.0.0.1:1/inventory"
    async with process(KAFKA_BOOTSTRAP_SERVERS=kafka, INVENTORY_DATABASE_URL=nowhere) as url:
        seen = await ask(url, lambda p: p["last_error"], "the error is told")
    assert (seen["phase"], seen["ready"], seen["partitions"]) == ("starting", False, [])
    assert seen["last_error"]["text"].startswith("the database is not there yet")


async def test_a_process_without_its_broker_answers_and_names_it(new_database: Any) -> None:
    dsn = await new_database(MIGRATIONS)
    async with process(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", INVENTORY_DATABASE_URL=dsn) as url:
        seen = await ask(url, lambda p: p["last_error"], "the error is told")
    assert (seen["phase"], seen["bootstrap_servers"]) == ("joining", "127.0.0.1:1")
    assert seen["last_error"]["text"].startswith("no session with the broker")
    assert (seen["service"], seen["identity"]) == ("inventory", "tally-alone")
    assert seen["group"].endswith(".inventory")


async def test_a_process_that_works_answers_for_all_its_partitions(kafka: str, new_database: Any) -> None:
    dsn = await new_database(MIGRATIONS)
    # A fleet has the database begin where the topics end now: what other tests left there may be poison.
    async with (
        real_world(kafka, dsn, locking=False) as world,
        new_fleet(world, kafka, dsn),
        process(KAFKA_BOOTSTRAP_SERVERS=kafka, INVENTORY_DATABASE_URL=dsn) as url,
    ):
        seen = await ask(url, lambda p: p["ready"], "ready")
    assert (seen["phase"], seen["last_error"], seen["topic_partitions"]) == ("working", None, PARTITIONS)
    assert [found["partition"] for found in seen["partitions"]] == list(range(PARTITIONS))
