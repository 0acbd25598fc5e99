"""The stock room's wiring."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from contracts.topics import ORDERS_EVENTS
from messaging.app import Service
from messaging.settings import Settings
from services.inventory.handlers import InventoryHandler
from services.inventory.settings import DEFAULT_CURRENCY
from services.inventory.store import PostgresInventory

if TYPE_CHECKING:
    from aiohttp import web

MIGRATIONS: Final = Path(__file__).parent / "migrations"
QUERY_TIMEOUT_S: Final = 5


async def build(settings: Settings, env: Mapping[str, str] = os.environ) -> Service:
    """The service. Batches lock the stock that they share with other partitions."""
    handler = InventoryHandler(PostgresInventory(), DEFAULT_CURRENCY.read(env))
    pool = await asyncpg.create_pool(
        settings.database_url, min_size=0, max_size=4, timeout=QUERY_TIMEOUT_S, command_timeout=QUERY_TIMEOUT_S
    )

    def routes() -> Sequence[web.RouteDef]:
        from services.inventory import movements, queries

        return [*queries.routes(pool), *movements.movement_routes(pool)]

    return Service(
        name=handler.name,
        topics=handler.topics,
        migrations=MIGRATIONS,
        handler=handler,
        locking=True,
        patient=frozenset({ORDERS_EVENTS}),
        routes=routes,
        close=pool.close,
    )
