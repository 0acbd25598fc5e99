"""What the console decides without asking anybody: who may do what, how an order's state reads in words, which way it took."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

Role = Literal["viewer", "support", "operator"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "support", "operator")

#: What each action needs at least. A support desk speaks for the customer; stepping into the machinery is an operator's.
NEEDS: Final[Mapping[str, Role]] = {
    "start": "support",
    "approve": "support",
    "cancel": "support",
    "add-line": "support",
    "retry-now": "operator",
    "pause": "operator",
    "resume": "operator",
    "resolve": "operator",
}

#: What else has a role: to see what a dead letter says, to settle it, to act on many orders at once, to see all of what was done.
ALSO_NEEDS: Final[Mapping[str, Role]] = {
    "see-letters": "support",
    "see-acts": "support",
    "letters": "operator",
    "bulk": "operator",
}

WAITING: Final[Mapping[str, str]] = {
    "enrichment": "for the customer's profile and what is in stock",
    "stock": "for inventory to hold the stock",
    "approval": "for a person to approve the payment",
    "payment": "for the payment to be taken",
    "payment-outcome": "to learn what became of the payment: its outcome is unknown and is being asked for",
    "release": "for the stock to be given back",
    "refund": "for the money to be given back",
    "operator": "for a person: it is paused",
}
REASONS: Final[Mapping[str, str]] = {
    "customer-request": "it was cancelled on request",
    "approval-timeout": "nobody approved it in time",
    "out-of-stock": "there was not enough stock",
    "unknown-sku": "a SKU is not in the catalogue",
    "unknown-customer": "the customer is not registered",
    "currency-mismatch": "its lines are not of one currency",
    "total-too-large": "its total is beyond the limit",
    "payment-declined": "the payment was declined",
    "payment-failed": "the payment could not be taken",
    "reservation-timeout": "its hold on the stock ran out",
}
ENDED: Final = frozenset({"COMPLETED", "CANCELLED", "FAILED"})


def may(role: Role, action: str) -> bool:
    """Whether the role is enough for the action."""
    return ROLES.index(role) >= ROLES.index(NEEDS[action] if action in NEEDS else ALSO_NEEDS[action])


def actions_for(role: Role, order: Mapping[str, Any]) -> tuple[str, ...]:
    """What this role could do with the order as it stands. What the system makes of it is told by the plan."""
    if order["status"] in ENDED:
        return ()
    found = ["approve", "add-line"] if order["waiting_for"] in {"approval", "stock", "enrichment"} else []
    found += ["cancel", "resume" if order["paused"] else "pause", "retry-now"]
    if order["status"] == "NEEDS_ATTENTION":
        found.append("resolve")
    return tuple(action for action in found if may(role, action))


def in_words(order: Mapping[str, Any]) -> str:
    """The state of an order as a sentence."""
    status, reason = str(order["status"]), order.get("reason")
    if status == "COMPLETED" and order.get("workflow") == "greet":
        return "Greeted."
    if status == "COMPLETED":
        return "Completed: the money is taken and the goods are on their way."
    if status in ENDED:
        return f"{status.capitalize()}, because {REASONS.get(str(reason), str(reason))}."
    waits = WAITING.get(str(order.get("waiting_for")), str(order.get("waiting_for")))
    if status == "NEEDS_ATTENTION":
        return f"Needs a person. It waits {waits}, and that keeps failing."
    undoing = "What it took is being given back; it waits " if status == "COMPENSATING" else "It waits "
    return f"{undoing}{waits}."


@dataclass(frozen=True, slots=True)
class Stop:
    """A station of the workflow's picture. `state`: passed, here, failed, or ahead."""

    name: str
    label: str
    state: Literal["passed", "here", "failed", "ahead"]


_ROAD: Final = (
    ("enriched", "Enrich"),
    ("reserved", "Hold stock"),
    ("approved", "Approval"),
    ("captured", "Payment"),
    ("completed", "Completed"),
)
#: The smallest workflow has one.
_GREET: Final = (("greeted", "Greeted"),)
_MARKS: Final[Mapping[str, str]] = {
    "orders.order-enriched.v1": "enriched",
    "orders.stock-reserved.v1": "reserved",
    "orders.payment-approved.v1": "approved",
    "orders.payment-captured.v1": "captured",
    "orders.order-completed.v1": "completed",
    "orders.greeted.v1": "greeted",
}
_UNDONE: Final[Mapping[str, tuple[str, str]]] = {
    "orders.payment-refunded.v1": ("captured", "Refund"),
    "orders.stock-released.v1": ("reserved", "Release"),
}


def road_of(order: Mapping[str, Any], types: Sequence[str]) -> tuple[Stop, ...]:
    """The stations of the happy way, and how far the order came on it. `types`: of its history's entries, in order."""
    seen = {_MARKS[kind] for kind in types if kind in _MARKS}
    road: Sequence[tuple[str, str]] = _ROAD[1:] if order.get("workflow_version") == 1 else _ROAD
    if order.get("workflow") == "greet":
        road = _GREET
    undoing = order["status"] == "COMPENSATING" or order.get("waiting_for") in {"release", "refund"}
    stops: list[Stop] = []
    stuck = False
    for name, label in road:
        if name in seen:
            stops.append(Stop(name, label, "passed"))
        elif not stuck:
            failed = undoing or order["status"] in {"CANCELLED", "FAILED"}
            stops.append(Stop(name, label, "failed" if failed else "here"))
            stuck = True
        else:
            stops.append(Stop(name, label, "ahead"))
    if order["status"] in ENDED and order["status"] != "COMPLETED":
        # It came to an end, and not to this one.
        stops[-1] = Stop("completed", str(order["status"]).capitalize(), "failed")
    elif undoing:
        stops[-1] = Stop("completed", "Being undone", "here")
    return tuple(stops)


def took_of(order: Mapping[str, Any], events: Sequence[tuple[str, datetime]]) -> dict[str, float]:
    """By station the seconds from the one before, or from the order's start. `events`: types and times, in order."""
    found: dict[str, float] = {}
    before = datetime.fromisoformat(str(order["created_at"]))
    for kind, at in events:
        name = _MARKS.get(kind)
        if name is not None and name not in found:
            found[name], before = max(0.0, (at - before).total_seconds()), at
    return found


def undone_of(types: Sequence[str]) -> dict[str, str]:
    """What was undone, by the station that it undoes."""
    return {_UNDONE[kind][0]: _UNDONE[kind][1] for kind in types if kind in _UNDONE}


#: Stands where a viewer may not read what somebody wrote.
HIDDEN: Final = "(not shown to viewers)"


def masked(customer_id: str | None, role: Role) -> str:
    """A customer's id as the role may see it: who only looks on sees its first letters, of a short one none."""
    text = customer_id or ""
    if role != "viewer" or not text:
        return text
    return f"{text[:2]}…" if len(text) > 4 else "…"


_AGE: Final = re.compile(r"^(?:older than )?([0-9]{1,6}) ?(s|m|h|d|w|seconds?|minutes?|hours?|days?|weeks?)$")
_UNIT_S: Final[Mapping[str, float]] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def age_limit(wanted: str | None) -> float | None:
    """The seconds of an age such as `15m`, `2 hours` or `older than 10 minutes`; None where there is none. Raises `ValueError`."""
    text = " ".join((wanted or "").lower().split())
    if not text:
        return None
    found = _AGE.match(text)
    if found is None:
        raise ValueError("An age is a number and a unit: 10 minutes, 2 hours, 3 days, or 10m, 2h, 3d.")
    return int(found[1]) * _UNIT_S[found[2][0]]
