"""The way to the database dies without telling anybody: what was locked is free again soon, for whoever goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from tally import MIGRATIONS

from chaos.proxy import LOOPBACK, Proxy
from chaos.wire import CommitWatch
from messaging.postgres import PostgresStore
from messaging.postgres_line import IDLE_IN_TRANSACTION_S

LOCK = "SELECT total FROM tally WHERE key = 'a' FOR UPDATE"


@pytest.fixture
async def dsn(new_database: Any) -> str:
    found: str = await new_database(MIGRATIONS)
    connection = await asyncpg.connect(found)
    await connection.execute("INSERT INTO tally (key, total, version) VALUES ('a', 1, 1)")
    await connection.close()
    return found


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    """A way to that database that can be half-opened."""
    parts = urlsplit(dsn)
    folder = parse_qs(parts.query).get("host", [""])[0]
    loop = asyncio.get_running_loop()

    async def connect(protocol: Any) -> None:
        if folder:
            port = parse_qs(parts.query)["port"][0]
            await loop.create_unix_connection(protocol, f"{folder}/.s.PGSQL.{port}")
        else:
            await loop.create_connection(protocol, parts.hostname, parts.port)

    found = Proxy("test>database", CommitWatch, connect)
    await found.start()
    yield found
    found.close()


async def test_rows_that_a_batch_locked_are_free_soon_after_its_connection_went_half_open(
    dsn: str, proxy: Proxy
) -> None:
    parts = urlsplit(dsn)
    user = f"{parts.username}:{parts.password}" if parts.password else parts.username
    through = f"postgresql://{user}@{LOOPBACK}:{proxy.port}{parts.path}?sslmode=disable"
    gone, successor = PostgresStore(through, locking=True), PostgresStore(dsn, locking=True)
    held = await gone.begin()
    assert len(await held.fetch(LOCK)) == 1
    assert proxy.half_open() == 1
    began = time.monotonic()
    transaction = await successor.begin()
    async with asyncio.timeout(IDLE_IN_TRANSACTION_S + 60):
        assert len(await transaction.fetch(LOCK)) == 1
    assert time.monotonic() - began >= 1, "the lock was held"
    await successor.rollback(transaction)
    await successor.close()
    await gone.close()
