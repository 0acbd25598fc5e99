"""The databases' schemas. The services bring them up to date themselves when they start; this does it before any of them runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import asyncpg

import services
from messaging.safe_text import safe_text
from messaging.setting import secret
from messaging.spread import DatabaseUrls, prepare
from provision.errors import ProvisionError
from services.payment.gateway.migrate import migrate as migrate_gateway

GATEWAY: Final = "gateway"
#: The services with a database of their own.
SERVICES: Final = ("orders", "inventory", "payment", "customer", "notification", "recommendation", "console")
DATABASE_URLS: Final = {name: DatabaseUrls(name, f"the database of {name}") for name in (*SERVICES, GATEWAY)}

_SERVICES_FOLDER: Final = Path(services.__path__[0])


def database_urls(env: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The databases that the environment names, by their service (`<SERVICE>_DATABASE_URL`). Raises `SettingsError`."""
    return {name: setting.read(env) for name, setting in DATABASE_URLS.items() if secret(env, setting.name)}


async def ensure_schemas(urls: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Bring each of these databases up to date; what was applied, by database. Raises `ProvisionError`."""
    applied = await asyncio.gather(*(_ensure_schema(name, found) for name, found in urls.items()))
    return dict(zip(urls, applied, strict=True))


async def _ensure_schema(name: str, urls: Sequence[str]) -> list[str]:
    try:
        if name != GATEWAY:
            return await prepare(DATABASE_URLS[name].name, urls, _SERVICES_FOLDER / name / "migrations")
        connection = await asyncpg.connect(urls[0], timeout=10, command_timeout=60)
        try:
            return await migrate_gateway(connection)
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise ProvisionError(f"The database {name} cannot be brought up to date: {safe_text(error)}") from error
