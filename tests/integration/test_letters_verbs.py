"""`orderctl dlq` as a process of its own against a real broker, and a host whose code is broken and mended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from tally import MIGRATIONS
from tally_hosts import Fleet, new_fleet
from tally_real import RealWorld, real_world
from tally_world import PARTITIONS
from waiting import until

from contracts.letters import Letter
from contracts.topics import INVENTORY_COMMANDS, dead_letter_topic
from messaging.http import make_app, serve
from messaging.lane_queries import lane_routes
from messaging.meters import Meters
from messaging.partitioner import partition_of

ME = ("--operator", "m.brown", "--reason", "ticket 4711")
#: One key on each of two partitions.
A, B = (next(k for n in range(200) if partition_of(k := f"k{n}", PARTITIONS) == p) for p in (1, 2))


@pytest.fixture
async def fleet(kafka: str, new_database: Any) -> AsyncIterator[Fleet]:
    dsn = await new_database(MIGRATIONS)
    async with real_world(kafka, dsn, locking=False) as world, new_fleet(world, kafka, dsn) as found:
        yield found


@pytest.fixture
async def lanes_url(fleet: Fleet) -> AsyncIterator[str]:
    """Where a process of the service tells its lanes."""

    async def ready() -> bool:
        return True

    app = make_app(lane_routes(fleet.settings().database_urls), Meters("inventory").registry, ready, lambda: True, {})
    runner = await serve(app, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def orderctl(fleet: Fleet, *arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    """Its exit code and the JSON lines on its stdout."""
    env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": fleet.settings().bootstrap_servers, **environment}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orderctl", *arguments, "--json"),
        cwd=Path(__file__).parents[2],
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, [json.loads(line) for line in out.splitlines()]


async def letters(world: RealWorld, partition: int) -> list[str]:
    """The names of the letters that this test has on a partition."""
    found = await world.read(dead_letter_topic(INVENTORY_COMMANDS, "inventory"), partition)
    offsets = [dict(record.headers)["dlq-offset"] or b"" for record in found]
    return [str(Letter("inventory", INVENTORY_COMMANDS, partition, int(offset))) for offset in offsets]


async def a_broken_host(fleet: Fleet) -> tuple[str, str]:
    """`A` and `B` fail with two and one behind them. Returns the names of their letters."""
    running = fleet.host()
    running.handler.broken = True
    for key, delta, words in ((A, 1, "fragile"), (B, 1, "fragile"), (A, 10, "add"), (B, 10, "add"), (A, 100, "add")):
        await fleet.add(key, delta, words)

    async def parked() -> bool:
        rows = await fleet.world.fetch("select 1 from parked")
        return len(rows) == 5 and all([len(await letters(fleet.world, p)) == 1 for p in (1, 2)])

    await until(parked, "five records parked, two of them letters")
    return (await letters(fleet.world, 1))[0], (await letters(fleet.world, 2))[0]


async def test_letters_are_listed_shown_replayed_once_and_discarded(fleet: Fleet, lanes_url: str) -> None:
    first, second = await a_broken_host(fleet)
    told = {"INVENTORY_PROCESS_URLS": lanes_url}
    _, (listed,) = await orderctl(fleet, "dlq", "list", "--service", "inventory", "--limit", "1000", **told)
    behind = {item["letter"]: item["waiting"] for item in listed["items"] if item["letter"] in (first, second)}
    assert behind == {first: 2, second: 1}
    assert "inventory" not in listed["missing"]
    assert "payment" in listed["missing"], "no such process runs here"
    _, (shown,) = await orderctl(fleet, "dlq", "show", first, **told)
    assert (shown["key"], shown["state"], shown["lane"], shown["error"]) == (A, "open", A, "ValueError")
    assert json.loads(bytes.fromhex(shown["value_hex"]))["data"]["reason"] == "fragile"

    code, (failed,) = await orderctl(fleet, "dlq", "replay", first, *ME)
    assert (code, failed["outcome"], failed["waiting"]) == (5, "failed", 2)
    fleet.hosts[0].handler.broken = False
    code, (done,) = await orderctl(fleet, "dlq", "replay", first, *ME)
    assert (code, done["outcome"]) == (0, "handled")
    end = await fleet.world.end(INVENTORY_COMMANDS, 1)
    code, (again,) = await orderctl(fleet, "dlq", "replay", first, *ME)
    assert (code, again["outcome"]) == (0, "skipped")
    assert await fleet.world.end(INVENTORY_COMMANDS, 1) == end, "nothing was sent a second time"
    code, (gone,) = await orderctl(fleet, "dlq", "discard", second, *ME)
    assert (code, gone["outcome"], gone["waiting"]) == (0, "discarded", 1)
    await fleet.until_totals({A: 111, B: 10})
    assert [line.split()[1] for line in await fleet.said(A)] == ["m1", "m3", "m5"]
    rows = await fleet.world.fetch("select outcome, operator, reason from letter_done order by outcome")
    assert [tuple(row) for row in rows] == [
        ("discarded", "m.brown", "ticket 4711"),
        ("handled", "m.brown", "ticket 4711"),
    ]
    _, (listed,) = await orderctl(fleet, "dlq", "list", "--key", A, "--state", "replayed", "--limit", "1000")
    assert first in [item["letter"] for item in listed["items"]]


async def test_two_operators_who_replay_at_once_have_it_handled_once(fleet: Fleet) -> None:
    first, second = await a_broken_host(fleet)
    fleet.hosts[0].handler.broken = False
    runs = await asyncio.gather(*(orderctl(fleet, "dlq", "replay", first, second, *ME, "--again") for _ in range(3)))
    assert 0 in {code for code, _ in runs}
    await fleet.until_totals({A: 111, B: 11})


async def test_lanes_survive_a_change_of_owner_and_are_drained_by_the_new_one(fleet: Fleet) -> None:
    first, second = await a_broken_host(fleet)
    await fleet.hosts[0].host.stop()
    other = fleet.host()
    other.handler.broken = False
    await fleet.add(A, 1000)
    code, _ = await orderctl(fleet, "dlq", "replay", first, second, *ME)
    assert code == 0
    await fleet.until_totals({A: 1111, B: 11})


async def test_lanes_are_told_page_by_page(fleet: Fleet, lanes_url: str) -> None:
    await a_broken_host(fleet)
    async with ClientSession() as session:

        async def get(query: str) -> Any:
            async with session.get(f"{lanes_url}/lanes{query}") as response:
                return response.status, await response.json(content_type=None)

        _, page = await get("?limit=1")
        _, rest = await get(f"?limit=1&after={page['next']}")
        assert [lane["key"] for lane in page["items"] + rest["items"]] == sorted([A, B])
        assert rest["next"] is None
        _, one = await get(f"?key={A}")
        assert (one["items"][0]["waiting"], one["items"][0]["held"]) == (2, True)
        assert one["items"][0]["head"]["error"] == "ValueError"
        assert await get("?key=nobody") == (200, {"items": [], "next": None})
        assert (await get("?kye=x"))[0] == 400
