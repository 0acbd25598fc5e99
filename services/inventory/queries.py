"""The questions that the stock room answers over HTTP. They read what is committed, on connections of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg
from aiohttp import web

from contracts.values import is_id
from messaging.http import Problem, json_response, limit_of, refuse_unknown
from services.inventory.reservation_queries import reservation_routes

SKU: Final = """
SELECT sku, description, unit_price_minor, currency, received, adjusted, on_hand, held, shipped FROM stock WHERE sku = $1
"""

SKUS: Final = """
SELECT sku, description, unit_price_minor, currency, received, adjusted, on_hand, held, shipped FROM stock
WHERE $1::text IS NULL OR sku > $1 ORDER BY sku LIMIT $2
"""


def routes(pool: asyncpg.Pool) -> Sequence[web.RouteDef]:
    """`GET /skus/{sku}` and `GET /skus?limit=&after=`, in the order of the SKUs; and `GET /reservations`."""

    async def one(request: web.Request) -> web.Response:
        sku = request.match_info["sku"]
        row = await pool.fetchrow(SKU, sku) if is_id(sku) else None
        if row is None:
            raise Problem(404, "Unknown SKU", "There is no such SKU in the catalogue; receive-stock adds one.")
        return json_response(dict(row))

    async def many(request: web.Request) -> web.Response:
        refuse_unknown(request, ("limit", "after"))
        limit, after = limit_of(request), request.query.get("after")
        if after is not None and not is_id(after):
            raise Problem(400, "Bad cursor", "after must be the `next` of an earlier page, or a SKU.")
        # One more than asked for tells whether there is another page.
        rows = await pool.fetch(SKUS, after, limit + 1)
        items = [dict(row) for row in rows[:limit]]
        return json_response({"items": items, "next": items[-1]["sku"] if len(rows) > limit else None})

    return [web.get("/skus/{sku:[^/]+}", one), web.get("/skus", many), *reservation_routes(pool)]
