"""Brings a database to the ledger's present schema."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

# Any number that nothing else in this database locks.
LOCK = "select pg_advisory_xact_lock(7003001)"
PREPARE = """
create schema if not exists gateway;
create table if not exists gateway.migrations (name text primary key, applied_at timestamptz not null default now());
"""
APPLIED = "select name from gateway.migrations"
RECORD = "insert into gateway.migrations (name) values ($1)"


async def migrate(connection: Connection[Record] | PoolConnectionProxy[Record]) -> list[str]:
    """Apply what is missing, all or none, one process at a time; the names of what was applied."""
    scripts = sorted(
        (entry for entry in (files(__package__) / "migrations").iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    async with connection.transaction():
        await connection.execute(LOCK)
        await connection.execute(PREPARE)
        applied = {record["name"] for record in await connection.fetch(APPLIED)}
        missing = [script for script in scripts if script.name not in applied]
        for script in missing:
            await connection.execute(script.read_text(encoding="utf-8"))
            await connection.execute(RECORD, script.name)
    return [script.name for script in missing]
