"""What clients ask of an order. Every signal gets a verdict, whatever the order is doing."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from contracts.envelope import InvalidCommand
from contracts.orders import AddLineItem, ApprovePayment, CancelByOperator, OrderStarted, PaymentApproved, StartOrder
from contracts.values import MAX_LINES, Item, PricedItem
from messaging.decision import Note, Outgoing
from services.orders.domain.compensation import compensate
from services.orders.domain.deadlines import (
    approval_timeout_s,
    default_approval_timeout_s,
    hold_expired_before_approval,
)
from services.orders.domain.enrichment import enrich
from services.orders.domain.evolve import replace
from services.orders.domain.holds import reservation_timed_out
from services.orders.domain.move import Move, Situation, accept, ask, awaited, reject
from services.orders.domain.state import Charge, Order, PendingLine, Phase, business_id

SUPPORTED_VERSIONS: Final = frozenset({1, 2})
DEFAULT_VERSION: Final = 2


def invalid(situation: Situation) -> Move:
    """A command that could not be read as what it claims to be."""
    data = situation.message.data
    assert isinstance(data, InvalidCommand)
    return reject(situation.order, situation.command, "invalid", data.message)


def unknown_order(situation: Situation) -> Move:
    """A signal to an order that does not exist."""
    return reject(situation.order, situation.command, "unknown-order", "There is no order with this id.")


def too_late(situation: Situation) -> Move:
    """A signal to an order that has ended, or is on its way there."""
    order = situation.order
    told = f"The order is {order.status.lower()}." if order.ended else "The order is being given up."
    return reject(order, situation.command, "too-late", told)


# --- start ------------------------------------------------------------------------------------------------------------


def start(situation: Situation) -> Move:
    """A new order: remember what was asked, and ask for the stock."""
    data = situation.message.data
    assert isinstance(data, StartOrder)
    version = data.workflow_version or DEFAULT_VERSION
    if version not in SUPPORTED_VERSIONS:
        known = ", ".join(str(number) for number in sorted(SUPPORTED_VERSIONS))
        return reject(situation.order, situation.command, "invalid", f"workflow_version: known versions are {known}")
    items = tuple(PricedItem(sku=item.sku, quantity=item.quantity) for item in data.items)
    timeout_s = data.approval_timeout_s if "approval_timeout_s" in data.model_fields_set or version == 1 else None
    order = replace(
        situation.order,
        phase=Phase.RESERVING,
        request=data,
        workflow_version=version,
        items=items,
        approval_timeout_s=timeout_s,
    )
    started = OrderStarted(
        workflow=order.workflow,
        workflow_version=version,
        customer_id=data.customer_id,
        items=items,
        currency=data.currency,
        payment_method=data.payment_method,
        approval_timeout_s=data.approval_timeout_s,
    )
    move = accept(order, situation.command).then(lambda o: Move(o, (Outgoing(o.order_id, started),)))
    if version == 1:
        return move.then(lambda o: ask(o, situation.now))
    return move.then(lambda o: enrich(o, situation.now, situation.policies.recommend))


def start_again(situation: Situation) -> Move:
    """The same order once more is the same order; another one under its id is a conflict."""
    data, known = situation.message.data, situation.order.request
    same = data == known
    if isinstance(data, StartOrder) and isinstance(known, StartOrder):
        same = same or _asks_the_same(situation.order, known, data)
    if same:
        return accept(situation.order, situation.command, duplicate=True)
    return reject(situation.order, situation.command, "conflict", "An order with this id and other content exists.")


def _asks_the_same(order: Order, known: StartOrder, data: StartOrder) -> bool:
    """Compared after defaults, which are the order's own: its version, the currency that it turned out to have, and the time for
    approval that its customer's tier gives it."""
    version = data.workflow_version
    if version is None:
        version = order.workflow_version if known.workflow_version is None else DEFAULT_VERSION
    said = "approval_timeout_s" in data.model_fields_set
    timeout_s = data.approval_timeout_s if said else default_approval_timeout_s(order)
    return _spelled_out(data, version, data.currency or order.currency, timeout_s) == _spelled_out(
        known, order.workflow_version, known.currency or order.currency, approval_timeout_s(order)
    )


def _spelled_out(request: StartOrder, version: int, currency: str | None, timeout_s: int) -> StartOrder:
    return request.model_copy(
        update={"workflow_version": version, "currency": currency, "approval_timeout_s": timeout_s}
    )


# --- approve ----------------------------------------------------------------------------------------------------------


