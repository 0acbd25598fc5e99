"""One order: its state in words, its way, its money, its tape; and why it does not move, where it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from orderctl.doctor import asking
from orderctl.doctor.diagnose import diagnose
from orderctl.errors import NotFoundError, OrderctlError
from services.console import story
from services.console.access import Who
from services.console.domain import ENDED, actions_for, in_words, masked, road_of, took_of, undone_of
from services.console.pages import OrderId, page, tell
from services.console.pages_orders import list_of
from services.console.wiring import Console, console_of

router = APIRouter()


# Not below /orders: an id may end with anything.
@router.get("/why/{order_id:path}")
async def why(request: Request, order_id: OrderId, person: Who) -> Response:
    """The doctor's chain of causes."""
    console = console_of(request)
    client = console.settings.client
    # A look asks every service and the broker: the pages that show it take turns.
    async with console.doctors, asking.session() as web:
        (order, unasked), world = await asyncio.gather(
            asking.ask_order(web, client, order_id), asking.ask_world(web, client, order_id)
        )
    found = diagnose(order, world)
    chain = story.chain(found.chain, person.role)
    away = (*unasked, *world.unasked)
    return page(request, person, "why.html", found=found, chain=chain, order_id=order_id, unasked=away)


@router.get("/orders/{order_id:path}")
async def order(request: Request, order_id: OrderId, person: Who) -> Response:
    """The order's page."""
    console = console_of(request)
    try:
        # All at once: the page waits for the slowest, and not for their sum.
        found, recorded, (charges, problem), done = await asyncio.gather(
            console.apis.order(order_id),
            console.apis.tape(order_id),
            _charges(console, order_id),
            console.acts.on(order_id, 50),
        )
    except NotFoundError:
        return tell(request, person, 404, "No such order", f"There is no order with the id {order_id}.")
    except OrderctlError as error:
        return tell(request, person, 502, "The query API does not answer", str(error))
    tape = story.shown(recorded["items"], found["customer_id"], person.role)
    events = [item for item in tape if item.get("kind") in {"event", "verdict"}]
    types = [str(item["type"]) for item in events]
    return page(
        request,
        person,
        "order.html",
        order=found,
        words=in_words(found),
        ended=found["status"] in ENDED,
        who=masked(found["customer_id"], person.role),
        road=road_of(found, types),
        undone=undone_of(types),
        took=took_of(
            found, [(kind, datetime.fromisoformat(item["at"])) for kind, item in zip(types, events, strict=True)]
        ),
        tape=tape,
        failure=story.failure(found["status"], tape),
        missing=recorded.get("missing", []),
        charges=charges,
        owed=_owed(found, charges),
        trouble=problem,
        actions=actions_for(person.role, found),
        acts=story.acts(done, person.role),
        list_=list_of(request.query_params.get("back", "")),
        chain=story.why_failed(found, road_of(found, types), tape) if found["status"] == "FAILED" else None,
    )


async def _charges(console: Console, order_id: str) -> tuple[list[Any], str]:
    """The money's side; an order can be looked at without it."""
    try:
        return await console.apis.charges(order_id), ""
    except OrderctlError as error:
        return [], str(error)


def _owed(order: Mapping[str, Any], charges: list[Any]) -> int:
    """What was taken of an order that is not completed, or is on its way there, and not given back yet."""
    if order["status"] == "COMPLETED":
        return 0
    return sum(charge["captured_minor"] - charge["refunded_minor"] for charge in charges)
