"""The orders API as a process, with its database away: from the start, and later."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from waiting import until
from workbench import database_away, free_port, fresh_database

from services.orders.app import MIGRATIONS


@dataclass(frozen=True, slots=True)
class Api:
    """Where it listens, and its log."""

    port: int
    log: Path

    async def status(self, path: str) -> int:
        """0: nobody answers."""
        async with aiohttp.ClientSession() as web:
            try:
                async with web.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                    return answer.status
            except aiohttp.ClientError:
                return 0

    async def health(self) -> tuple[int, int, int]:
        """Alive, ready, and what a query is answered."""
        return await self.status("/healthz"), await self.status("/readyz"), await self.status("/orders")

    async def becomes(self, *wanted: int) -> None:
        async def so() -> bool:
            return await self.health() == wanted

        await until(so, lambda: f"{wanted}; {self.log.read_text()}")


@asynccontextmanager
async def api(dsn: str, folder: Path) -> AsyncIterator[Api]:
    found = Api(free_port(), folder / "api.log")
    env = {**os.environ, "ORDERS_DATABASE_URL": dsn, "HTTP_PORT": str(found.port)}
    with found.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.orders.api", env=env, stdout=log, stderr=log
        )
    try:
        yield found
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_while_its_database_is_away_it_is_alive_and_not_ready(server_dsn: str, tmp_path: Path) -> None:
    async with fresh_database(server_dsn, MIGRATIONS) as dsn, api(dsn, tmp_path) as running:
        await running.becomes(200, 200, 200)
        async with database_away(server_dsn, dsn):
            assert await running.health() == (200, 503, 503)
        await running.becomes(200, 200, 200)


async def test_while_its_database_was_never_there_it_is_alive_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    async with api("postgresql://nobody@127.0.0.1:9/orders", tmp_path) as early:
        await early.becomes(200, 503, 503)
