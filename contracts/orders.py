"""Commands to the orders service, and the events that tell what became of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from contracts.customer import Tier
from contracts.inventory import StockLevel
from contracts.values import (
    MAX_APPROVAL_TIMEOUT_S,
    MAX_LINES,
    AmountMinor,
    CommandData,
    Currency,
    EventData,
    Id,
    Item,
    PricedItem,
    PriceMinor,
    Quantity,
    Sku,
    Text,
)

RejectionReason = Literal[
    "invalid",
    "unknown-order",
    "conflict",
    "too-late",
    "not-allowed",
    "out-of-stock",
    "unknown-sku",
    "currency-mismatch",
]

EndReason = Literal[
    "customer-request",
    "approval-timeout",
    "out-of-stock",
    "unknown-sku",
    "unknown-customer",
    "currency-mismatch",
    "total-too-large",
    "payment-declined",
    "payment-failed",
    "reservation-timeout",
]

# --- commands ---------------------------------------------------------------------------------------------------------


class StartOrder(CommandData):
    """Start an order. `approval_timeout_s` runs from the moment the stock is held."""

    customer_id: Id
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=MAX_LINES)]
    currency: Currency | None = None
    workflow_version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    approval_timeout_s: Annotated[int, Field(ge=1, le=MAX_APPROVAL_TIMEOUT_S)] = 900
    payment_method: Id = "pm_card_visa"


class ApprovePayment(CommandData):
    """Let the payment be taken."""

    approved_by: Text


class CancelOrder(CommandData):
    """End the order and give back what it took."""

    reason: Text


class AddLineItem(CommandData):
    """Add a line to an order that is not approved yet; accepted once the extra stock is held."""

    sku: Sku
    quantity: Quantity


class StartGreet(CommandData):
    """Start the smallest workflow: greet somebody."""

    user_id: Id


# --- operators' commands, on a topic of their own -----------------------------------------------------------------------


class CancelByOperator(CommandData):
    """End the order and give back what it took, as cancel-order does; who wanted it, and why, stands in the history."""

    operator: Text
    reason: Text


class RetryNow(CommandData):
    """Skip the wait before the next attempt."""

    operator: Text
    reason: Text


class PauseOrder(CommandData):
    """Start nothing new for this order; its deadlines stand still until it is resumed."""

    operator: Text
    reason: Text


class ResumeOrder(CommandData):
    """Go on with a paused order."""

    operator: Text
    reason: Text


class ResolveAttention(CommandData):
    """Deal with an order that needs a person. `retry`: try again now. `settled`: it was done by hand, and the reason says how;
    the order then ends as it would have. `evidence`: what proves it, such as the bank's reference; it stands in the history."""

    operator: Text
    reason: Text
    resolution: Literal["retry", "settled"]
    evidence: Text | None = None


# --- events -----------------------------------------------------------------------------------------------------------


class CommandAccepted(EventData):
    """The verdict: the command took effect (or had done so before: `duplicate`)."""

    command_id: str
    command_type: str
    duplicate: bool


class CommandRejected(EventData):
    """The verdict: the command changed nothing, and why."""

    command_id: str
    command_type: str
    reason: RejectionReason
    message: str
    duplicate: bool


class OrderStarted(EventData):
    """The order exists, with what was asked for."""

    workflow: str
    workflow_version: int
    customer_id: Id
    items: tuple[PricedItem, ...]
    currency: Currency | None
    payment_method: Id
    approval_timeout_s: int


class OrderEnriched(EventData):
    """What is known about customer, stock and habits before anything is held. `recommendations` is null where the answer did not
    come in time; nothing waits for it."""

    customer_id: Id
    tier: Tier
    levels: tuple[StockLevel, ...]
    recommendations: tuple[Sku, ...] | None


