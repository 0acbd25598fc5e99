"""`GET /orders/{id}/tape`: what the orders database has on record, joined with what the participants have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from messaging.http import json_response
from messaging.published import FetchOf
from services.orders.api.participants import Participants
from services.orders.api.record import commands_of, history_of
from services.orders.tape import Facts, assemble

FindOrder = Callable[[web.Request], Awaitable[Mapping[str, Any]]]


def tape_routes(fetch_of: FetchOf, find: FindOrder, participants: Participants) -> list[web.RouteDef]:
    """The route. `find` gives the order that a request names, or raises `Problem`."""

    async def tape(request: web.Request) -> web.Response:
        order = await find(request)
        order_id = order["order_id"]
        # The participants first: what made their stock and money move is then in the history for certain.
        answers = await participants.ask(order_id)
        facts = Facts(
            order=order,
            history=await history_of(fetch_of, order_id),
            commands=await commands_of(fetch_of, order_id),
            movements=answers.movements,
            entries=answers.entries,
            charges=answers.charges,
            mails=answers.mails,
        )
        items = assemble(facts, datetime.now(UTC))
        return json_response({"items": items, "next": None, "missing": answers.missing})

    return [web.get("/orders/{order_id}/tape", tape)]
