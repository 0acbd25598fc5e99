"""A PostgreSQL that runs already, for whoever runs the same tests again and again."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import asyncpg

#: A superuser's way into its maintenance database. Tests that crash what they use never use it.
VARIABLE: Final = "TEST_POSTGRES_URL"


def given_postgres() -> str | None:
    """Where it is, if there is one."""
    return os.environ.get(VARIABLE)


def without_fsync(dsn: str) -> None:
    """Have a server of the tests' own leave the writing to the operating system: a database per test is made and dropped in a third
    of the time. They kill processes, never the machine, and so nothing is lost that they could miss."""
    # In a thread: the test that asks first may have its event loop running.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _without_fsync(dsn)).result()


async def _without_fsync(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("alter system set fsync = off")
        await connection.execute("alter system set full_page_writes = off")
        await connection.execute("select pg_reload_conf()")
    finally:
        await connection.close()
