"""`GET /lanes`: which keys wait behind a message that could not be handled. Any process of the service answers for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from aiohttp import web

from messaging.http import json_response, limit_of, refuse_unknown

TIMEOUT_S: Final = 5

#: Keys are compared byte by byte, so that the answers of several databases are in one order.
LANES: Final = """
SELECT DISTINCT ON (key COLLATE "C") key, partition, count(*) OVER (PARTITION BY key) AS records,
       min(parked_at) OVER (PARTITION BY key) AS since, state, topic, "offset", failures, error, failed_at
FROM parked WHERE key COLLATE "C" > $1 AND ($2::text IS NULL OR key = $2) ORDER BY key COLLATE "C", place LIMIT $3
"""


def lane_routes(database_urls: Sequence[str]) -> list[web.RouteDef]:
    """The route. It is asked rarely: each look has a connection of its own, and none is held."""

    async def lanes(request: web.Request) -> web.Response:
        refuse_unknown(request, ("key", "limit", "after"))
        limit = limit_of(request)
        after, key = request.query.get("after", ""), request.query.get("key")
        asked = after.replace("\x00", ""), key and key.replace("\x00", ""), limit + 1
        found = await asyncio.gather(*(_fetch(url, *asked) for url in database_urls))
        rows = sorted((row for rows in found for row in rows), key=lambda row: str(row["key"]))
        more = rows[limit - 1]["key"] if len(rows) > limit else None
        return json_response({"items": [_lane(row) for row in rows[:limit]], "next": more})

    return [web.get("/lanes", lanes)]


async def _fetch(database_url: str, after: str, key: str | None, limit: int) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database_url, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S)
    try:
        return await connection.fetch(LANES, after, key, limit)
    finally:
        connection.terminate()


def _lane(row: asyncpg.Record) -> dict[str, Any]:
    """`held`: it waits for a person. `waiting`: how many wait behind the head."""
    head = {name: row[name] for name in ("topic", "offset", "failures", "error", "failed_at")}
    return {
        "key": row["key"],
        "partition": row["partition"],
        "held": row["state"] == "failed",
        "waiting": row["records"] - 1,
        "since": row["since"],
        "head": head,
    }
