"""Stepping in: what an action would do is shown first, then it is sent as a command, and the verdict is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from contracts.orders import (
    AddLineItem,
    ApprovePayment,
    CancelByOperator,
    CancelOrder,
    PauseOrder,
    ResolveAttention,
    ResumeOrder,
    RetryNow,
    StartOrder,
)
from contracts.registry import COMMANDS
from contracts.values import CommandData, Item
from orderctl.command import Command, new_command
from orderctl.errors import OrderctlError, UsageError
from services.console.access import Form, Who, require
from services.console.act_store import Act
from services.console.domain import NEEDS
from services.console.pages import OrderId, link, page, reason_given, refuse, refused, see_act, tell
from services.console.store import Person
from services.console.wiring import Console, console_of

router = APIRouter()

SOURCE: Final = "console"
DEFAULT_METHOD: Final = "pm_card_visa"
#: What the simulated gateway knows; another gateway's can be written all the same.
METHODS: Final = (DEFAULT_METHOD, "pm_card_declined", "pm_card_timeout", "pm_card_late", "pm_refund_fails")
CATALOGUE: Final = 200
TITLES: Final[Mapping[str, str]] = {
    "approve": "Approve the payment",
    "cancel": "Cancel the order",
    "add-line": "Add a line",
    "retry-now": "Try again now",
    "pause": "Pause the order",
    "resume": "Resume the order",
    "resolve": "Resolve what needs a person",
    "start": "Start an order",
}
#: What the form asks beside the reason.
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "add-line": ("sku", "quantity"),
    "resolve": ("resolution", "evidence"),
    "start": ("order_id", "customer_id", "items", "payment_method"),
}
NO_PLAN: Final = (
    "There is no plan of yours for this. See what it would do first, and send it from there: plans are kept for a day."
)
_MODELS: Final = {kind: model for models in COMMANDS.values() for kind, model in models.items()}
_Make = Callable[[Person, Mapping[str, str]], CommandData]


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"A quantity is a whole number, not {text!r}.")
    return int(text[:12])


def _cancel(person: Person, form: Mapping[str, str]) -> CommandData:
    if person.role == "operator":
        return CancelByOperator(operator=person.name, reason=form["reason"])
    return CancelOrder(reason=form["reason"])


def _resolve(person: Person, form: Mapping[str, str]) -> CommandData:
    wanted = cast("Literal['retry', 'settled']", form.get("resolution", "retry"))
    evidence = form.get("evidence") or None
    return ResolveAttention(operator=person.name, reason=form["reason"], resolution=wanted, evidence=evidence)


def _start(_: Person, form: Mapping[str, str]) -> CommandData:
    items = []
    for line in form.get("items", "").replace(",", "\n").splitlines():
        if line.strip():
            sku, _sep, quantity = line.strip().rpartition(":")
            items.append(Item(sku=sku, quantity=_whole(quantity)))
    method = form.get("payment_method") or DEFAULT_METHOD
    return StartOrder(customer_id=form.get("customer_id", ""), items=tuple(items), payment_method=method)


MAKE: Final[Mapping[str, _Make]] = {
    "approve": lambda person, _: ApprovePayment(approved_by=person.name),
    "cancel": _cancel,
    "add-line": lambda _, form: AddLineItem(sku=form.get("sku", ""), quantity=_whole(form.get("quantity", ""))),
    "retry-now": lambda person, form: RetryNow(operator=person.name, reason=form["reason"]),
    "pause": lambda person, form: PauseOrder(operator=person.name, reason=form["reason"]),
    "resume": lambda person, form: ResumeOrder(operator=person.name, reason=form["reason"]),
    "resolve": _resolve,
    "start": _start,
}


@router.get("/start")
async def start_form(request: Request, person: Who) -> Response:
    """The form for a new order, with the catalogue."""
    require(person, "start")
    # An id to begin with; who has one of his own writes that.
    fresh = {"order_id": f"ORDER-{console_of(request).now():%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"}
    return _form(request, person, "start", "", fresh, await _catalogue(console_of(request)))


async def _catalogue(console: Console) -> dict[str, Any]:
    """What the form for a new order shows beside its fields; an order can be started without it."""
    try:
        found = await console.apis.inventory.get("/skus", {"limit": str(CATALOGUE)})
    except OrderctlError as error:
        return {"catalogue": [], "more": False, "methods": METHODS, "trouble": str(error)}
    return {"catalogue": found["items"], "more": found["next"] is not None, "methods": METHODS, "trouble": ""}


@router.post("/start")
async def start(request: Request, person: Who, form: Form) -> Response:
    """A new order: make its plan, or send what was planned."""
    return await _go_on(request, person, "start", form.get("order_id", "").strip(), form)


@router.get("/act/{action}/{order_id:path}")
async def ask(request: Request, action: str, order_id: OrderId, person: Who) -> Response:
    """The form for an action."""
    if action not in NEEDS or action == "start":
        return tell(request, person, 404, "No such action", f"There is no action {action}.")
    require(person, action)
    return _form(request, person, action, order_id, {}, {})


def _form(
    request: Request,
    person: Person,
    action: str,
    order_id: str,
    filled: Mapping[str, str],
    more: Mapping[str, Any],
) -> Response:
    """What it asks, with what was filled in where it was refused."""
    before = refused(request, person)
    facts = {
        "action": action,
        "title": TITLES[action],
        "order_id": order_id,
        "fields": FIELDS.get(action, ()),
        "filled": {**filled, **before.filled},
        "where": where_of(request, action, order_id),
        "error": before.error,
    }
    return page(request, person, "act.html", before.status, **facts, **more)


@router.post("/act/{action}/{order_id:path}")
async def act(request: Request, action: str, order_id: OrderId, person: Who, form: Form) -> Response:
    """Make the plan of an action, or send what was planned. The act's own page shows what came of it."""
    if action not in NEEDS or action == "start":
        return tell(request, person, 404, "No such action", f"There is no action {action}.")
    return await _go_on(request, person, action, order_id, form)


