"""What the console says while somebody is away: the query APIs, Kafka, its own database. Its pages are made by the real thing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import asyncpg
import pytest
import uvicorn
from waiting import until
from workbench import database_away, fresh_database

from orderctl.transport import KafkaTransport
from services.console.access import COOKIE, POLICY
from services.console.app import HERE, make_app
from services.console.settings import load_settings
from services.console.store import ConsoleStore
from services.console.watch import Watch

#: Nobody listens there.
NOWHERE = "127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Seat:
    """An operator who is logged in at a console around which everything is away."""

    web: aiohttp.ClientSession
    dsn: str
    server_dsn: str

    async def get(self, path: str) -> tuple[int, str]:
        async with self.web.get(path, allow_redirects=False) as answer:
            assert answer.headers["Content-Security-Policy"] == POLICY
            return answer.status, await answer.text()


@asynccontextmanager
async def served(env: dict[str, str]) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(make_app(load_settings(env)), port=0, log_config=None, ws="none"))
    running = asyncio.create_task(server.serve())
    try:

        async def listens() -> bool:
            assert not running.done(), "it ended"
            return server.started

        await until(listens, "the console listens")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@pytest.fixture
async def seat(server_dsn: str) -> AsyncIterator[Seat]:
    async with fresh_database(server_dsn, HERE / "migrations") as dsn:
        away = {f"{name}_API_URL": f"http://{NOWHERE}" for name in ("ORDERS", "INVENTORY", "PAYMENT")}
        processes = {f"{name}_PROCESS_URLS": f"http://{NOWHERE}" for name in ("ORDERS", "INVENTORY", "PAYMENT")}
        env = {
            "CONSOLE_DATABASE_URL": dsn,
            "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
            "WATCHER_URL": f"http://{NOWHERE}",
            **away,
            **processes,
        }
        async with served(env) as base, asyncpg.create_pool(dsn, min_size=0, max_size=1) as pool:
            store = ConsoleStore(pool)
            await store.put_account("somebody", "operator")
            await store.set_password("somebody", "correct-horse-battery")
            token = await store.open_session("somebody", datetime.now(UTC), 1)
            async with aiohttp.ClientSession(base, cookies={COOKIE: token}) as web:
                yield Seat(web, dsn, server_dsn)


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


async def health(web: aiohttp.ClientSession) -> tuple[int, int]:
    """What `/healthz` and `/readyz` answer."""
    found = []
    for path in ("/healthz", "/readyz"):
        async with web.get(path) as answer:
            found.append(answer.status)
    return found[0], found[1]


async def test_a_console_around_which_everything_is_away_is_alive_and_not_ready(seat: Seat) -> None:
    assert await health(seat.web) == (200, 503)


async def test_a_console_is_ready_with_kafka_and_its_database_and_alive_without_them(
    server_dsn: str, kafka: str
) -> None:
    async with fresh_database(server_dsn, HERE / "migrations") as dsn:
        env = {"CONSOLE_DATABASE_URL": dsn, "KAFKA_BOOTSTRAP_SERVERS": kafka, "WATCHER_URL": f"http://{NOWHERE}"}
        async with served(env) as base, aiohttp.ClientSession(base) as web:

            async def becomes(wanted: tuple[int, int]) -> None:
                async def so() -> bool:
                    return await health(web) == wanted

                await until(so, f"/healthz and /readyz answer {wanted}")

            await becomes((200, 200))
            async with database_away(server_dsn, dsn):
                assert await health(web) == (200, 503)
            await becomes((200, 200))


@pytest.mark.parametrize("part", ["the stream", "the watch"])
async def test_a_console_in_which_nobody_looks_any_more_is_not_alive(
    server_dsn: str, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    async def dies(*_: object) -> None:
        raise RuntimeError("a bug")

    owner, name = (KafkaTransport, "listen") if part == "the stream" else (Watch, "look")
    monkeypatch.setattr(owner, name, dies)
    async with fresh_database(server_dsn, HERE / "migrations") as dsn:
        env = {"CONSOLE_DATABASE_URL": dsn, "KAFKA_BOOTSTRAP_SERVERS": NOWHERE, "WATCHER_URL": f"http://{NOWHERE}"}
        async with served(env) as base, aiohttp.ClientSession(base) as web:

            async def dead() -> bool:
                return await health(web) == (503, 503)

            await until(dead, "it says so")
