"""The console's list over the real query API and more orders than a page, or an export's page, holds."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
from aiohttp.test_utils import TestServer
from console_bench import Seat, console_room
from prometheus_client import CollectorRegistry
from test_orders_list import FILL, RARE
from workbench import fresh_database

from contracts.topics import DEFAULT_PARTITIONS
from messaging.http import make_app
from messaging.spread import Databases
from services.orders.api.queries import OrderQueries
from services.orders.app import MIGRATIONS

#: More than the 10,000 at which exports once ended, and no whole number of pages.
ORDERS = 10_250


@pytest.fixture
async def seat(server_dsn: str) -> AsyncIterator[Seat]:
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
        server = await stack.enter_async_context(TestServer(api))
        address = str(server.make_url("")).rstrip("/")
        room = await stack.enter_async_context(console_room(server_dsn, ORDERS_API_URL=address))
        yield await room.somebody("operator")


async def exported(seat: Seat, query: str) -> list[dict[str, str]]:
    status, text = await seat.get(f"/orders.csv{query}")
    assert status == 200
    return list(csv.DictReader(text.splitlines()))


async def test_an_export_holds_every_order_that_the_filter_finds_over_all_its_pages(seat: Seat) -> None:
    every = await exported(seat, "")
    assert [row["order_id"] for row in every] == [f"O-{n}" for n in range(ORDERS, 0, -1)]
    awaiting = await exported(seat, "?status=AWAITING_APPROVAL&sort=oldest")
    assert [row["order_id"] for row in awaiting] == [
        f"O-{n}" for n in range(1, ORDERS + 1) if (n % 10 == 1 and n > 8) or n == 3
    ]
    assert len(awaiting) > 1_000
    # Nothing of its history is on record here: then it waits since it was made.
    assert {row["waiting_since"] == row["created_at"] for row in awaiting} == {True}


async def test_with_a_sku_no_sort_is_offered_that_the_query_api_refuses(seat: Seat) -> None:
    _, with_sku = await seat.get("/orders?sku=S-1")
    _, without = await seat.get("/orders")
    for sort in ("id", "total"):
        assert f'<option value="{sort}"' in without
        assert f'<option value="{sort}"' not in with_sku
        assert f"sort={sort}" not in with_sku
        assert "are listed by their age" in (await seat.get(f"/orders?sku=S-1&sort={sort}"))[1]


async def test_lines_are_had_by_their_ids_and_say_whether_they_fit_the_filters(seat: Seat) -> None:
    _, page = await seat.get("/rows?status=AWAITING_APPROVAL&id=O-11&id=O-12&id=O-11")
    assert page.count("<tr data-order=") == 2
    assert '<tr data-order="O-11">' in page
    assert '<tr data-order="O-12" class="gone">' in page
