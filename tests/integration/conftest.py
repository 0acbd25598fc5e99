"""Fixtures for tests against the real broker and database."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from access_bench import broker, databases  # noqa: F401 - fixtures
from access_fleet import fleet  # noqa: F401 - a fixture
from backends import Backends
from tally import MIGRATIONS
from tally_real import real_world
from tally_world import MemoryWorld, World
from workbench import server_dsn  # noqa: F401 - a fixture

from contracts.topics import DEFAULT_PARTITIONS
from devstack.topics import ensure_topics
from messaging.migrate import migrate

NewDatabase = Callable[[Path], Awaitable[str]]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def kafka(backends: Backends) -> str:
    """The broker's address; all topics of the contracts are there."""
    # In a thread: the test that asks first may have its event loop running.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, ensure_topics(backends.bootstrap, DEFAULT_PARTITIONS)).result()
    return backends.bootstrap


@pytest.fixture(scope="session")
def templates() -> dict[Path, str]:
    """Migrated databases to copy from, by their migrations."""
    return {}


@pytest.fixture
async def new_database(backends: Backends, templates: dict[Path, str]) -> AsyncIterator[NewDatabase]:
    """Makes fresh migrated databases, as copies of one that was migrated once; they are dropped at the end."""
    async with _databases(backends, templates) as make:
        yield make


@asynccontextmanager
async def _databases(backends: Backends, templates: dict[Path, str]) -> AsyncIterator[NewDatabase]:
    admin = await asyncpg.connect(backends.postgres)
    made: list[str] = []

    async def make(migrations: Path) -> str:
        if migrations not in templates:
            template = f"template_{next(_numbers)}"
            await admin.execute(f'create database "{template}"')
            await migrate(backends.dsn(template), migrations)
            templates[migrations] = template
        name = f"test_{next(_numbers)}"
        await admin.execute(f'create database "{name}" template "{templates[migrations]}"')
        made.append(name)
        return backends.dsn(name)

    try:
        yield make
    finally:
        with contextlib.suppress(asyncpg.InterfaceError, OSError):
            await admin.close()
        admin = await asyncpg.connect(backends.postgres)  # a test may have crashed the server under the first one
        for name in made:
            await admin.execute(f'drop database "{name}" with (force)')
        await admin.close()


@pytest.fixture(params=["memory", "postgres", "locking"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Where the tally's processes live: in memory, or on Kafka and PostgreSQL (with and without locking batches)."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    found, templates, bootstrap = (request.getfixturevalue(name) for name in ("backends", "templates", "kafka"))
    async with (
        _databases(found, templates) as make,
        real_world(bootstrap, await make(MIGRATIONS), request.param == "locking") as real,
    ):
        yield real
