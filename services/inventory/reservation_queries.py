"""What is held, for whom and until when, over HTTP."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final, get_args

import asyncpg
from aiohttp import web

from contracts.values import is_id
from messaging.http import Problem, json_response, limit_of, refuse_unknown
from services.inventory.ledger import ReservationState

STATES: Final[tuple[str, ...]] = get_args(ReservationState)
FILTERS: Final = ("sku", "order_id", "state")

_COLUMNS: Final = """
reservation_id, order_id, state, lines::text AS items, expires_at, announced,
CASE WHEN refusal_reason IS NULL THEN created_at END AS held_since
"""

#: By the reservation's key, so that every page is as cheap as the first one.
LIST: Final = f"""
SELECT {_COLUMNS} FROM reservation
WHERE ($1::text IS NULL OR order_id = $1) AND ($2::text IS NULL OR lines @> $2::jsonb) AND ($3::text IS NULL OR state = $3)
  AND ($4::text IS NULL OR (order_id, reservation_id) > ($4, $5))
ORDER BY order_id, reservation_id LIMIT $6
"""

#: What is held is few among all that ever was: found by the partial index, whatever the planner makes of the order.
LIST_HELD: Final = f"""
WITH held AS MATERIALIZED (
    SELECT * FROM reservation
    WHERE state = 'held' AND ($1::text IS NULL OR order_id = $1) AND ($2::text IS NULL OR lines @> $2::jsonb)
      AND ($3::text IS NULL OR (order_id, reservation_id) > ($3, $4))
)
SELECT {_COLUMNS} FROM held ORDER BY order_id, reservation_id LIMIT $5
"""


def reservation_routes(pool: asyncpg.Pool) -> list[web.RouteDef]:
    """`GET /reservations?sku=&order_id=&state=&limit=&after=`, by the ids of order and reservation."""

    async def many(request: web.Request) -> web.Response:
        refuse_unknown(request, (*FILTERS, "limit", "after"))
        order_id, sku, state = _id_of(request, "order_id"), _id_of(request, "sku"), _state_of(request)
        line = None if sku is None else json.dumps([{"sku": sku}])
        limit, after = limit_of(request), _cursor(request.query.get("after"))
        if state == "held":
            rows = await pool.fetch(LIST_HELD, order_id, line, *after, limit + 1)
        else:
            rows = await pool.fetch(LIST, order_id, line, state, *after, limit + 1)
        items = [{**dict(row), "items": json.loads(row["items"])} for row in rows[:limit]]
        return json_response({"items": items, "next": _cursor_of(items[-1]) if len(rows) > limit else None})

    return [web.get("/reservations", many)]


def _id_of(request: web.Request, name: str) -> str | None:
    value = request.query.get(name)
    if value is not None and not is_id(value):
        raise Problem(400, f"Bad {name}", f"{name} must be 1 to 64 printable characters.")
    return value


def _state_of(request: web.Request) -> str | None:
    value = request.query.get("state")
    if value is not None and value not in STATES:
        raise Problem(400, "Unknown state", f"state must be one of {', '.join(STATES)}.")
    return value


def _cursor_of(item: dict[str, Any]) -> str:
    # No id holds a line break.
    return urlsafe_b64encode(f"{item['order_id']}\n{item['reservation_id']}".encode()).decode()


def _cursor(after: str | None) -> tuple[str | None, str | None]:
    if after is None:
        return None, None
    try:
        ids = urlsafe_b64decode(after.encode()).decode().split("\n")
    except ValueError:
        ids = []
    if len(ids) != 2 or not all(map(is_id, ids)):
        raise Problem(400, "Bad cursor", "after must be the `next` of an earlier page.")
    return ids[0], ids[1]
