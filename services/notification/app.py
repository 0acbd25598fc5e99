"""Notification, wired."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from contracts.topics import ORDERS_EVENTS
from messaging.app import Service
from messaging.settings import Settings
from services.notification.handlers import SERVICE, MailHandler
from services.notification.settings import load_mail_settings
from services.notification.smtp import SmtpPerformer
from services.notification.store import PostgresMails

if TYPE_CHECKING:
    from aiohttp import web

MIGRATIONS: Final = Path(__file__).parent / "migrations"


async def build(settings: Settings) -> Service:
    """The service for these settings. Its queries read through a pool of their own."""
    performer = SmtpPerformer(load_mail_settings())
    pool = await asyncpg.create_pool(settings.database_url, min_size=0, max_size=4, command_timeout=5)

    async def close() -> None:
        await performer.close()
        await pool.close()

    handler = MailHandler(PostgresMails())

    def routes() -> Sequence[web.RouteDef]:
        from services.notification import queries

        return queries.routes(pool)

    return Service(
        SERVICE,
        handler.topics,
        MIGRATIONS,
        handler,
        # What is written about may wait. Whom to write to is read at once: a new address is there before its first mail.
        patient=frozenset({ORDERS_EVENTS}),
        performer=performer,
        routes=routes,
        close=close,
    )
