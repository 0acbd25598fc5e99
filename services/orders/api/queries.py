"""Where is my order? The routes, and the SQL behind them."""

from __future__ import annotations

import json
from typing import Any, Final

import asyncpg
from aiohttp import web

from contracts.values import is_id
from messaging.http import Problem, json_response, limit_of, refuse_unknown
from messaging.spread import Databases
from services.orders.api.listing import COLUMNS, PARAMETERS, cursor_of, wanted_of
from services.orders.api.record import history_of

ONE: Final = f"SELECT {COLUMNS} FROM every_order AS o WHERE o.order_id = $1"


class OrderQueries:
    """Reads the orders databases. A query made after an event was read reflects it: the event follows from the commit."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    def routes(self) -> list[web.RouteDef]:
        """The queries of the public contract."""
        return [
            web.get("/orders", self.list),
            web.get("/orders/{order_id}", self.status),
            web.get("/orders/{order_id}/items", self.items),
            web.get("/orders/{order_id}/history", self.history),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """`GET /orders`: filtered and sorted, newest first where nothing else is asked."""
        refuse_unknown(request, PARAMETERS)
        limit = limit_of(request)
        wanted = wanted_of(request.query)
        query, arguments = wanted.query(limit + 1)
        rows = wanted.sorted(await self._databases.fetch(query, *arguments))
        items = [_order(row) for row in rows[:limit]]
        following = cursor_of(rows[limit - 1], wanted.sort) if len(rows) > limit else None
        return json_response({"items": items, "next": following})

    async def status(self, request: web.Request) -> web.Response:
        """`GET /orders/{id}`."""
        return json_response(await self.order(request))

    async def items(self, request: web.Request) -> web.Response:
        """`GET /orders/{id}/items`."""
        return json_response({"items": (await self.order(request))["items"], "next": None})

    async def history(self, request: web.Request) -> web.Response:
        """`GET /orders/{id}/history`: what happened, in order, what caused it, and where the messages stand."""
        row = await self._one(request)
        return json_response({"items": await history_of(self._databases.fetch_of, row["order_id"]), "next": None})

    async def order(self, request: web.Request) -> dict[str, Any]:
        """The order that a request names. Raises `Problem`."""
        return _order(await self._one(request))

    async def _one(self, request: web.Request) -> asyncpg.Record:
        order_id = request.match_info["order_id"]
        rows = await self._databases.fetch_of(order_id, ONE, order_id) if is_id(order_id) else []
        if not rows:
            raise Problem(404, "Unknown order", "There is no order with this id.")
        return rows[0]


def _order(row: asyncpg.Record) -> dict[str, Any]:
    return {**dict(row), "items": json.loads(row["items"])}
