"""The console as it runs, with a database of its own and everybody else away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import aiohttp
import asyncpg
import uvicorn
from waiting import until
from workbench import fresh_database

from services.console.access import COOKIE, POLICY
from services.console.act_store import ActStore
from services.console.app import HERE, make_app
from services.console.domain import Role
from services.console.settings import load_settings
from services.console.store import ConsoleStore

#: Nobody listens there.
NOWHERE: Final = "127.0.0.1:9"
PASSWORD: Final = "correct-horse-battery"
_APIS: Final = ("ORDERS", "INVENTORY", "PAYMENT")


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody at a browser. `origin`: whose page the forms come from."""

    web: aiohttp.ClientSession
    store: ConsoleStore
    dsn: str
    server_dsn: str
    origin: str
    token: str = ""
    csrf: str = ""

    async def get(self, path: str) -> tuple[int, str]:
        async with self.web.get(path, allow_redirects=False) as answer:
            assert answer.headers["Content-Security-Policy"] == POLICY
            return answer.status, await answer.text()

    async def post(self, path: str, form: Mapping[str, str], **headers: str) -> aiohttp.ClientResponse:
        said = {"Origin": self.origin, **headers}
        async with self.web.post(path, data={"csrf": self.csrf, **form}, headers=said, allow_redirects=False) as answer:
            await answer.read()
            return answer

    async def send(self, path: str, form: Mapping[str, str]) -> tuple[int, str]:
        """A form, and the page that its answer leads on to."""
        answer = await self.post(path, form)
        assert answer.status == 303, "no form is answered by a page that Back would have to ask for by sending it again"
        return await self.get(answer.headers["Location"])


@dataclass(frozen=True, slots=True)
class Room:
    """A console that runs, at which anybody may sit down."""

    base: str
    store: ConsoleStore
    acts: ActStore
    dsn: str
    server_dsn: str
    origin: str
    _open: list[aiohttp.ClientSession] = field(default_factory=list)

    def stranger(self) -> Seat:
        """Who is not logged in."""
        return self._seat()

    def holding(self, cookie: str) -> Seat:
        """Who was given this cookie (`name=value`)."""
        return self._seat(cookie.partition("=")[2])

    async def somebody(self, role: Role, name: str = "somebody") -> Seat:
        """Who is logged in, by an account of that role."""
        now = datetime.now(UTC)
        await self.store.put_account(name, role)
        await self.store.set_password(name, PASSWORD)
        token = await self.store.open_session(name, now, 1)
        person = await self.store.person(token, now)
        assert person is not None
        return self._seat(token, person.csrf)

    def _seat(self, token: str = "", csrf: str = "") -> Seat:
        # No jar: a test says which cookie is sent, and reads what is set.
        headers = {"Cookie": f"{COOKIE}={token}"} if token else {}
        web = aiohttp.ClientSession(self.base, cookie_jar=aiohttp.DummyCookieJar(), headers=headers)
        self._open.append(web)
        return Seat(web, self.store, self.dsn, self.server_dsn, self.origin, token, csrf)

    async def close(self) -> None:
        for web in self._open:
            await web.close()


@asynccontextmanager
async def served(env: Mapping[str, str]) -> AsyncIterator[str]:
    """The console's process, in this one; where it listens."""
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


@asynccontextmanager
async def console_room(server_dsn: str, **more: str) -> AsyncIterator[Room]:
    """`more`: settings that differ."""
    async with fresh_database(server_dsn, HERE / "migrations") as dsn:
        away = {f"{name}_{what}": f"http://{NOWHERE}" for name in _APIS for what in ("API_URL", "PROCESS_URLS")}
        env = {
            "CONSOLE_DATABASE_URL": dsn,
            "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
            "WATCHER_URL": f"http://{NOWHERE}",
            "RECOMMENDATION_LEARNER_URL": f"http://{NOWHERE}",
            **away,
            **more,
        }
        async with served(env) as base, asyncpg.create_pool(dsn, min_size=0, max_size=1) as pool:
            room = Room(base, ConsoleStore(pool), ActStore(pool), dsn, server_dsn, more.get("CONSOLE_ORIGIN", base))
            try:
                yield room
            finally:
                await room.close()
