"""The stock room's wiring."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from contracts import values
from contracts.topics import ORDERS_EVENTS
from messaging.app import Service
from messaging.errors import SettingsError
from messaging.settings import Settings, text
from services.inventory.handlers import InventoryHandler
from services.inventory.movements import movement_routes
from services.inventory.queries import routes
from services.inventory.store import PostgresInventory

MIGRATIONS: Final = Path(__file__).parent / "migrations"
QUERY_TIMEOUT_S: Final = 5


def default_currency(env: Mapping[str, str] = os.environ) -> str:
    """The currency of a new SKU whose receipt names none (`DEFAULT_CURRENCY`). Raises `SettingsError`."""
    found = text(env, "DEFAULT_CURRENCY", values.DEFAULT_CURRENCY)
    if re.fullmatch("[A-Z]{3}", found) is None:
        raise SettingsError(f"DEFAULT_CURRENCY must be an ISO 4217 code such as GBP, not {found!r}.")
    return found


async def build(settings: Settings) -> Service:
    """The service. Batches lock the stock that they share with other partitions."""
    handler = InventoryHandler(PostgresInventory(), default_currency())
    pool = await asyncpg.create_pool(
        settings.database_url, min_size=0, max_size=4, timeout=QUERY_TIMEOUT_S, command_timeout=QUERY_TIMEOUT_S
    )
    return Service(
        name=handler.name,
        topics=handler.topics,
        migrations=MIGRATIONS,
        handler=handler,
        locking=True,
        patient=frozenset({ORDERS_EVENTS}),
        routes=[*routes(pool), *movement_routes(pool)],
        close=pool.close,
    )
