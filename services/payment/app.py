"""The payment service, wired."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from messaging.app import Service
from messaging.secure import database_url
from messaging.settings import Settings, integer, number
from services.payment.gateway.postgres import PostgresLedger
from services.payment.gateway.simulated import SimulatedGateway, SystemClock
from services.payment.handlers import PaymentHandler
from services.payment.performer import DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_S, GatewayPerformer
from services.payment.queries import PaymentQueries
from services.payment.store import PostgresCharges

MIGRATIONS: Final = Path(__file__).parent / "migrations"
QUERY_CONNECTIONS: Final = 4
QUERY_TIMEOUT_S: Final = 5


async def build(settings: Settings, env: Mapping[str, str] = os.environ) -> Service:
    """Open the gateway's ledger and a pool for queries, and put the parts together."""
    failure_rate = number(env, "PAYMENT_FAILURE_RATE", 0, 0, 1)
    timeout_s = number(env, "PAYMENT_CALL_TIMEOUT_S", DEFAULT_TIMEOUT_S, 0.01, 60)
    concurrency = integer(env, "PAYMENT_CONCURRENCY", DEFAULT_CONCURRENCY, 1, 100_000)
    ledger = await PostgresLedger.open(database_url(env, "gateway"))
    gateway = SimulatedGateway(ledger, SystemClock(), failure_rate)
    performer = GatewayPerformer(gateway, timeout_s, concurrency)
    pool = await asyncpg.create_pool(
        settings.database_url, min_size=0, max_size=QUERY_CONNECTIONS, command_timeout=QUERY_TIMEOUT_S
    )

    async def close() -> None:
        pool.terminate()
        await ledger.close()

    return Service(
        name="payment",
        topics=PaymentHandler.topics,
        migrations=MIGRATIONS,
        handler=PaymentHandler(PostgresCharges()),
        performer=performer,
        routes=PaymentQueries(pool, gateway).routes(),
        close=close,
        metrics=performer.registry,
    )
