"""Short words for what is said to the system: each makes a command, with everything that a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypedDict, Unpack

from contracts.customer import EraseCustomer, RegisterCustomer
from contracts.inventory import AdjustStock, ReceiveStock
from contracts.orders import (
    AddLineItem,
    ApprovePayment,
    CancelByOperator,
    CancelOrder,
    PauseOrder,
    ResolveAttention,
    ResumeOrder,
    RetryNow,
    StartGreet,
    StartOrder,
)
from contracts.values import CommandData, Item

#: The order that a test talks about where it names none.
ORDER: Final = "O"
#: Who operates, where an operator is asked for.
OPERATOR: Final = "op"


class Asked(TypedDict, total=False):
    """What may be said about an order. `items`: pieces by SKU, or pairs where a SKU stands in two lines."""

    items: Mapping[str, int] | Iterable[tuple[str, int]]
    customer: str
    payment_method: str
    approval_timeout_s: int
    currency: str
    workflow_version: int


def start_order(**asked: Unpack[Asked]) -> StartOrder:
    """An order: ann's, for two packets of tea, unless something else is said. What is not said is left to the contract."""
    items = asked.get("items", {"tea": 2})
    pairs = items.items() if isinstance(items, Mapping) else items
    lines = tuple(Item(sku=sku, quantity=quantity) for sku, quantity in pairs)
    as_they_are: dict[str, Any] = {name: value for name, value in asked.items() if name not in ("items", "customer")}
    return StartOrder(customer_id=asked.get("customer", "ann"), items=lines, **as_they_are)


def approve(by: str = "boss") -> ApprovePayment:
    """Let the payment be taken."""
    return ApprovePayment(approved_by=by)


def cancel(reason: str = "changed my mind") -> CancelOrder:
    """End the order and give back what it took."""
    return CancelOrder(reason=reason)


def add_line(sku: str = "mug", quantity: int = 1) -> AddLineItem:
    """Add a line."""
    return AddLineItem(sku=sku, quantity=quantity)


def greet(user: str = "ann") -> StartGreet:
    """Start the smallest workflow."""
    return StartGreet(user_id=user)


# --- operators --------------------------------------------------------------------------------------------------------


def pause(reason: str = "looking into it") -> PauseOrder:
    """Start nothing new for this order."""
    return PauseOrder(operator=OPERATOR, reason=reason)


def resume(reason: str = "looked into it") -> ResumeOrder:
    """Go on with it."""
    return ResumeOrder(operator=OPERATOR, reason=reason)


def cancel_by_operator(reason: str = "the customer called") -> CancelByOperator:
    """End the order as `cancel` does, by name."""
    return CancelByOperator(operator=OPERATOR, reason=reason)


def retry_now(reason: str = "it is up again") -> RetryNow:
    """Skip the wait before the next attempt."""
    return RetryNow(operator=OPERATOR, reason=reason)


def resolve(
    resolution: Literal["retry", "settled"], reason: str = "receipt 7", evidence: str | None = None
) -> ResolveAttention:
    """Deal with an order that needs a person."""
    proof = {} if evidence is None else {"evidence": evidence}
    return ResolveAttention(operator=OPERATOR, reason=reason, resolution=resolution, **proof)


# --- the shop ---------------------------------------------------------------------------------------------------------


def receive_stock(
    sku: str, quantity: int, unit_price_minor: int | None = None, currency: str | None = None
) -> ReceiveStock:
    """So many pieces came in; a price sets the catalogue's."""
    return ReceiveStock(sku=sku, quantity=quantity, unit_price_minor=unit_price_minor, currency=currency)


def adjust_stock(sku: str, delta: int, reason: str = "counted") -> AdjustStock:
    """There are more or fewer pieces than was thought."""
    return AdjustStock(sku=sku, delta=delta, reason=reason)


def register_customer(customer_id: str, name: str = "Ann", email: str = "ann@shop.example") -> RegisterCustomer:
    """A customer, or a new name and address."""
    return RegisterCustomer(customer_id=customer_id, name=name, email=email)


def erase_customer(customer_id: str, reason: str = "asked us to") -> EraseCustomer:
    """Forget a customer's name and address."""
    return EraseCustomer(customer_id=customer_id, operator=OPERATOR, reason=reason)


def key_of(data: CommandData, order: str) -> str:
    """Under which key a command is sent: what the shop's people say is about a SKU or a customer, all else about an order."""
    match data:
        case ReceiveStock() | AdjustStock():
            return data.sku
        case RegisterCustomer() | EraseCustomer():
            return data.customer_id
        case _:
            return order
