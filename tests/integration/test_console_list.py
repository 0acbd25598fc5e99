"""The console's list over the real query API and more orders than a page, or an export's page, holds."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import aiohttp
import asyncpg
import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from test_console_states import NOWHERE, served
from test_orders_list import FILL, RARE
from workbench import fresh_database

from contracts.topics import DEFAULT_PARTITIONS
from messaging.http import make_app
from messaging.spread import Databases
from services.console.access import COOKIE
from services.console.app import HERE
from services.console.store import ConsoleStore
from services.orders.api.queries import OrderQueries
from services.orders.app import MIGRATIONS

#: More than the 10,000 at which exports once ended, and no whole number of pages.
ORDERS = 10_250


@pytest.fixture
async def web(server_dsn: str) -> AsyncIterator[aiohttp.ClientSession]:
    """An operator at the console of a shop with so many orders."""

    async def ready() -> bool:
        return True

    async with AsyncExitStack() as stack:
        shop = await stack.enter_async_context(fresh_database(server_dsn, MIGRATIONS))
        filling = await asyncpg.connect(shop)
        await filling.execute(FILL, ORDERS, RARE)
        await filling.close()
        databases = Databases([shop], DEFAULT_PARTITIONS, max_size=2, command_timeout_s=30)
        stack.push_async_callback(databases.close)
        api = make_app(OrderQueries(databases).routes(), CollectorRegistry(), ready, lambda: True, {})
        orders = await stack.enter_async_context(TestServer(api))
        dsn = await stack.enter_async_context(fresh_database(server_dsn, HERE / "migrations"))
        away = {f"{name}_API_URL": f"http://{NOWHERE}" for name in ("INVENTORY", "PAYMENT")}
        env = {
            "CONSOLE_DATABASE_URL": dsn,
            "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
            "WATCHER_URL": f"http://{NOWHERE}",
            "ORDERS_API_URL": str(orders.make_url("")).rstrip("/"),
            **away,
        }
        base = await stack.enter_async_context(served(env))
        pool = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=0, max_size=1))
        store = ConsoleStore(pool)
        await store.put_account("somebody", "operator")
        await store.set_password("somebody", "correct-horse-battery")
        token = await store.open_session("somebody", datetime.now(UTC), 1)
        yield await stack.enter_async_context(aiohttp.ClientSession(base, cookies={COOKIE: token}))


async def exported(web: aiohttp.ClientSession, query: str) -> list[dict[str, str]]:
    async with web.get(f"/orders.csv{query}") as answer:
        assert answer.status == 200
        return list(csv.DictReader((await answer.text()).splitlines()))


async def test_an_export_holds_every_order_that_the_filter_finds_over_all_its_pages(web: aiohttp.ClientSession) -> None:
    every = await exported(web, "")
    assert [row["order_id"] for row in every] == [f"O-{n}" for n in range(ORDERS, 0, -1)]
    awaiting = await exported(web, "?status=AWAITING_APPROVAL&sort=oldest")
    assert [row["order_id"] for row in awaiting] == [
        f"O-{n}" for n in range(1, ORDERS + 1) if (n % 10 == 1 and n > 8) or n == 3
    ]
    assert len(awaiting) > 1_000
    # Nothing of its history is on record here: then it waits since it was made.
    assert {row["waiting_since"] == row["created_at"] for row in awaiting} == {True}


async def test_with_a_sku_no_sort_is_offered_that_the_query_api_refuses(web: aiohttp.ClientSession) -> None:
    async with web.get("/orders?sku=S-1") as answer:
        with_sku = await answer.text()
    async with web.get("/orders") as answer:
        without = await answer.text()
    for sort in ("id", "total"):
        assert f'<option value="{sort}"' in without
        assert f'<option value="{sort}"' not in with_sku
        assert f"sort={sort}" not in with_sku
        async with web.get(f"/orders?sku=S-1&sort={sort}") as answer:
            assert "are listed by their age" in await answer.text()


async def test_lines_are_had_by_their_ids_and_say_whether_they_fit_the_filters(web: aiohttp.ClientSession) -> None:
    async with web.get("/rows?status=AWAITING_APPROVAL&id=O-11&id=O-12&id=O-11") as answer:
        page = await answer.text()
    assert page.count("<tr data-order=") == 2
    assert '<tr data-order="O-11">' in page
    assert '<tr data-order="O-12" class="gone">' in page
