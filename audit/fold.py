"""What an order's history says about it: the events, one after another, folded to the state that they tell.

The fold shares no code with the workflow: where both agree, two different readings of the contract agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from audit.facts import ACCEPTED, COMPLETED, GREETED, OUTCOMES, HistoryEntry, Line

ENRICHING: Final = "ENRICHING"
RESERVING: Final = "RESERVING"
COMPENSATING: Final = "COMPENSATING"
RESOLVED: Final = "orders.attention-resolved.v1"
CANCELS: Final = frozenset({"orders.cancel-order.v1", "orders.cancel-by-operator.v1"})
#: The first version of the workflow that asks around before it reserves.
ENRICHING_SINCE: Final = 2


@dataclass(frozen=True, slots=True)
class Folded:
    """What the history tells. `going_back`: it tells that a compensation has begun. The beginning of one is not always told by
    an event, so an open order may also be compensating where this is false. `currency` and `total_minor` are None before
    they were told; `customer_id` is None for a greeting, whose history does not tell it apart from the words. `paused`: it
    stands still."""

    status: str
    workflow: str
    workflow_version: int
    customer_id: str | None
    items: tuple[Line, ...]
    currency: str | None = None
    total_minor: int | None = None
    reason: str | None = None
    attention: bool = False
    going_back: bool = False
    paused: bool = False
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
    draft: _Draft | None = None
    for entry in history:
        if draft is None:
            if entry.type == GREETED:
                return Folded(COMPLETED, "greet", 1, None, (), outcome=entry)
            draft = _Draft(entry.data) if entry.type == "orders.order-started.v1" else None
        elif entry.type in OUTCOMES:
            draft.end(entry)
            break
        else:
            step = _STEPS.get(entry.type)
            if step is not None:
                step(draft, entry.data)
    return None if draft is None else draft.folded()


def settled_by_hand(history: Iterable[HistoryEntry]) -> bool:
    """Whether a person, named in the history, has done what a step of the compensation could not: then payment, the gateway or
    inventory have on record what they last did, and the person's reason says the rest."""
    return any(entry.type == RESOLVED and entry.data.get("operator") for entry in history)


def lines_of(items: Iterable[Mapping[str, Any]]) -> tuple[Line, ...]:
    """The lines of an order, event or reservation from their JSON."""
    return tuple(Line(item["sku"], item["quantity"], item.get("unit_price_minor")) for item in items)


class _Draft:
    """The state while it is being folded. It changes in place, for speed alone: nobody else sees it."""

    def __init__(self, started: Mapping[str, Any]) -> None:
        self.started = started
        self.status = ENRICHING if started["workflow_version"] >= ENRICHING_SINCE else RESERVING
        self.items = lines_of(started["items"])
        self.currency: str | None = None
        self.total_minor: int | None = None
        self.reason: str | None = None
        self.attention = self.going_back = self.paused = False
        self.outcome: HistoryEntry | None = None

    def price(self, data: Mapping[str, Any]) -> None:
        """All lines are told, with their prices."""
        self.items, self.total_minor, self.currency = lines_of(data["items"]), data["total_minor"], data["currency"]

    def end(self, entry: HistoryEntry) -> None:
        """The outcome."""
        self.status, self.reason, self.outcome = OUTCOMES[entry.type], entry.data.get("reason"), entry
        self.attention = self.paused = False
        if "total_minor" in entry.data:
            self.price(entry.data)

    def folded(self) -> Folded:
        """The draft, finished."""
        return Folded(
            status=self.status,
            workflow=self.started["workflow"],
            workflow_version=self.started["workflow_version"],
            customer_id=self.started["customer_id"],
            items=self.items,
            currency=self.currency,
            total_minor=self.total_minor,
            reason=self.reason,
            attention=self.attention,
            going_back=self.going_back,
            paused=self.paused,
            outcome=self.outcome,
        )


def _enriched(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.status = RESERVING


def _reserved(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.price(data)
    draft.status = "AWAITING_APPROVAL"


def _line_added(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.items = (*draft.items, Line(data["sku"], data["quantity"], data["unit_price_minor"]))
    draft.total_minor = data["total_minor"]


def _accepted(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.going_back = draft.going_back or (data["command_type"] in CANCELS and not data["duplicate"])


def _approved(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.status = "PAYING"


def _given_back(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.going_back = True


def _attention(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.attention = True


def _attention_over(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.attention = False


def _paused(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.paused = True


def _resumed(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.paused = False


#: What each event changes; an event that is not here changes nothing that a row shows.
_STEPS: Final[Mapping[str, Callable[[_Draft, Mapping[str, Any]], None]]] = {
    ACCEPTED: _accepted,
    "orders.order-enriched.v1": _enriched,
    "orders.stock-reserved.v1": _reserved,
    "orders.line-item-added.v1": _line_added,
    "orders.payment-approved.v1": _approved,
    "orders.stock-released.v1": _given_back,
    "orders.payment-refunded.v1": _given_back,
    "orders.attention-needed.v1": _attention,
    RESOLVED: _attention_over,
    "orders.order-paused.v1": _paused,
    "orders.order-resumed.v1": _resumed,
}
