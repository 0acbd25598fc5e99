"""Numbered SQL files, applied once each, in order, under a lock: any number of processes may start at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import asyncpg

_LOCK: Final = 7_203_114
_RUNTIME: Final = Path(__file__).parent / "migrations"


async def migrate(dsn: str, service_migrations: Path) -> list[str]:
    """Bring the database up to date: the runtime's migrations, then the service's. Returns the names that were applied."""
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=60)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            done = {row["name"] for row in await connection.fetch("SELECT name FROM migration")}
            applied = []
            for folder, prefix in ((_RUNTIME, "messaging"), (service_migrations, "service")):
                for path in sorted(folder.glob("*.sql")):
                    name = f"{prefix}/{path.name}"
                    if name not in done:
                        await connection.execute(path.read_text())
                        await connection.execute("INSERT INTO migration (name) VALUES ($1)", name)
                        applied.append(name)
            return applied
    finally:
        await connection.close()
