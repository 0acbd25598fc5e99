"""A service whose partitions are spread over several databases: each knows its place, and who asks about everything asks all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from workbench import fresh_database

from contracts.topics import DEFAULT_PARTITIONS
from messaging.errors import SettingsError
from messaging.http import make_app
from messaging.lane_queries import lane_routes
from messaging.partitioner import partition_of
from messaging.spread import Databases, DatabaseUrls, claim, prepare
from services.payment.app import MIGRATIONS
from services.payment.gateway.ledger import Entry
from services.payment.queries import PaymentQueries

CHARGE = """
INSERT INTO charge (charge_id, order_id, version, status, amount_minor, currency, payment_method, attempt, message, void_attempt,
                    void_message, captured_minor, refunded_minor)
VALUES ('ch-' || $1::text, $1, 1, 'captured', 100, 'GBP', 'pm_card_visa', 1, '', 0, '', 100, 0)
"""
PARK = """
INSERT INTO parked (partition, place, key, topic, "offset", headers, appended_at, state)
VALUES ($1, 1, $2, 'payment.commands.v1', 0, '[]', $3, 'failed')
"""


@pytest.fixture
async def dsns(server_dsn: str) -> AsyncIterator[list[str]]:
    """Two databases that have never been used."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(fresh_database(server_dsn)) for _ in range(2)]


async def execute(dsn: str, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def test_databases_that_are_named_in_another_order_or_number_are_refused(dsns: list[str]) -> None:
    one, two = dsns
    applied = await prepare("PAYMENT_DATABASE_URL", dsns, MIGRATIONS)
    assert len(applied) == 2 * len(set(applied)), "both are brought up to date"
    await claim("PAYMENT_DATABASE_URL", dsns)
    with pytest.raises(SettingsError, match="the one at place 1 is number 2 of 2"):
        await claim("PAYMENT_DATABASE_URL", [two, one])
    with pytest.raises(SettingsError, match="PAYMENT_DATABASE_URL names 1 database"):
        await claim("PAYMENT_DATABASE_URL", [one])


async def test_a_database_that_had_all_partitions_cannot_become_one_of_two(dsns: list[str]) -> None:
    await prepare("PAYMENT_DATABASE_URL", dsns[:1], MIGRATIONS)
    with pytest.raises(SettingsError, match="the one at place 1 is number 1 of 1"):
        await prepare("PAYMENT_DATABASE_URL", dsns, MIGRATIONS)


@pytest.mark.parametrize("service", ["inventory", "gateway"])
def test_a_service_with_transactions_across_partitions_has_one_database(service: str) -> None:
    variable = f"{service.upper()}_DATABASE_URL"
    assert DatabaseUrls(service).read({variable: "postgresql:///a"}) == ("postgresql:///a",)
    with pytest.raises(SettingsError, match=variable):
        DatabaseUrls(service).read({variable: "postgresql:///a postgresql:///b"})


@pytest.mark.parametrize(
    "value", ["postgresql:///a http://b/b", "postgresql:///a postgresql:///a", "postgresql:///a, b"]
)
def test_what_is_no_list_of_databases_is_refused(value: str) -> None:
    assert DatabaseUrls("orders").read({"ORDERS_DATABASE_URL": "postgresql:///a  postgresql:///b"}) == (
        "postgresql:///a",
        "postgresql:///b",
    )
    with pytest.raises(SettingsError, match=r"ORDERS_DATABASE_URL must be .*separated by spaces"):
        DatabaseUrls("orders").read({"ORDERS_DATABASE_URL": value})


class NoLedger:
    """Nothing has moved."""

    async def entries(self, order_id: str | None = None) -> list[Entry]:
        return []


@pytest.fixture
async def client(dsns: list[str]) -> AsyncIterator[TestClient]:
    """Payment's queries over two databases: fifteen charges, and a lane in each."""
    await prepare("PAYMENT_DATABASE_URL", dsns, MIGRATIONS)
    for number in range(15):
        order = f"o-{number}"
        await execute(dsns[partition_of(order, DEFAULT_PARTITIONS) % 2], CHARGE, order)
    for partition, dsn in enumerate(dsns):
        await execute(dsn, PARK, partition, f"stuck-{partition}", datetime.fromisoformat("2026-01-01T00:00:00Z"))
    databases = Databases(dsns, DEFAULT_PARTITIONS, max_size=1, command_timeout_s=30)
    routes = [*PaymentQueries(databases, NoLedger()).routes(), *lane_routes(dsns)]
    async with TestClient(
        TestServer(make_app(routes, CollectorRegistry(), databases.answer, lambda: True, {}))
    ) as found:
        yield found
    await databases.close()


async def test_the_pages_of_a_list_over_all_databases_hold_everything_once(client: TestClient) -> None:
    seen: list[str] = []
    following: dict[str, str] = {}
    while True:
        told = await (await client.get("/charges", params={"limit": "4", **following})).json()
        seen += [one["order_id"] for one in told["items"]]
        if told["next"] is None:
            break
        following = {"after": told["next"]}
    assert sorted(seen) == sorted(f"o-{number}" for number in range(15))


async def test_an_order_is_found_in_its_own_database(client: TestClient) -> None:
    for number in range(15):
        told = await (await client.get("/charges", params={"order_id": f"o-{number}"})).json()
        assert [one["charge_id"] for one in told["items"]] == [f"ch-o-{number}"]


async def test_lanes_of_all_databases_are_told_page_by_page(client: TestClient) -> None:
    first = await (await client.get("/lanes", params={"limit": "1"})).json()
    second = await (await client.get("/lanes", params={"limit": "1", "after": first["next"]})).json()
    assert [one["key"] for told in (first, second) for one in told["items"]] == ["stuck-0", "stuck-1"]
    assert second["next"] is None
