"""What the partitions of a process ask beside their batches: over one connection, whatever becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from tally import MIGRATIONS

from messaging.errors import PermanentStoreError, TransientStoreError
from messaging.postgres import PostgresStores
from messaging.postgres_line import Line

NewDatabase = Callable[[Path], Awaitable[str]]


async def connections(dsn: str) -> int:
    admin = await asyncpg.connect(dsn)
    try:
        found: int = await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'messaging'"
        )
        return found
    finally:
        await admin.close()


async def backend(line: Line) -> int:
    async with line.turn() as connection:
        found: int = await connection.fetchval("SELECT pg_backend_pid()")
        return found


async def asking_for_long(line: Line) -> asyncio.Task[None]:
    """Somebody whose turn it is, and whose question the server does not answer by itself."""
    asking = asyncio.Event()

    async def ask() -> None:
        async with line.turn() as connection:
            asking.set()
            await connection.execute("SELECT pg_sleep(600)")

    task = asyncio.create_task(ask())
    await asking.wait()
    return task


async def test_four_partitions_ask_over_one_connection_and_a_batch_has_its_own(new_database: NewDatabase) -> None:
    dsn = await new_database(MIGRATIONS)
    stores = PostgresStores(lambda _: dsn, locking=False)
    mine = [stores.of(partition) for partition in range(4)]
    owned = await asyncio.gather(*(store.take_over(n, "me", ["topic"]) for n, store in enumerate(mine)))
    assert [one.epoch for one in owned] == [1, 1, 1, 1]
    assert await connections(dsn) == 1
    await mine[2].begin()
    assert await connections(dsn) == 2
    await mine[2].close()  # the others' is none of its business
    assert [one.epoch for one in await asyncio.gather(*(mine[n].reload(n, 1) for n in range(4)))] == [1, 1, 1, 1]
    stores.close()


async def test_one_who_was_not_waited_for_leaves_the_next_a_connection_that_is_not_busy(
    new_database: NewDatabase,
) -> None:
    line = Line(await new_database(MIGRATIONS))
    first = await backend(line)
    task = await asking_for_long(line)
    waiting = asyncio.create_task(backend(line))
    task.cancel()
    assert await waiting != first
    line.terminate()


async def test_what_the_server_refuses_costs_nobody_the_connection(new_database: NewDatabase) -> None:
    line = Line(await new_database(MIGRATIONS))
    first = await backend(line)
    with pytest.raises(PermanentStoreError):
        async with line.turn() as connection:
            await connection.fetchval("SELECT 1 / 0")
    assert await backend(line) == first
    line.terminate()


async def test_a_connection_that_the_server_ended_is_one_error_and_then_another_connection(
    new_database: NewDatabase,
) -> None:
    dsn = await new_database(MIGRATIONS)
    line, admin = Line(dsn), await asyncpg.connect(dsn)
    first = await backend(line)
    task = await asking_for_long(line)
    while not task.done():
        await admin.execute("SELECT pg_terminate_backend($1)", first)
    with pytest.raises(TransientStoreError):
        await task
    assert await backend(line) != first
    await admin.close()
    line.terminate()
