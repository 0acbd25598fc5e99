"""What notification answers over HTTP: what became of the mails, never to whom they went."""

from __future__ import annotations

from typing import Final, get_args

import asyncpg
from aiohttp import web

from contracts.values import is_id
from messaging.http import Problem, json_response, limit_of, refuse_unknown
from services.notification.domain import Status
from services.notification.letter import subject_of

_COLUMNS: Final = "order_id, kind, cause, status, attempts, last_error, message_id, created_at, sent_at"

MAILS_OF_ORDER: Final = f"""
SELECT {_COLUMNS} FROM mail WHERE order_id = $1 AND ($2::text IS NULL OR status = $2)
ORDER BY created_at DESC, kind LIMIT $3
"""

UNDELIVERABLE: Final = f"""
SELECT {_COLUMNS} FROM mail WHERE status = 'undeliverable' ORDER BY created_at DESC, order_id, kind LIMIT $1
"""


def routes(pool: asyncpg.Pool) -> list[web.RouteDef]:
    """`GET /mails?order_id=` (also `&status=`), and `GET /mails?status=undeliverable`: what a person should look at."""

    async def mails(request: web.Request) -> web.Response:
        refuse_unknown(request, ("order_id", "status", "limit"))
        order_id, status, limit = request.query.get("order_id"), request.query.get("status"), limit_of(request)
        if status is not None and status not in get_args(Status):
            raise Problem(400, "Unknown status", f"status must be one of {', '.join(get_args(Status))}.")
        if order_id is not None:
            rows = await pool.fetch(MAILS_OF_ORDER, order_id, status, limit) if is_id(order_id) else []
        elif status == "undeliverable":
            rows = await pool.fetch(UNDELIVERABLE, limit)
        else:
            raise Problem(400, "No order named", "Name an order_id, or ask for status=undeliverable.")
        items = [{**row, "subject": subject_of(row["order_id"], row["kind"])} for row in rows]
        return json_response({"items": items, "next": None})

    return [web.get("/mails", mails)]
