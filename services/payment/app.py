"""The payment service, wired."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from messaging.app import Service
from messaging.settings import Settings
from messaging.spread import Databases
from services.payment.gateway.postgres import PostgresLedger
from services.payment.gateway.simulated import SimulatedGateway, SystemClock
from services.payment.handlers import PaymentHandler
from services.payment.performer import GatewayPerformer
from services.payment.settings import CALL_TIMEOUT_S, CONCURRENCY, FAILURE_RATE, GATEWAY_DATABASE_URL
from services.payment.store import PostgresCharges

if TYPE_CHECKING:
    from aiohttp import web

MIGRATIONS: Final = Path(__file__).parent / "migrations"
QUERY_CONNECTIONS: Final = 4
QUERY_TIMEOUT_S: Final = 5


async def build(settings: Settings, env: Mapping[str, str] = os.environ) -> Service:
    """Open the gateway's ledger and a pool for queries, and put the parts together."""
    failure_rate = FAILURE_RATE.read(env)
    timeout_s = CALL_TIMEOUT_S.read(env)
    concurrency = CONCURRENCY.read(env)
    ledger = await PostgresLedger.open(GATEWAY_DATABASE_URL.read(env))
    gateway = SimulatedGateway(ledger, SystemClock(), failure_rate)
    performer = GatewayPerformer(gateway, timeout_s, concurrency)
    databases = Databases(
        settings.database_urls, settings.partitions, max_size=QUERY_CONNECTIONS, command_timeout_s=QUERY_TIMEOUT_S
    )

    async def close() -> None:
        await databases.close()
        await ledger.close()

    def routes() -> Sequence[web.RouteDef]:
        from services.payment.queries import PaymentQueries

        return PaymentQueries(databases, gateway).routes()

    return Service(
        name="payment",
        topics=PaymentHandler.topics,
        migrations=MIGRATIONS,
        handler=PaymentHandler(PostgresCharges()),
        performer=performer,
        routes=routes,
        close=close,
        metrics=performer.registry,
    )
