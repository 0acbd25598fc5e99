"""Wiring of the query API."""

from __future__ import annotations

from messaging.app import QueryService
from messaging.settings import Settings
from messaging.spread import Databases
from services.orders.api.participants import Participants, addresses
from services.orders.api.plan import Plans
from services.orders.api.policies import policy_routes
from services.orders.api.queries import OrderQueries
from services.orders.api.tape import tape_routes
from services.orders.api.workflows import workflow_routes
from services.orders.app import MIGRATIONS
from services.orders.policy_record import reader


async def build(settings: Settings) -> QueryService:
    """The query API over the orders databases."""
    databases = Databases(settings.database_urls, settings.partitions, max_size=8, command_timeout_s=10)
    queries = OrderQueries(databases)
    participants = Participants(addresses())
    policies = reader(databases.fetch)
    routes = [
        *queries.routes(),
        *Plans(databases.fetch_of, policies).routes(),
        *policy_routes(policies),
        *workflow_routes(databases.fetch),
        *tape_routes(databases.fetch_of, queries.order, participants),
    ]

    async def close() -> None:
        await participants.close()
        await databases.close()

    return QueryService(MIGRATIONS, routes, databases.answer, close)
