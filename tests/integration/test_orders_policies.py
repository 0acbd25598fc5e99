"""The policies that the orchestrator records are those that the query API answers by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from conftest import NewDatabase

from services.orders.app import MIGRATIONS
from services.orders.domain.policies import DEFAULTS
from services.orders.policy_record import reader, record
from services.orders.settings import load_policies


@pytest.fixture
async def dsn(new_database: NewDatabase) -> str:
    return await new_database(MIGRATIONS)


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    made = await asyncpg.connect(dsn)
    yield made
    await made.close()


async def test_what_the_last_worker_recorded_is_in_effect(dsn: str, connection: asyncpg.Connection[Any]) -> None:
    read = reader(connection.fetch)
    assert await read() == DEFAULTS
    first = load_policies({"ORDER_POLICY_CHARGE_MAXIMUM_ATTEMPTS": "7", "ORDER_POLICY_VOID_NON_RETRYABLE": ""})
    await record((dsn,), "order-worker-a", first)
    assert await read() == first
    second = load_policies({"ORDER_POLICY_ENRICH_MAXIMUM_ATTEMPTS": "3"})
    await record((dsn,), "order-worker-b", second)
    assert await read() == second
    assert await connection.fetchval("SELECT worker FROM policies_in_effect") == "order-worker-b"


async def test_a_row_that_an_older_worker_does_not_know_is_as_by_default(
    dsn: str, connection: asyncpg.Connection[Any]
) -> None:
    await record((dsn,), "old", replace(DEFAULTS, charge=replace(DEFAULTS.charge, maximum_attempts=9)))
    await connection.execute("UPDATE policies_in_effect SET policies = (policies::jsonb - 'void')::json")
    assert await reader(connection.fetch)() == replace(DEFAULTS, charge=replace(DEFAULTS.charge, maximum_attempts=9))
