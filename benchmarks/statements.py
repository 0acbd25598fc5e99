"""How many statements an order costs, by database: counted in the server's log, in a run of its own that is not timed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg

#: devstack's log line begins with time, process and role@database.
_EXECUTED: Final = re.compile(rb"^\S+ \S+ \S+ \[\d+\] \S*@(\S+) LOG:  (?:execute |statement: )", re.MULTILINE)


@asynccontextmanager
async def counted_statements(superuser_dsn: str, log: Path) -> AsyncIterator[Counter[str]]:
    """Within, the server logs every statement; after, the counter has how many there were of each database. The wheel's PostgreSQL
    comes without `pg_stat_statements`."""
    found: Counter[str] = Counter()
    await _log_statements(superuser_dsn, "all")
    begin = _size(log)
    try:
        yield found
    finally:
        await _log_statements(superuser_dsn, "none")
        found.update(executed(log, begin))
        del found["postgres"]  # our own


async def _log_statements(superuser_dsn: str, which: str) -> None:
    connection = await asyncpg.connect(superuser_dsn, timeout=10)
    try:
        await connection.execute("ALTER SYSTEM SET log_parameter_max_length = 0")
        await connection.execute(f"ALTER SYSTEM SET log_statement = '{which}'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


def _size(log: Path) -> int:
    return log.stat().st_size


def executed(log: Path, begin: int) -> list[str]:
    """The database of each statement that was executed, from this place of the log on."""
    with log.open("rb") as file:
        file.seek(begin)
        return [match[1].decode() for match in _EXECUTED.finditer(file.read())]


def per_order(found: Mapping[str, int], orders: int) -> dict[str, float]:
    """The same per order."""
    return {database: count / orders for database, count in sorted(found.items())}