def approve(situation: Situation) -> Move:
    """Approve; it takes effect at once, or when the stock and the added lines are settled."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, ApprovePayment)
    if order.approved_by is not None:
        return accept(order, situation.command, duplicate=True)
    if order.deadline is not None and situation.message.at > order.deadline:
        # It was sent after the deadline, and only reads as if in time because nobody was there to see the deadline pass.
        late = reject(order, situation.command, "too-late", "The time for approval was over.")
        return late.then(lambda o: approval_timed_out(o, situation.now))
    approved = replace(order, approved_by=data.approved_by)
    return accept(approved, situation.command).then(lambda o: pay_if_settled(o, situation.now))


def approved_already(situation: Situation) -> Move:
    """A second approval changes nothing."""
    return accept(situation.order, situation.command, duplicate=True)


def approval_timed_out(order: Order, now: datetime) -> Move:
    """Nobody approved in time."""
    if hold_expired_before_approval(order):
        return reservation_timed_out(order, now)
    return compensate(
        order, now, ending="CANCELLED", reason="approval-timeout", message="The payment was not approved in time."
    )


def pay_if_settled(order: Order, now: datetime) -> Move:
    """Take the money, once there is an approval, the stock is held and no added line is undecided."""
    approver = order.approved_by
    if approver is None or order.phase is not Phase.AWAITING_APPROVAL or order.pending or order.total_minor is None:
        return Move(order)
    charge = Charge(business_id("ch", order.order_id), "calling", 1, order.total_minor)
    paying = replace(order, phase=Phase.PAYING, charge=charge)
    event = Outgoing(order.order_id, PaymentApproved(approved_by=approver))
    return Move(paying, (event,)).then(lambda o: ask(o, now))


# --- cancel -----------------------------------------------------------------------------------------------------------


def cancel(situation: Situation) -> Move:
    """Give everything back and end as cancelled, whoever asked for it: the customer, or an operator with name and reason."""
    move = accept(situation.order, situation.command).then(lambda o: _by_operator(situation, o))
    return move.then(
        lambda o: compensate(
            o,
            situation.now,
            ending="CANCELLED",
            reason="customer-request",
            message="The customer asked for it.",
            by_customer=True,
        )
    )


def cancel_while_compensating(situation: Situation) -> Move:
    """A cancellation is accepted until the order is failing; the second one changes nothing."""
    order, undo = situation.order, situation.order.compensation
    if undo is None or undo.ending == "FAILED":
        return too_late(situation)
    if undo.by_customer:
        return accept(order, situation.command, duplicate=True)
    asked_for = replace(order, compensation=replace(undo, by_customer=True))
    return accept(asked_for, situation.command).then(lambda o: _by_operator(situation, o))


def _by_operator(situation: Situation, order: Order) -> Move:
    data = situation.message.data
    if not isinstance(data, CancelByOperator):
        return Move(order)
    return Move(order, (Note("orders.cancelled-by-operator", {"operator": data.operator, "reason": data.reason}),))


# --- add a line -------------------------------------------------------------------------------------------------------


def add_line(situation: Situation) -> Move:
    """Reserve the extra stock first; the verdict comes when that is settled."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, AddLineItem)
    if order.approved_by is not None:
        return not_allowed(situation)
    if len(order.items) + len(order.pending) >= MAX_LINES:
        return reject(order, situation.command, "invalid", f"An order has at most {MAX_LINES} lines.")
    number = order.extra_reservations + 1
    line = PendingLine(
        command=situation.command,
        reservation_id=business_id("rsv", order.order_id, str(number)),
        item=Item(sku=data.sku, quantity=data.quantity),
    )
    adding = replace(order, pending=(*order.pending, line), extra_reservations=number)
    if order.phase in {Phase.ENRICHING, Phase.RESERVING}:
        return Move(adding)  # it is asked for once the order itself is held: only then its currency is known
    request = tuple(r for r in awaited(adding) if getattr(r.data, "reservation_id", None) == line.reservation_id)
    return Move(replace(adding, asked_at=situation.now, unanswered=0), request)


def not_allowed(situation: Situation) -> Move:
    """After the approval the order is what was approved."""
    return reject(situation.order, situation.command, "not-allowed", "The order is approved; nothing can be added.")


#: A command that comes again while it is undecided is answered so often when it is decided. All those answers are one decision:
#: without an end to them a client that repeats itself for hours could make one too large to be written.
MOST_REPEATS: Final = 100


def remember_pending(order: Order, source: str, command_id: str) -> Order:
    """A command that is not decided yet came again: it will get its verdict once more, `MOST_REPEATS` times at most."""
    pending = tuple(
        replace(line, repeats=line.repeats + 1)
        if (line.command.source, line.command.id) == (source, command_id) and line.repeats < MOST_REPEATS
        else line
        for line in order.pending
    )
    return replace(order, pending=pending)
