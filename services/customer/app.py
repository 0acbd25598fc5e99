"""The customer service, wired."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from contracts.topics import ORDERS_EVENTS
from messaging.app import Service
from messaging.settings import Settings
from services.customer.handlers import SERVICE, CustomerHandler
from services.customer.store import PostgresCustomers

if TYPE_CHECKING:
    from aiohttp import web

MIGRATIONS: Final = Path(__file__).parent / "migrations"


async def build(settings: Settings) -> Service:
    """The service for these settings. Its queries read through a pool of their own."""
    pool = await asyncpg.create_pool(settings.database_url, min_size=0, max_size=4, command_timeout=5)
    handler = CustomerHandler(PostgresCustomers())

    def routes() -> Sequence[web.RouteDef]:
        from services.customer import queries

        return queries.routes(pool)

    return Service(
        SERVICE,
        handler.topics,
        MIGRATIONS,
        handler,
        patient=frozenset({ORDERS_EVENTS}),
        routes=routes,
        close=pool.close,
    )
