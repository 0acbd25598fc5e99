"""That what is measured is what is promised: nothing is acknowledged before it is on disk or with the broker."""

from __future__ import annotations

from typing import Final

import asyncpg

from benchmarks.errors import NotMeasuredError
from contracts.topics import ORDERS_EVENTS, all_topics
from messaging.clients import producer_options

_SERVER: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_PRODUCER: Final = {"acks": "all", "enable_idempotence": True}


async def require_durable(superuser_dsn: str, databases: tuple[str, ...]) -> dict[str, str]:
    """The settings as they are in force, for the report. Raises `NotMeasuredError` where one gives durability away: the server's,
    of a database or of a role as well, or the producer's."""
    found: dict[str, str] = {}
    for database in databases:
        connection = await asyncpg.connect(superuser_dsn.replace("/postgres?", f"/{database}?"), timeout=10)
        try:
            for name, wanted in _SERVER.items():
                value = found[name] = str(await connection.fetchval(f"SHOW {name}"))
                if value != wanted:
                    raise NotMeasuredError(
                        f"{name} is {value} in the database {database}, not {wanted}: nothing is measured so."
                    )
            overridden = await connection.fetch("SELECT setconfig FROM pg_db_role_setting")
            if overridden:
                raise NotMeasuredError(
                    f"Databases or roles have settings of their own: {[row[0] for row in overridden]}"
                )
        finally:
            await connection.close()
    producer = producer_options("", "")
    for name, wanted_value in _PRODUCER.items():
        if producer[name] != wanted_value:
            raise NotMeasuredError(
                f"The producer's {name} is {producer[name]!r}, not {wanted_value!r}: nothing is measured so."
            )
        found[f"producer {name}"] = str(producer[name])
    config = next(spec.config for spec in all_topics() if spec.name == ORDERS_EVENTS)
    return found | {f"topic {name}": value for name, value in config.items()}
