"""What comes from outside: the shop's stock, what clients and operators may ask, and the person who helps where one is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

from contracts import orders
from contracts.envelope import InvalidCommand
from contracts.values import DEFAULT_CURRENCY, Item
from services.inventory.ledger import Stock
from services.orders.domain.retries import is_left_to_a_person
from simulation.checker.values import NOW
from simulation.checker.world import CUSTOMER, KEY, SKU, Budget, Known, Record, Scenario

Text = str
_BY: Final[dict[str, Any]] = {"operator": "op", "reason": "ticket 7"}
_LINE: Final = orders.AddLineItem(sku=SKU, quantity=1)
_CANCEL: Final = orders.CancelOrder(reason="no")
_APPROVE: Final = orders.ApprovePayment(approved_by="boss")

#: Every command that nobody needs, by its id.
ODD: Final[dict[str, Any]] = {
    "invalid": InvalidCommand("invalid", "client", "orders.approve-payment.v1", KEY, "approved_by: missing"),
    "greet": orders.StartGreet(user_id="ann"),
    "start-again": None,
    "approve-again": _APPROVE,
    "cancel-again": _CANCEL,
    "line-again": _LINE,
    "cancel-by-operator": orders.CancelByOperator(**_BY),
    "retry-now": orders.RetryNow(**_BY),
    "pause": orders.PauseOrder(**_BY),
    "resume": orders.ResumeOrder(**_BY),
    "resolve-retry": orders.ResolveAttention(resolution="retry", **_BY),
    "resolve-settled": orders.ResolveAttention(resolution="settled", **_BY),
}


class Offer(NamedTuple):
    """A command that may be sent next; what has been sent then, and what may still come."""

    record: Record
    sent: tuple[Text, ...]
    budget: Budget


def stock(scenario: Scenario) -> tuple[Stock, ...]:
    """The shop's one product, received before anything else."""
    return (Stock(SKU, None, scenario.price_minor, DEFAULT_CURRENCY, received=scenario.pieces),)


def start(scenario: Scenario) -> orders.StartOrder:
    """The order."""
    return orders.StartOrder(
        customer_id=CUSTOMER,
        items=(Item(sku=SKU, quantity=scenario.quantity),),
        workflow_version=scenario.version,
        payment_method=scenario.method,
    )


def offers(scenario: Scenario, budget: Budget, sent: tuple[Text, ...]) -> list[Offer]:
    """What may be sent next."""
    found: list[tuple[Text, Any, Budget]] = []
    if "start" not in sent:
        found.append(("start", start(scenario), budget))
    if "approve" not in sent:
        found.append(("approve", _APPROVE, budget))
    if budget.cancels:
        found.append(("cancel", _CANCEL, replace(budget, cancels=budget.cancels - 1)))
    if budget.lines:
        found.append(("line", _LINE, replace(budget, lines=budget.lines - 1)))
    if budget.odd:
        fewer = replace(budget, odd=budget.odd - 1)
        found += [(name, ODD[name] or start(scenario), fewer) for name in scenario.odd if name not in sent]
    return [
        Offer(Record(data, name, "client", NOW), tuple(sorted((*sent, name))), after) for name, data, after in found
    ]


def helped(known: Known) -> Record | None:
    """What a person does where the order waits for one; None where it does not."""
    order = known.order
    if order is None or order.ended:
        return None
    name = f"help-{sum(verdict.command.source == 'person' for verdict in known.verdicts)}"
    if order.paused_at is not None:
        return Record(orders.ResumeOrder(**_BY), name, "person", NOW)
    if is_left_to_a_person(order):
        return Record(orders.RetryNow(**_BY), name, "person", NOW)
    return None
