"""Wiring of the orchestrator's process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contracts.orders import Greeted, OrderCancelled, OrderCompleted, OrderFailed
from contracts.registry import TYPE_OF
from messaging.app import Service
from messaging.settings import Settings
from services.orders.domain.policies import Policies
from services.orders.handlers import OrdersHandler
from services.orders.policy_record import record
from services.orders.settings import load_policies
from services.orders.store import PostgresOrders

if TYPE_CHECKING:
    from aiohttp import web

MIGRATIONS: Final = Path(__file__).parent / "migrations"
#: After one of these nothing more is decided about an order.
ENDS: Final = frozenset(TYPE_OF[event][1] for event in (OrderCompleted, OrderCancelled, OrderFailed, Greeted))


async def build(settings: Settings, env: Mapping[str, str] = os.environ) -> Service:
    """The orders service."""
    policies = load_policies(env)
    handler = OrdersHandler(PostgresOrders(settings.identity), policies)

    async def own_policies() -> Policies:
        return policies

    def routes() -> Sequence[web.RouteDef]:
        from services.orders.api.policies import policy_routes

        return policy_routes(own_policies)

    return Service(
        name=settings.service,
        topics=handler.topics,
        migrations=MIGRATIONS,
        handler=handler,
        routes=routes,
        begin=lambda: record(settings.database_urls, settings.identity, policies),
        ends=ENDS,
    )
