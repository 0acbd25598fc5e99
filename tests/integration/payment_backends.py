"""Where payment keeps its rows in these tests: in memory or in a PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import asyncpg
import pytest
from workbench import fresh_database

from messaging.memory import MemoryDatabase, MemoryStore
from messaging.postgres import PostgresStore
from services.payment.app import MIGRATIONS
from services.payment.gateway.ledger import LedgerStore, MemoryLedger
from services.payment.gateway.postgres import PostgresLedger
from services.payment.gateway.suite import ManualClock
from services.payment.memory import MemoryCharges
from services.payment.store import PostgresCharges


class Backend(Protocol):
    """What a test may ask of either database."""

    clock: ManualClock
    ledger: LedgerStore

    def store(self) -> Any: ...
    def charges(self) -> Any: ...
    async def rows(self) -> dict[str, tuple[str, int, int]]: ...
    async def pending(self) -> int: ...


@dataclass
class MemoryBackend:
    clock: ManualClock = field(default_factory=ManualClock)
    ledger: LedgerStore = field(default_factory=MemoryLedger)
    tables: MemoryCharges = field(default_factory=MemoryCharges)
    database: MemoryDatabase = field(init=False)

    def __post_init__(self) -> None:
        self.database = MemoryDatabase(self.clock)

    def store(self) -> MemoryStore:
        return MemoryStore(self.database)

    def charges(self) -> MemoryCharges:
        return self.tables

    async def rows(self) -> dict[str, tuple[str, int, int]]:
        return {c.charge_id: (c.status.value, c.captured_minor, c.refunded_minor) for c in self.tables.all()}

    async def pending(self) -> int:
        return len(self.database.effects)


@dataclass
class PostgresBackend:
    dsn: str
    ledger: LedgerStore
    clock: ManualClock = field(default_factory=ManualClock)

    def store(self) -> PostgresStore:
        return PostgresStore(self.dsn)

    def charges(self) -> PostgresCharges:
        return PostgresCharges()

    async def rows(self) -> dict[str, tuple[str, int, int]]:
        found = await self.fetch("SELECT charge_id, status, captured_minor, refunded_minor FROM charge")
        return {row[0]: (row[1], row[2], row[3]) for row in found}

    async def pending(self) -> int:
        return int((await self.fetch("SELECT count(*) FROM effect"))[0][0])

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()


@asynccontextmanager
async def postgres_backend(server_dsn: str) -> AsyncIterator[PostgresBackend]:
    """A payment database and, beside it, a gateway's."""
    async with fresh_database(server_dsn, MIGRATIONS) as dsn, fresh_database(server_dsn) as gateway_dsn:
        ledger = await PostgresLedger.open(gateway_dsn)
        try:
            yield PostgresBackend(dsn, ledger)
        finally:
            await ledger.close()


@pytest.fixture(params=["memory", "postgres"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    if request.param == "memory":
        yield MemoryBackend()
        return
    async with postgres_backend(request.getfixturevalue("server_dsn")) as found:
        yield found