class StockReserved(EventData):
    """All lines are held, and the catalogue's prices are the order's from now on. Approval is awaited until `deadline`."""

    reservation_id: str
    items: tuple[PricedItem, ...]
    total_minor: AmountMinor
    currency: Currency
    deadline: datetime


class PaymentApproved(EventData):
    """A person let the payment be taken."""

    approved_by: Text


class LineItemAdded(EventData):
    """A line was added; `total_minor` is the order's new total."""

    reservation_id: str
    sku: Sku
    quantity: Quantity
    unit_price_minor: PriceMinor
    total_minor: AmountMinor
    currency: Currency


class PaymentCaptured(EventData):
    """The money was taken."""

    charge_id: str
    amount_minor: AmountMinor
    currency: Currency


class OrderCompleted(EventData):
    """The order ended well: it is paid and its stock may be shipped."""

    items: tuple[PricedItem, ...]
    total_minor: AmountMinor
    currency: Currency
    customer_id: Id
    reservation_ids: tuple[str, ...]


class StockReleased(EventData):
    """Compensation: what was held is free again."""

    reservation_id: str
    items: tuple[PricedItem, ...]


class PaymentRefunded(EventData):
    """Compensation: what was captured was given back."""

    charge_id: str
    refund_id: str
    amount_minor: AmountMinor
    currency: Currency


class OrderCancelled(EventData):
    """The order ended because somebody or a deadline wanted it so; everything is given back."""

    reason: EndReason
    customer_id: Id


class OrderFailed(EventData):
    """The order ended because it could not be fulfilled; everything is given back."""

    reason: EndReason
    customer_id: Id
    message: str


class AttentionNeeded(EventData):
    """The order needs a person; it goes on trying meanwhile."""

    reason: str
    message: str
    operator: str | None = None


class AttentionResolved(EventData):
    """The order does not need a person any longer."""

    reason: str
    message: str
    operator: str | None = None


class OrderPaused(EventData):
    """The order starts nothing new."""

    reason: str
    message: str
    operator: str


class OrderResumed(EventData):
    """The order goes on; its deadlines moved by as long as it stood."""

    reason: str
    message: str
    operator: str


class Greeted(EventData):
    """The greeting was said."""

    greeting: str


COMMANDS: Final[dict[str, type[CommandData]]] = {
    "orders.start-order.v1": StartOrder,
    "orders.approve-payment.v1": ApprovePayment,
    "orders.cancel-order.v1": CancelOrder,
    "orders.add-line-item.v1": AddLineItem,
    "orders.start-greet.v1": StartGreet,
}

OPERATIONS: Final[dict[str, type[CommandData]]] = {
    "orders.cancel-by-operator.v1": CancelByOperator,
    "orders.retry-now.v1": RetryNow,
    "orders.pause-order.v1": PauseOrder,
    "orders.resume-order.v1": ResumeOrder,
    "orders.resolve-attention.v1": ResolveAttention,
}

EVENTS: Final[dict[str, type[EventData]]] = {
    "orders.command-accepted.v1": CommandAccepted,
    "orders.command-rejected.v1": CommandRejected,
    "orders.order-started.v1": OrderStarted,
    "orders.order-enriched.v1": OrderEnriched,
    "orders.stock-reserved.v1": StockReserved,
    "orders.payment-approved.v1": PaymentApproved,
    "orders.line-item-added.v1": LineItemAdded,
    "orders.payment-captured.v1": PaymentCaptured,
    "orders.order-completed.v1": OrderCompleted,
    "orders.stock-released.v1": StockReleased,
    "orders.payment-refunded.v1": PaymentRefunded,
    "orders.order-cancelled.v1": OrderCancelled,
    "orders.order-failed.v1": OrderFailed,
    "orders.attention-needed.v1": AttentionNeeded,
    "orders.attention-resolved.v1": AttentionResolved,
    "orders.order-paused.v1": OrderPaused,
    "orders.order-resumed.v1": OrderResumed,
    "orders.greeted.v1": Greeted,
}