async def _go_on(request: Request, person: Person, action: str, order_id: str, form: Mapping[str, str]) -> Response:
    require(person, action)
    filled = {name: value.strip() for name, value in form.items()}
    if filled.get("step") == "send":
        return await _send(request, person, action, order_id, filled)
    console = console_of(request)
    try:
        reason_given(filled)
        command = new_command(order_id, lambda: MAKE[action](person, filled), None, SOURCE)
        plan = await console.apis.plan(command, known=False)
    except OrderctlError as error:
        return refuse(request, person, where_of(request, action, order_id), filled, error)
    act = Act(person.name, person.role, action, command.key, filled["reason"], command.id)
    asked = {"type": command.type, "data": command.data.model_dump(mode="json", exclude_unset=True)}
    return see_act(request, await console.acts.plan(act, asked, plan))


async def _send(request: Request, person: Person, action: str, order_id: str, filled: Mapping[str, str]) -> Response:
    acts = console_of(request).acts
    found = await acts.planned(person.name, person.role, filled.get("command_id", ""))
    if found is None or (found["action"], found["target"]) != (action, order_id):
        return refuse(request, person, where_of(request, action, order_id), filled, NO_PLAN, 409)
    if found["state"] != "told":
        # On record before it is sent. Sent a second time it is the same command: its id is the plan's.
        first = await acts.sending(found["id"])
        await _ask(console_of(request), found, first)
    return see_act(request, found["id"])


async def _ask(console: Console, act: Mapping[str, Any], first: bool) -> None:
    """Send what was planned, and keep what is answered. `first`: nobody has tried that before."""
    data = _MODELS[act["asked"]["type"]].model_validate_json(to_json(act["asked"]["data"]))
    try:
        verdict = await console.hub.ask(Command(act["command_id"], act["target"], data, SOURCE))
    except OrderctlError as error:
        # It may be on the topic all the same: that is said, and recorded.
        before = "" if first else " An earlier attempt was not answered either."
        await console.acts.unanswered(act["id"], f"{error}{before}")
        return
    told = {"accepted": verdict.accepted, "reason": verdict.reason, "message": verdict.message or ""}
    await console.acts.told(act["id"], told, "accepted" if verdict.accepted else f"rejected: {verdict.reason}")


def where_of(request: Request, action: str, order_id: str) -> str:
    """The address to which an action's forms are sent; they lead back to the list that somebody came from."""
    back = request.query_params.get("back", "")
    return "/start" if action == "start" else link(f"act/{action}", order_id, back=back)
