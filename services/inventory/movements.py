"""What one order did to the stock, as the stock room has it on record: held, refused, given back, shipped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
from aiohttp import web

from contracts.values import is_id
from messaging.http import Problem, json_response, refuse_unknown
from services.inventory.ledger import Reservation
from services.inventory.store import RESERVATION_COLUMNS, reservation_of

OF_ORDER: Final = f"SELECT {RESERVATION_COLUMNS} FROM reservation WHERE order_id = $1"


def movements(reservations: Iterable[Reservation]) -> list[dict[str, Any]]:
    """The movements of these reservations, oldest first. What was given back or shipped had been held before."""
    found: list[tuple[datetime, dict[str, Any]]] = []
    for made in reservations:
        held = made.refusal is None
        found.append((made.created_at, _movement("held" if held else made.state, made, made.created_at)))
        if made.state in {"released", "shipped"}:
            found.append((made.updated_at, _movement(made.state, made, made.updated_at)))
    return [movement for _, movement in sorted(found, key=lambda pair: (pair[0], pair[1]["reservation_id"]))]


def _movement(kind: str, made: Reservation, at: datetime) -> dict[str, Any]:
    return {
        "kind": kind,
        "order_id": made.order_id,
        "reservation_id": made.reservation_id,
        "items": [line.model_dump() for line in made.lines],
        "currency": made.currency,
        "reason": None if made.refusal is None else made.refusal.reason,
        "message": None if made.refusal is None else made.refusal.message,
        "at": at,
    }


def movement_routes(pool: asyncpg.Pool) -> Sequence[web.RouteDef]:
    """`GET /movements?order_id=`: all of an order's, oldest first; it has few."""

    async def of_order(request: web.Request) -> web.Response:
        refuse_unknown(request, ("order_id",))
        order_id = request.query.get("order_id")
        if order_id is None:
            raise Problem(400, "No order named", "Name an order_id.")
        rows = await pool.fetch(OF_ORDER, order_id) if is_id(order_id) else []
        return json_response({"items": movements(reservation_of(row) for row in rows), "next": None})

    return [web.get("/movements", of_order)]
