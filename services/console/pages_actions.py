"""Stepping in: what an action would do is shown first, then it is sent as a command, and the verdict is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast
from uuid import uuid4

from fastapi import APIRouter, Request, Response

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
from contracts.values import CommandData, Item
from orderctl.command import Command, new_command
from orderctl.errors import OrderctlError, UsageError
from services.console.access import Form, Who, require
from services.console.domain import NEEDS
from services.console.pages import OrderId, link, page, tell
from services.console.store import Act, Person
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
    return page(request, person, "act.html", **_facts("start", "", fresh), **await _catalogue(console_of(request)))


async def _catalogue(console: Console) -> dict[str, Any]:
    """What the form for a new order shows beside its fields; an order can be started without it."""
    try:
        found = await console.apis.inventory.get("/skus", {"limit": str(CATALOGUE)})
    except OrderctlError as error:
        return {"catalogue": [], "more": False, "methods": METHODS, "trouble": str(error)}
    return {"catalogue": found["items"], "more": found["next"] is not None, "methods": METHODS, "trouble": ""}


@router.post("/start")
async def start(request: Request, person: Who, form: Form) -> Response:
    """A new order: its plan, or the order itself."""
    return await _go_on(request, person, "start", form.get("order_id", "").strip(), form)


@router.get("/act/{action}/{order_id:path}")
async def ask(request: Request, action: str, order_id: OrderId, person: Who) -> Response:
    """The form for an action."""
    if action not in NEEDS or action == "start":
        return tell(request, person, 404, "No such action", f"There is no action {action}.")
    require(person, action)
    return page(request, person, "act.html", **_facts(action, order_id, {}))


@router.post("/act/{action}/{order_id:path}")
async def act(request: Request, action: str, order_id: OrderId, person: Who, form: Form) -> Response:
    """The plan of an action, or the action itself."""
    if action not in NEEDS or action == "start":
        return tell(request, person, 404, "No such action", f"There is no action {action}.")
    return await _go_on(request, person, action, order_id, form)


async def _go_on(request: Request, person: Person, action: str, order_id: str, form: Mapping[str, str]) -> Response:
    require(person, action)
    filled = {name: value.strip() for name, value in form.items()}
    facts = _facts(action, order_id, filled)
    try:
        reason_given(filled)
        # The id is the same from the plan on: sent twice, it is one command.
        command_id = filled.get("command_id") or uuid4().hex
        command = new_command(order_id, lambda: MAKE[action](person, filled), command_id, SOURCE)
        if filled.get("step") == "send":
            return await _send(request, person, action, command, filled["reason"])
        plan = await console_of(request).apis.plan(command, known=False)
    except OrderctlError as error:
        more = await _catalogue(console_of(request)) if action == "start" else {}
        status = 400 if isinstance(error, UsageError) else 502
        return page(request, person, "act.html", status, **facts, **more, error=str(error))
    return page(request, person, "plan.html", **facts, plan=plan, command_id=command.id)


def reason_given(filled: Mapping[str, str]) -> None:
    if not filled.get("reason"):
        raise UsageError("Say why: the reason stands in the record of what was done.")


async def _send(request: Request, person: Person, action: str, command: Command, reason: str) -> Response:
    console = console_of(request)
    told: dict[str, Any] = {"accepted": None, "message": "", "reason": None}
    try:
        verdict = await console.hub.ask(command)
    except OrderctlError as error:
        # It may be on the topic all the same: that is said, and recorded.
        told["message"] = outcome = str(error)
    else:
        told |= {"accepted": verdict.accepted, "message": verdict.message or "", "reason": verdict.reason}
        outcome = "accepted" if verdict.accepted else f"rejected: {verdict.reason}"
    await console.store.record(Act(person, action, command.key, reason, command.id, outcome))
    status = 200 if told["accepted"] is not None else 504
    facts = {"title": TITLES[action], "order_id": command.key, "verdict": told, "command_id": command.id}
    return page(request, person, "verdict.html", status, **facts)


def _facts(action: str, order_id: str, filled: Mapping[str, str]) -> dict[str, Any]:
    where = "/start" if action == "start" else link(f"act/{action}", order_id)
    return {
        "action": action,
        "title": TITLES[action],
        "order_id": order_id,
        "fields": FIELDS.get(action, ()),
        "filled": filled,
        "where": where,
    }
