"""What an order's history says about what it waits for now, and whom it has asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from orderctl.doctor.facts import OrderFacts, Request, moment

#: Who answers what an order waits for.
ASKED: Final[dict[str, tuple[str, ...]]] = {
    "enrichment": ("customer", "inventory", "recommendation"),
    "stock": ("inventory",),
    "release": ("inventory",),
    "payment": ("payment",),
    "payment-outcome": ("payment",),
    "refund": ("payment",),
}
ENDED: Final = frozenset({"COMPLETED", "CANCELLED", "FAILED"})
#: Entries that are told about an order while it stands where it stood.
_ASIDE: Final = (
    "orders.attention-",
    "orders.command-",
    "orders.line-item-added",
    "orders.order-paused",
    "orders.order-resumed",
    "orders.noted",
    "orders.asked",
    "orders.retried-now",
)
_FAILED: Final = ("orders.retry-scheduled", "orders.attempt-failed")
#: The next attempt was made.
_TRIED: Final = ("orders.asked", "orders.retried-now")


@dataclass(frozen=True, slots=True)
class Retry:
    """The last attempt failed, and the next one is due at `due_at` (None: it is left to a person). `made`: it was made."""

    attempt: int
    error: str
    due_at: datetime | None
    made: bool


def since_of(order: OrderFacts) -> datetime | None:
    """Since when the order stands where it stands: the last thing that moved it."""
    for entry in reversed(order.history):
        if not str(entry.get("type", "")).startswith(_ASIDE):
            return moment(entry.get("at"))
    return order.created_at


def retry_of(order: OrderFacts) -> Retry | None:
    """The retry that the order waits for, if that was the last thing that moved it."""
    made = False
    for entry in reversed(order.history):
        kind, data = str(entry.get("type", "")), entry.get("data") or {}
        if kind in _FAILED:
            due_at = moment(data.get("next_attempt_at"))
            return Retry(int(data.get("failed_attempt") or 0), str(data.get("error") or ""), due_at, made)
        if not kind.startswith(_ASIDE):
            return None
        made = made or kind.startswith(_TRIED)
    return None


def open_requests(order: OrderFacts) -> tuple[Request, ...]:
    """The request that each participant has not answered, of those made since the order stands where it stands: the last one whose
    place is known. (One that was repeated a moment ago stands behind it, and says less.)"""
    began = since_of(order)
    answered = {entry.get("answers") for entry in order.history}
    found: dict[str, Request] = {}
    for entry in order.history:
        at = moment(entry.get("at"))
        if began is not None and at is not None and at < began:
            continue
        for sent in entry.get("sent") or ():
            request = _request(sent, at)
            if sent.get("id") in answered:
                found.pop(request.service, None)
            elif request.offset is not None or request.service not in found:
                found[request.service] = request
    return tuple(found.values())


def _request(sent: Mapping[str, Any], at: datetime | None) -> Request:
    """A request as the history tells it; without a place it is not known to be published."""
    kind = str(sent.get("type") or "")
    service = kind.partition(".")[0]
    offset = sent.get("offset")
    return Request(
        service=service,
        type=kind,
        topic=str(sent.get("topic") or f"{service}.commands.v1"),
        offset=offset if isinstance(offset, int) else None,
        at=at,
    )


def attention_of(order: OrderFacts) -> str | None:
    """Why the order needs a person, as it was told."""
    if order.status != "NEEDS_ATTENTION":
        return None
    for entry in reversed(order.history):
        if str(entry.get("type", "")).startswith("orders.attention-needed"):
            data = entry.get("data") or {}
            return f"{data.get('reason', '')}: {data.get('message', '')}".strip(": ")
    return "no cause is told"


def paused_by(order: OrderFacts) -> tuple[str, datetime | None]:
    """Who paused the order, and when."""
    for entry in reversed(order.history):
        if str(entry.get("type", "")).startswith("orders.order-paused"):
            return str((entry.get("data") or {}).get("operator") or "an operator"), moment(entry.get("at"))
    return "an operator", None
