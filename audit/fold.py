"""What an order's history says about it: the events, one after another, folded to the state that they tell.

The fold shares no code with the workflow: where both agree, two different readings of the contract agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from audit.facts import ACCEPTED, OUTCOMES, HistoryEntry, Line

RESERVING: Final = "RESERVING"
COMPENSATING: Final = "COMPENSATING"
CANCEL: Final = "orders.cancel-order.v1"


@dataclass(frozen=True, slots=True)
class Folded:
    """What the history tells. `going_back`: it tells that a compensation has begun. The beginning of one is not always told by
    an event, so an open order may also be compensating where this is false. `currency` and `total_minor` are None before
    they were told."""

    status: str
    workflow: str
    workflow_version: int
    customer_id: str
    items: tuple[Line, ...]
    currency: str | None = None
    total_minor: int | None = None
    reason: str | None = None
    attention: bool = False
    going_back: bool = False
    outcome: HistoryEntry | None = None

    @property
    def statuses(self) -> frozenset[str]:
        """The statuses that the order may have after this history."""
        if self.outcome is not None:
            return frozenset({self.status})
        if self.attention:
            return frozenset({"NEEDS_ATTENTION"})
        return frozenset({COMPENSATING} if self.going_back else {self.status, COMPENSATING})


def fold(history: Iterable[HistoryEntry]) -> Folded | None:
    """The state that this history tells; None where it tells of no order. What comes after the first outcome is not looked at."""
    folded: Folded | None = None
    for entry in history:
        if folded is None:
            folded = _begun(entry.data) if entry.type == "orders.order-started.v1" else None
        else:
            folded = _after(folded, entry)
            if folded.outcome is not None:
                break
    return folded


def lines_of(items: Iterable[Mapping[str, Any]]) -> tuple[Line, ...]:
    """The lines of an order, event or reservation from their JSON."""
    return tuple(Line(item["sku"], item["quantity"], item.get("unit_price_minor")) for item in items)


def _begun(data: Mapping[str, Any]) -> Folded:
    return Folded(
        status=RESERVING,
        workflow=data["workflow"],
        workflow_version=data["workflow_version"],
        customer_id=data["customer_id"],
        items=lines_of(data["items"]),
    )


def _after(folded: Folded, entry: HistoryEntry) -> Folded:
    if entry.type in OUTCOMES:
        return _ended(folded, entry)
    step = _STEPS.get(entry.type)
    return folded if step is None else step(folded, entry.data)


def _ended(folded: Folded, entry: HistoryEntry) -> Folded:
    data = entry.data
    ended = replace(folded, status=OUTCOMES[entry.type], reason=data.get("reason"), attention=False, outcome=entry)
    if "total_minor" not in data:
        return ended
    return replace(ended, items=lines_of(data["items"]), total_minor=data["total_minor"], currency=data["currency"])


def _reserved(folded: Folded, data: Mapping[str, Any]) -> Folded:
    waiting = replace(folded, status="AWAITING_APPROVAL", items=lines_of(data["items"]))
    return replace(waiting, total_minor=data["total_minor"], currency=data["currency"])


def _line_added(folded: Folded, data: Mapping[str, Any]) -> Folded:
    added = Line(data["sku"], data["quantity"], data["unit_price_minor"])
    return replace(folded, items=(*folded.items, added), total_minor=data["total_minor"])


def _accepted(folded: Folded, data: Mapping[str, Any]) -> Folded:
    cancels = data["command_type"] == CANCEL and not data["duplicate"]
    return replace(folded, going_back=True) if cancels else folded


#: What each event changes; an event that is not here changes nothing that a row shows.
_STEPS: Final[Mapping[str, Callable[[Folded, Mapping[str, Any]], Folded]]] = {
    ACCEPTED: _accepted,
    "orders.stock-reserved.v1": _reserved,
    "orders.line-item-added.v1": _line_added,
    "orders.payment-approved.v1": lambda folded, _: replace(folded, status="PAYING"),
    "orders.stock-released.v1": lambda folded, _: replace(folded, going_back=True),
    "orders.payment-refunded.v1": lambda folded, _: replace(folded, going_back=True),
    "orders.attention-needed.v1": lambda folded, _: replace(folded, attention=True),
    "orders.attention-resolved.v1": lambda folded, _: replace(folded, attention=False),
}
