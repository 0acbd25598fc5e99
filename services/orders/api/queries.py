"""Where is my order? The routes, and the SQL behind them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
from aiohttp import web

from contracts.values import is_id
from messaging.http import Problem, json_response, limit_of, refuse_unknown
from services.orders.api.record import history_of

_COLUMNS: Final = """
order_id, workflow, workflow_version, status, reason, waiting_for, deadline, paused, customer_id, currency, total_minor,
items::text AS items, created_at, updated_at
"""

ONE: Final = f"SELECT {_COLUMNS} FROM orders WHERE order_id = $1"

#: As which word the statuses of orders under way stand in the index of lists (migrations/0002_listed.sql).
_MOVING: Final = frozenset({"ENRICHING", "RESERVING", "PAYING"})

STATUSES: Final = (
    "ENRICHING",
    "RESERVING",
    "AWAITING_APPROVAL",
    "PAYING",
    "COMPENSATING",
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "NEEDS_ATTENTION",
)
WAITS: Final = (
    "enrichment",
    "stock",
    "approval",
    "payment",
    "payment-outcome",
    "release",
    "refund",
    "operator",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders a list is to show; None: any. `after_at` and `after_id`: where the last page ended."""

    status: str | None = None
    customer: str | None = None
    waiting_for: str | None = None
    after_at: datetime | None = None
    after_id: str | None = None
    before: datetime | None = None

    def query(self, limit: int) -> tuple[str, list[Any]]:
        """The page, newest first, with its arguments. Only what is asked for stands in it, so that each has a plan of its own."""
        conditions: list[str] = []
        arguments: list[Any] = [limit]

        def where(condition: str, *values: Any) -> None:
            conditions.append(condition.format(*(f"${len(arguments) + n}" for n in range(1, len(values) + 1))))
            arguments.extend(values)

        if self.status is not None:
            where("status = {}", self.status)
            if self.status != "COMPLETED":
                where("listed = {}", "MOVING" if self.status in _MOVING else self.status)
        if self.customer is not None:
            where("customer_id = {}", self.customer)
        if self.waiting_for is not None:
            where("waiting_for = {} AND listed IS NOT NULL", self.waiting_for)
        if self.after_at is not None:
            where("(created_at, order_id) < ({}, {})", self.after_at, self.after_id)
        if self.before is not None:
            where("created_at < {}", self.before)
        only = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        return f"SELECT {_COLUMNS} FROM orders {only}ORDER BY created_at DESC, order_id DESC LIMIT $1", arguments


class OrderQueries:
    """Reads the orders database. A query made after an event was read reflects it: the event follows from the commit."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._opened = False

    def routes(self) -> list[web.RouteDef]:
        """The queries of the public contract."""
        return [
            web.get("/orders", self.list),
            web.get("/orders/{order_id}", self.status),
            web.get("/orders/{order_id}/items", self.items),
            web.get("/orders/{order_id}/history", self.history),
        ]

    async def ready(self) -> bool:
        """Whether the database answers."""
        try:
            await self.fetch("SELECT 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        return True

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows that a query finds. The pool is opened with the first one, so that the process starts without its database."""
        if not self._opened:
            await self._pool
            self._opened = True
        found: list[asyncpg.Record] = await self._pool.fetch(query, *arguments)
        return found

    async def list(self, request: web.Request) -> web.Response:
        """`GET /orders`: newest first, filtered."""
        refuse_unknown(request, ("status", "customer", "waiting_for", "created_before", "limit", "after"))
        status = _one_of(request, "status", STATUSES)
        waiting_for = _one_of(request, "waiting_for", WAITS)
        customer = request.query.get("customer")
        if customer is not None and not is_id(customer):
            raise Problem(400, "Bad customer", "customer must be 1 to 64 printable characters.")
        limit = limit_of(request)
        at, order_id = _cursor(request.query.get("after"))
        before = _moment(request, "created_before")
        wanted = Wanted(status, customer, waiting_for, at, order_id, before)
        query, arguments = wanted.query(limit + 1)
        rows = await self.fetch(query, *arguments)
        items = [_order(row) for row in rows[:limit]]
        following = _cursor_of(rows[limit - 1]) if len(rows) > limit else None
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
        return json_response({"items": await history_of(self.fetch, row["order_id"]), "next": None})

    async def order(self, request: web.Request) -> dict[str, Any]:
        """The order that a request names. Raises `Problem`."""
        return _order(await self._one(request))

    async def _one(self, request: web.Request) -> asyncpg.Record:
        order_id = request.match_info["order_id"]
        rows = await self.fetch(ONE, order_id) if is_id(order_id) else []
        if not rows:
            raise Problem(404, "Unknown order", "There is no order with this id.")
        return rows[0]


def _order(row: asyncpg.Record) -> dict[str, Any]:
    return {**dict(row), "items": json.loads(row["items"])}


def _one_of(request: web.Request, name: str, known: tuple[str, ...]) -> str | None:
    value = request.query.get(name)
    if value is not None and value not in known:
        raise Problem(400, f"Unknown {name}", f"{name} must be one of {', '.join(known)}.")
    return value


def _moment(request: web.Request, name: str) -> datetime | None:
    value = request.query.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Problem(400, f"Bad {name}", f"{name} must be a time with its zone, as 2026-01-31T12:00:00Z.")
    return moment


def _cursor_of(row: asyncpg.Record) -> str:
    return urlsafe_b64encode(f"{row['created_at'].isoformat()} {row['order_id']}".encode()).decode()


def _cursor(after: str | None) -> tuple[datetime | None, str | None]:
    if after is None:
        return None, None
    try:
        at, order_id = urlsafe_b64decode(after.encode()).decode().split(" ", 1)
        moment = datetime.fromisoformat(at)
    except ValueError:
        moment, order_id = None, ""
    if moment is None or moment.tzinfo is None or not is_id(order_id):
        raise Problem(400, "Bad cursor", "after must be the `next` of an earlier answer.")
    return moment, order_id
