"""The policies in effect, as the worker that started last has recorded them: what others tell or foresee follows what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import asyncpg
from pydantic import TypeAdapter
from pydantic_core import from_json

from services.orders.domain.policies import DEFAULTS, Policies

RECORD: Final = """
INSERT INTO policies_in_effect (policies, worker) VALUES ($1::text::json, $2)
ON CONFLICT (one) DO UPDATE SET policies = excluded.policies, worker = excluded.worker, recorded_at = now()
"""

RECORDED: Final = "SELECT policies::text AS policies FROM policies_in_effect"

Fetch = Callable[..., Awaitable[Sequence[Any]]]
ReadPolicies = Callable[[], Awaitable[Policies]]

_POLICIES: Final = TypeAdapter(Policies)


async def record(database_urls: Sequence[str], worker: str, policies: Policies) -> None:
    """These are in effect from now on."""
    for url in database_urls:
        connection = await asyncpg.connect(url, timeout=10, command_timeout=10)
        try:
            await connection.execute(RECORD, _POLICIES.dump_json(policies).decode(), worker)
        finally:
            await connection.close()


def reader(fetch: Fetch) -> ReadPolicies:
    """Reads what is recorded; the defaults as long as no worker has ever started. A row that a worker's other version does not
    have is as by default."""

    async def read() -> Policies:
        rows = await fetch(RECORDED)
        known = from_json(_POLICIES.dump_json(DEFAULTS))
        return _POLICIES.validate_python({**known, **from_json(rows[0]["policies"])}) if rows else DEFAULTS

    return read
