"""What if? `POST /orders/{id}/plan` takes a command as it would be sent and tells what it would do. Nothing is sent or written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from pydantic_core import from_json, to_json

from contracts.envelope import headers_for
from contracts.orders import OPERATIONS
from contracts.topics import ORDERS_COMMANDS, ORDERS_OPERATIONS
from contracts.values import is_id
from messaging.decision import Message
from messaging.decoding import decode
from messaging.http import Problem, json_response, refuse_unknown
from messaging.ports import Record
from messaging.published import FetchOf
from services.orders.domain import Order, View
from services.orders.domain.foresee import Foresight, foresee
from services.orders.policy_record import ReadPolicies
from services.orders.store import LOOK, read_view

_FIELDS: Final = frozenset({"type", "data", "id", "source"})
#: Who asks, where the body does not say. A command of that name is never sent.
_NOBODY: Final = {"id": "plan", "source": "plan"}


class Plans:
    """Runs the workflow's own decision over an order as it is stored. `policies` answers those that the workers have; `now` tells
    the time."""

    def __init__(
        self,
        fetch_of: FetchOf,
        policies: ReadPolicies,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._fetch_of = fetch_of
        self._policies = policies
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """The one route."""
        return [web.post("/orders/{order_id}/plan", self.plan)]

    async def plan(self, request: web.Request) -> web.Response:
        """`POST /orders/{id}/plan`."""
        refuse_unknown(request, ())
        order_id, now = request.match_info["order_id"], self._now()
        message = message_of(order_id, await request.read(), now)
        view = View()
        if is_id(order_id):
            view = read_view((await self._fetch_of(order_id, LOOK, order_id, message.source, message.id))[0])
        return json_response(plan_json(order_id, message, foresee(view, message, now, await self._policies())))


def message_of(order_id: str, body: bytes, now: datetime) -> Message:
    """The command as its reader would read it from its topic; what is wrong with its data is told by the verdict.
    Raises `Problem` for a body that is no `{"type", "data"}`."""
    try:
        asked = from_json(body, allow_inf_nan=False)
    except ValueError:
        asked = None
    fits = isinstance(asked, dict) and {"type", "data"} <= asked.keys() <= _FIELDS and isinstance(asked["type"], str)
    if not fits:
        told = 'The body is the command as it would be sent: {"type": ..., "data": {...}}, with "id" and "source" if need be.'
        raise Problem(400, "Not a command", told)
    envelope = {"specversion": "1.0", "subject": order_id, **_NOBODY, **asked}
    topic = ORDERS_OPERATIONS if asked["type"] in OPERATIONS else ORDERS_COMMANDS
    record = Record(topic, 0, 0, order_id.encode(), to_json(envelope), headers_for(asked["type"]), now)
    found = decode(record, 1, {})
    if not isinstance(found, Message):
        raise Problem(400, "Not a command", "The command's id and source must be 1 to 64 printable characters.")
    return found


def plan_json(order_id: str, message: Message, foreseen: Foresight) -> dict[str, Any]:
    """The answer. `before` and `outcome`: how the order stands, and how it would stand in the end."""
    return {
        "order_id": order_id,
        "type": message.type,
        "verdict": asdict(foreseen.verdict),
        "steps": [asdict(step) for step in foreseen.steps],
        "then": [asdict(step) for step in foreseen.then],
        "money": [asdict(move) for move in foreseen.money],
        "stock": [asdict(move) for move in foreseen.stock],
        "before": _standing(foreseen.before),
        "outcome": _standing(foreseen.after),
    }


def _standing(order: Order | None) -> dict[str, Any] | None:
    if order is None:
        return None
    return {
        "status": order.status,
        "reason": order.reason,
        "waiting_for": order.waiting_for,
        "deadline": order.deadline,
        "paused": order.paused_at is not None,
        "ended": order.ended,
    }
