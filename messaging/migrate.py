"""Numbered SQL files, applied once each, in order, under a lock: any number of processes may start at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import asyncpg

_LOCK: Final = 7_203_114
#: A migration may have to read a large table; given up halfway it would begin again, for ever.
_LONGEST_S: Final = 600
_RUNTIME: Final = Path(__file__).parent / "migrations"


async def migrate(dsn: str, service_migrations: Path) -> list[str]:
    """Bring the database up to date: the runtime's migrations, then the service's. Returns the names that were applied. Who may
    only read the database, and finds it up to date, gets by with that."""
    wanted = [
        (f"{prefix}/{path.name}", path)
        for folder, prefix in ((_RUNTIME, "messaging"), (service_migrations, "service"))
        for path in sorted(folder.glob("*.sql"))
    ]
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=60)
    try:
        if await _applied(connection) >= {name for name, _ in wanted}:
            return []
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            done = await _applied(connection)
            missing = [(name, path) for name, path in wanted if name not in done]
            for name, path in missing:
                await connection.execute(path.read_text(), timeout=_LONGEST_S)
                await connection.execute("INSERT INTO migration (name) VALUES ($1)", name)
            return [name for name, _ in missing]
    finally:
        await connection.close()


async def _applied(connection: asyncpg.Connection[asyncpg.Record]) -> set[str]:
    if await connection.fetchval("SELECT to_regclass('migration')") is None:
        return set()
    return {row["name"] for row in await connection.fetch("SELECT name FROM migration")}
