"""Wiring of the query API."""

from __future__ import annotations

import asyncpg

from messaging.app import QueryService
from messaging.settings import Settings
from services.orders.api.participants import Participants, addresses
from services.orders.api.plan import Plans
from services.orders.api.policies import policy_routes
from services.orders.api.queries import OrderQueries
from services.orders.api.tape import tape_routes
from services.orders.api.workflows import workflow_routes
from services.orders.app import MIGRATIONS
from services.orders.policy_record import reader


async def build(settings: Settings) -> QueryService:
    """The query API over the orders database."""
    pool = asyncpg.create_pool(settings.database_url, min_size=0, max_size=8, command_timeout=10, timeout=5)
    queries = OrderQueries(pool)
    participants = Participants(addresses())
    policies = reader(queries.fetch)
    routes = [
        *queries.routes(),
        *Plans(queries.fetch, policies).routes(),
        *policy_routes(policies),
        *workflow_routes(queries.fetch),
        *tape_routes(queries.fetch, queries.order, participants),
    ]

    async def close() -> None:
        await participants.close()
        await pool.close()

    return QueryService(MIGRATIONS, routes, queries.ready, close)
