"""What the console says while somebody is away: the query APIs, Kafka, its own database. Its pages are made by the real thing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from console_bench import NOWHERE, Seat, console_room

from messaging.version import code_version
from services.console.store import ConsoleStore


@pytest.fixture
async def seat(server_dsn: str) -> AsyncIterator[Seat]:
    """An operator who is logged in at a console around which everything is away."""
    async with console_room(server_dsn) as room:
        yield await room.somebody("operator")


async def test_where_the_query_apis_are_away_each_page_says_so_and_how_it_goes_on(seat: Seat) -> None:
    status, text = await seat.get("/orders")
    assert (status, "cannot be reached (connection refused)" in text, "Try again" in text) == (502, True, True)
    status, text = await seat.get("/orders/O-1")
    assert (status, "The query API does not answer" in text, 'data-again="5000"' in text) == (502, True, True)
    status, text = await seat.get("/orders.csv")
    assert (status, "cannot be reached" in text) == (502, True)
    status, text = await seat.get("/start")
    assert (status, "The inventory API at" in text) == (200, True)
    status, text = await seat.get("/why/O-1")
    assert (status, "Could not ask the order: The orders API at" in text) == (200, True)


async def test_the_system_page_is_there_while_nobody_answers_and_counts_who_tells_no_progress(seat: Seat) -> None:
    async with asyncio.timeout(5):
        status, text = await seat.get("/system")
    assert status == 200
    ill = text.partition("Not well: ")[2].partition(".</p>")[0].split(", ")
    assert {"orders", "inventory", "payment", "orders-api", "recommendation-learner"} <= set(ill)
    for name in ("orders-api", "recommendation-learner"):
        assert "connection refused" in text.partition(f'id="s-{name}"')[2].partition("</section>")[0]


async def test_the_console_tells_its_code_also_while_it_is_not_ready(seat: Seat) -> None:
    for path, expected in (("/healthz", 200), ("/readyz", 503)):
        status, text = await seat.get(path)
        assert (status, json.loads(text)["version"]) == (expected, code_version("console"))


async def test_where_kafka_is_away_no_page_waits_for_it(seat: Seat) -> None:
    async with asyncio.timeout(5):
        status, text = await seat.get("/letters")
        assert (status, f"no connection to Kafka at {NOWHERE}" in text) == (502, True)
        status, text = await seat.get("/dashboard")
        assert (status, f"no connection to Kafka at {NOWHERE}" in text) == (200, True)


async def test_while_its_own_database_is_away_it_says_so_and_goes_on_when_it_is_there_again(seat: Seat) -> None:
    assert (await seat.get("/acts"))[0] == 200
    name = urlsplit(seat.dsn).path.removeprefix("/")
    admin = await asyncpg.connect(seat.server_dsn, timeout=10)
    try:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        for path in ("/acts", "/orders"):
            status, text = await seat.get(path)
            assert (status, "The console's database does not answer" in text.replace("&#39;", "'")) == (503, True)
            assert 'data-again="5000"' in text, "it tries again by itself"
    finally:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await admin.close()
    assert (await seat.get("/acts"))[0] == 200


async def test_what_is_no_page_is_told_on_a_page(seat: Seat) -> None:
    status, text = await seat.get("/no-such-page")
    assert (status, "No such page" in text) == (404, True)
    status, text = await seat.get("/letters/one")
    assert (status, "The address is not complete" in text) == (400, True)


async def test_at_the_second_start_nobody_is_given_a_first_password(seat: Seat) -> None:
    async with asyncpg.create_pool(seat.dsn, min_size=0, max_size=1) as pool:
        assert await ConsoleStore(pool).first_password() is None
