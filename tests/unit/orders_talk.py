"""An order to talk to in tests: what is told to it, what it answers, and how its participants would answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import customer, inventory, payment, recommendation
from contracts.customer import Tier
from contracts.envelope import InvalidCommand
from contracts.orders import (
    AddLineItem,
    ApprovePayment,
    CancelByOperator,
    CancelOrder,
    CommandAccepted,
    CommandRejected,
    OrderCancelled,
    OrderCompleted,
    OrderFailed,
    PauseOrder,
    ResolveAttention,
    ResumeOrder,
    RetryNow,
    StartOrder,
)
from contracts.values import FailureKind, Item, PricedItem
from messaging.decision import Message, Note, Outgoing, SetTimer, TimerFired
from services.orders.domain import Order, View, decide
from services.orders.domain.policies import DEFAULTS, Policies
from services.orders.domain.state import Phase, business_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = business_id("rsv", "O", "0")
EXTRA = business_id("rsv", "O", "1")
CHARGE = business_id("ch", "O")
REFUND = business_id("rf", "O")
ENRICHMENT = business_id("enr", "O")
TERMINAL = (OrderCompleted, OrderCancelled, OrderFailed)


def start(**changes: Any) -> StartOrder:
    """An order of version 1, unless it says otherwise: what the versions have in common is tried there."""
    asked = {"customer_id": "ann", "items": (Item(sku="tea", quantity=2),), "workflow_version": 1}
    return StartOrder(**{**asked, **changes})


APPROVE, CANCEL = ApprovePayment(approved_by="boss"), CancelOrder(reason="no")
ADD = AddLineItem(sku="mug", quantity=1)
BY: dict[str, Any] = {"operator": "op", "reason": "because"}
RETRY_NOW, PAUSE, RESUME = RetryNow(**BY), PauseOrder(**BY), ResumeOrder(**BY)
CANCEL_BY_OPERATOR = CancelByOperator(**BY)
SETTLED = ResolveAttention(**BY, resolution="settled")
INVALID = InvalidCommand("bad", "test", "orders.nonsense.v1", "O", "This is nonsense.")


def held(reservation_id: str = FIRST, sku: str = "tea", quantity: int = 2, price: int = 250) -> inventory.StockReserved:
    line = PricedItem(sku=sku, quantity=quantity, unit_price_minor=price)
    return inventory.StockReserved(reservation_id=reservation_id, items=(line,), currency="GBP")


def refused(reservation_id: str = FIRST, reason: Any = "out-of-stock") -> inventory.ReservationRefused:
    return inventory.ReservationRefused(reservation_id=reservation_id, reason=reason, message="None left.")


def released(reservation_id: str = FIRST) -> inventory.StockReleased:
    return inventory.StockReleased(reservation_id=reservation_id, items=(Item(sku="tea", quantity=2),))


def expired(reservation_id: str = FIRST) -> inventory.ReservationExpired:
    return inventory.ReservationExpired(reservation_id=reservation_id, expired_at=NOW)


def found(tier: Tier = "STANDARD") -> customer.CustomerFound:
    return customer.CustomerFound(request_id=ENRICHMENT, customer_id="ann", tier=tier)


def nobody() -> customer.CustomerUnknown:
    return customer.CustomerUnknown(request_id=ENRICHMENT, customer_id="ann")


def checked() -> inventory.StockChecked:
    return inventory.StockChecked(request_id=ENRICHMENT, levels=())


def recommended(*skus: str) -> recommendation.Recommended:
    return recommendation.Recommended(request_id=ENRICHMENT, skus=skus)


def captured(amount: int = 500, attempt: int = 1) -> payment.ChargeCaptured:
    return payment.ChargeCaptured(charge_id=CHARGE, amount_minor=amount, currency="GBP", attempt=attempt)


def charge_failed(attempt: int = 1, failure: FailureKind | None = None) -> payment.ChargeFailed:
    return payment.ChargeFailed(charge_id=CHARGE, attempt=attempt, message="busy", failure=failure)


def charge_unknown(attempt: int = 1, failure: FailureKind | None = None) -> payment.ChargeUnknown:
    return payment.ChargeUnknown(charge_id=CHARGE, attempt=attempt, message="no answer", failure=failure)


def declined(attempt: int = 1) -> payment.ChargeDeclined:
    return payment.ChargeDeclined(charge_id=CHARGE, attempt=attempt, message="no")


def voided(attempt: int = 1) -> payment.ChargeVoided:
    return payment.ChargeVoided(charge_id=CHARGE, attempt=attempt)


def void_failed(attempt: int = 1, failure: FailureKind | None = None) -> payment.VoidFailed:
    return payment.VoidFailed(charge_id=CHARGE, attempt=attempt, message="under way", failure=failure)


def refunded(amount: int = 500, attempt: int = 1) -> payment.Refunded:
    return payment.Refunded(refund_id=REFUND, charge_id=CHARGE, amount_minor=amount, currency="GBP", attempt=attempt)


def refund_failed(attempt: int = 1, failure: FailureKind | None = None) -> payment.RefundFailed:
    told = {"refund_id": REFUND, "charge_id": CHARGE, "attempt": attempt}
    return payment.RefundFailed(**told, message="closed", failure=failure)


@dataclass
class Talk:
    """One order under a clock of its own. `tell` returns what is said, without the envelope."""

    view: View = field(default_factory=View)
    policies: Policies = DEFAULTS
    now: datetime = NOW
    timer: datetime | None = None
    said: list[Any] = field(default_factory=list)
    count: int = 0

    @property
    def order(self) -> Order:
        assert self.view.order is not None
        return self.view.order

    @property
    def phase(self) -> Phase:
        return self.view.order.phase if self.view.order is not None else Phase.NEW

    def message(self, data: Any, id: str | None = None, at: datetime | None = None, source: str = "test") -> Message:
        self.count += 1
        kind = data.command_type if isinstance(data, InvalidCommand) else type(data).__name__
        return Message(kind, "O", data, id or f"m{self.count}", source, at or self.now, f"u{self.count}")

    def hear(self, message: Message) -> list[Any]:
        before = self.view
        decision = decide(before, message, self.now, self.policies)
        assert decide(before, message, self.now, self.policies) == decision, "the same decision again is another one"
        self.view = decision.state
        if isinstance(message.data, TimerFired):
            self.timer = None
        for change in decision.timers:
            assert (change.key, change.name) == ("O", "order")
            self.timer = change.due_at if isinstance(change, SetTimer) else None
        if self.view.order is not None:
            assert self.view.order.timer_at == self.timer, "the order knows when its timer stands"
        assert all(isinstance(s, Note) or s.key == "O" for s in decision.says)
        said = [s.data if isinstance(s, Outgoing) else s for s in decision.says]
        self.said.extend(said)
        return said

    def tell(self, *datas: Any, id: str | None = None, at: datetime | None = None) -> list[Any]:
        """Say these one after another; returns what was said to the last."""
        said: list[Any] = []
        for data in datas:
            said = self.hear(self.message(data, id, at))
        return said

    def fire(self, due_at: datetime | None = None) -> list[Any]:
        """The timer fires, by default when it is due (time moves there), else with the given due time."""
        at = due_at or self.timer
        assert at is not None, "no timer is set"
        self.now = max(self.now, at)
        return self.hear(self.message(TimerFired("order", 0, at), at=at))

    def skip(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def verdict(said: list[Any]) -> str | None:
    """The verdict among what was said."""
    for data in said:
        if isinstance(data, CommandAccepted | CommandRejected):
            word = data.reason if isinstance(data, CommandRejected) else "accepted"
            return f"{word} again" if data.duplicate else word
    return None


def names(said: list[Any]) -> list[str]:
    return [type(data).__name__ if not isinstance(data, Note) else data.type for data in said]


def in_phase(phase: Phase, policies: Policies = DEFAULTS, **request: Any) -> Talk:
    """An order that was brought to the phase in the plainest way."""
    talk = Talk(policies=policies)
    steps: dict[Phase, tuple[Any, ...]] = {
        Phase.NEW: (),
        Phase.ENRICHING: (start(**{**request, "workflow_version": 2}),),
        Phase.RESERVING: (start(**request),),
        Phase.AWAITING_APPROVAL: (start(**request), held()),
        Phase.PAYING: (start(**request), held(), APPROVE),
        Phase.COMPENSATING: (start(**request), held(), CANCEL),
        Phase.COMPLETED: (start(**request), held(), APPROVE, captured()),
        Phase.CANCELLED: (start(**request), held(), CANCEL, released()),
        Phase.FAILED: (start(**request), refused()),
    }
    talk.tell(*steps[phase])
    assert talk.phase is phase
    return talk
