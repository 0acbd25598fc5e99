"""What the console says while somebody is away: the query APIs, Kafka, its own database. Its pages are made by the real thing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest
from console_bench import NOWHERE, Room, Seat, console_room
from waiting import until
from workbench import database_away

from messaging.version import code_version
from orderctl.transport import KafkaTransport
from services.console.store import ConsoleStore
from services.console.watch import Watch


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
    async with database_away(seat.server_dsn, seat.dsn):
        for path in ("/acts", "/orders"):
            status, text = await seat.get(path)
            assert (status, "The console's database does not answer" in text.replace("&#39;", "'")) == (503, True)
            assert 'data-again="5000"' in text, "it tries again by itself"
    assert (await seat.get("/acts"))[0] == 200


async def test_what_is_no_page_is_told_on_a_page(seat: Seat) -> None:
    status, text = await seat.get("/no-such-page")
    assert (status, "No such page" in text) == (404, True)
    status, text = await seat.get("/letters/one")
    assert (status, "The address is not complete" in text) == (400, True)


async def test_at_the_second_start_nobody_is_given_a_first_password(seat: Seat) -> None:
    async with asyncpg.create_pool(seat.dsn, min_size=0, max_size=1) as pool:
        assert await ConsoleStore(pool).first_password() is None


async def health(seat: Seat) -> tuple[int, int]:
    """What `/healthz` and `/readyz` answer."""
    return (await seat.get("/healthz"))[0], (await seat.get("/readyz"))[0]


async def becomes(room: Room, *wanted: int) -> None:
    stranger = room.stranger()

    async def so() -> bool:
        return await health(stranger) == wanted

    await until(so, f"/healthz and /readyz answer {wanted}")


async def test_a_console_around_which_everything_is_away_is_alive_and_not_ready(seat: Seat) -> None:
    assert await health(seat) == (200, 503)


async def test_a_console_is_ready_with_kafka_and_its_database_and_alive_without_them(
    server_dsn: str, kafka: str
) -> None:
    async with console_room(server_dsn, KAFKA_BOOTSTRAP_SERVERS=kafka) as room:
        await becomes(room, 200, 200)
        async with database_away(server_dsn, room.dsn):
            await becomes(room, 200, 503)
        await becomes(room, 200, 200)


@pytest.mark.parametrize("part", ["the stream", "the watch"])
async def test_a_console_in_which_nobody_looks_any_more_is_not_alive(
    server_dsn: str, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    async def dies(*_: object) -> None:
        raise RuntimeError("a bug")

    owner, name = (KafkaTransport, "listen") if part == "the stream" else (Watch, "look")
    monkeypatch.setattr(owner, name, dies)
    async with console_room(server_dsn) as room:
        await becomes(room, 503, 503)
