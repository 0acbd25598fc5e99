"""Wiring of the query API."""

from __future__ import annotations

import os
from collections.abc import Mapping

import asyncpg

from messaging.app import QueryService
from messaging.settings import Settings
from services.orders.api.participants import Participants, addresses
from services.orders.api.plan import Plans
from services.orders.api.policies import policy_routes
from services.orders.api.queries import OrderQueries
from services.orders.api.tape import tape_routes
from services.orders.app import MIGRATIONS
from services.orders.settings import load_policies


async def build(settings: Settings, env: Mapping[str, str] = os.environ) -> QueryService:
    """The query API over the orders database."""
    policies = load_policies(env)
    pool = asyncpg.create_pool(settings.database_url, min_size=0, max_size=8, command_timeout=10, timeout=5)
    queries = OrderQueries(pool)
    participants = Participants(addresses())
    routes = [
        *queries.routes(),
        *Plans(queries.fetch, policies).routes(),
        *policy_routes(policies),
        *tape_routes(queries.fetch, queries.order, participants),
    ]

    async def close() -> None:
        await participants.close()
        await pool.close()

    return QueryService(MIGRATIONS, routes, queries.ready, close)
