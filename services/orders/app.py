"""Wiring of the orchestrator's process."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from messaging.app import Service
from messaging.settings import Settings
from services.orders.handlers import OrdersHandler
from services.orders.store import PostgresOrders

MIGRATIONS: Final = Path(__file__).parent / "migrations"


async def build(settings: Settings) -> Service:
    """The orders service."""
    handler = OrdersHandler(PostgresOrders(settings.identity))
    return Service(name=settings.service, topics=handler.topics, migrations=MIGRATIONS, handler=handler)
