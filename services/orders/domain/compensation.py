"""The way back: first the money, then the stock, then the end. Each step is tried until it works; nothing is dropped."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from contracts import inventory, orders, payment
from contracts.orders import EndReason
from contracts.values import PricedItem
from messaging.decision import Note, Outgoing
from services.orders.domain.evolve import replace
from services.orders.domain.move import (
    Move,
    Situation,
    answered,
    ask,
    attention_over,
    settle_pending,
)
from services.orders.domain.retries import FailedPayment, can_be_retried, keep_trying, noted, told_by
from services.orders.domain.state import Compensation, Order, Phase, Undo, Verdict, business_id


def compensate(
    order: Order,
    now: datetime,
    *,
    ending: Literal["CANCELLED", "FAILED"],
    reason: EndReason,
    message: str,
    by_customer: bool = False,
    nothing_held: bool = False,
) -> Move:
    """Begin to give back what the order took, and end it after that. Lines still undecided are told that it is too late.
    `nothing_held`: inventory has just refused the reservation."""
    move = Move(order)
    releases = () if nothing_held else _held_or_asked_for(order)
    for line in order.pending:
        verdict = Verdict(line.command, False, "too-late", "The order ended before the line could be added.")
        move = move.then(lambda o, held=line.reservation_id, v=verdict: settle_pending(o, held, v))  # type: ignore[misc]
    undo = Compensation(ending, reason, message, "done", 1, by_customer, releases)
    begun = replace(move.order, phase=Phase.COMPENSATING, compensation=undo, retry_at=None, unanswered=0)
    return Move(begun, move.says, move.verdicts).then(lambda o: _go_on(o, now, _first_attempt(order)))


def _first_attempt(order: Order) -> int:
    """A void that was begun while paying goes on, and is not counted from one: an attempt below the last one is not made. One that
    has not been answered yet is asked for again."""
    if order.charge is None or order.charge.state != "voiding":
        return 1
    return order.charge.attempt + can_be_retried(order)


def _held_or_asked_for(order: Order) -> tuple[str, ...]:
    """The reservations that may hold stock, now or when inventory gets to them."""
    if order.phase is Phase.ENRICHING:
        return ()  # nothing was asked to be held
    if order.phase is Phase.RESERVING and not order.reservations:
        return (business_id("rsv", order.order_id, "0"),)  # added lines are asked for only after it
    return (*order.reservations, *(line.reservation_id for line in order.pending))


def _next_step(order: Order, undo: Compensation) -> Undo:
    """What has to be undone next: the charge where money was or may yet be taken, then the reservations."""
    if order.charge is not None and order.charge.state == "captured":
        return "refund"
    if order.charge is not None and order.charge.state != "none":
        return "void"
    return "release" if undo.waiting_releases else "done"


def _go_on(order: Order, now: datetime, attempt: int = 1) -> Move:
    undo = order.compensation
    if undo is None:
        return Move(order)
    step = _next_step(order, undo)
    going = replace(order, compensation=replace(undo, step=step, attempt=attempt))
    return _end(going) if step == "done" else ask(going, now)


def _end(order: Order) -> Move:
    undo = order.compensation
    if undo is None:
        return Move(order)
    ended = replace(order, phase=Phase(undo.ending), reason=undo.reason, asked_at=None, retry_at=None)
    customer_id = order.customer_id
    if undo.ending == "CANCELLED":
        event = Outgoing(order.order_id, orders.OrderCancelled(reason=undo.reason, customer_id=customer_id))
    else:
        failed = orders.OrderFailed(reason=undo.reason, customer_id=customer_id, message=undo.message)
        event = Outgoing(order.order_id, failed)
    return attention_over(ended, "What had to be given back is given back.").then(lambda o: Move(o, (event,)))


# --- answers while compensating -----------------------------------------------------------------------------------------


def released(situation: Situation) -> Move:
    """Stock is free again; when all of it is, the order ends."""
    order, data, undo = situation.order, situation.message.data, situation.order.compensation
    assert isinstance(data, inventory.StockReleased)
    if undo is None or data.reservation_id not in undo.waiting_releases:
        return Move(order)
    rest = tuple(held for held in undo.waiting_releases if held != data.reservation_id)
    kept = tuple(held for held in order.reservations if held != data.reservation_id)
    move = answered(replace(order, compensation=replace(undo, waiting_releases=rest), reservations=kept))
    if data.items:
        items = tuple(PricedItem(sku=item.sku, quantity=item.quantity) for item in data.items)
        event = orders.StockReleased(reservation_id=data.reservation_id, items=items)
        move = move.then(lambda o: Move(o, (Outgoing(o.order_id, event),)))
    if rest or undo.step != "release":
        return move
    return move.then(lambda o: _go_on(o, situation.now))


def voided(situation: Situation) -> Move:
    """Nothing was charged and nothing will be."""
    order, undo = situation.order, situation.order.compensation
    if undo is None or undo.step != "void" or not _names_charge(situation):
        return Move(order)
    return _step_worked(_with_charge(order, "none"), situation.now)


def captured(situation: Situation) -> Move:
    """The money turns out to be taken: it is given back."""
    order, data, undo = situation.order, situation.message.data, situation.order.compensation
    assert isinstance(data, payment.ChargeCaptured)
    if undo is None or undo.step != "void" or not _names_charge(situation):
        return Move(order)
    event = orders.PaymentCaptured(charge_id=data.charge_id, amount_minor=data.amount_minor, currency=data.currency)
    told = Move(_with_charge(order, "captured"), (Outgoing(order.order_id, event),))
    return told.then(lambda o: _step_worked(o, situation.now))


def charge_failed(situation: Situation) -> Move:
    """The attempt that was under way when the order was given up came to nothing. That is no promise for the future, so the void is
    still waited for."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, FailedPayment)
    charge = order.charge
    if charge is None or charge.state == "none" or (data.charge_id, data.attempt) != (charge.charge_id, charge.attempt):
        return Move(order)
    return Move(order, (noted(order, told_by("charge", data)),))


def void_failed(situation: Situation) -> Move:
    """It could not be settled whether money was taken; ask again."""
    data, undo = situation.message.data, situation.order.compensation
    assert isinstance(data, payment.VoidFailed)
    if undo is None or undo.step != "void" or not _is_awaited(situation, undo):
        return Move(situation.order)
    policy, failure = situation.policies.void, told_by("void", data)
    return answered(situation.order).then(lambda o: keep_trying(o, situation.now, policy, failure, "void-failing"))


def refunded(situation: Situation) -> Move:
    """The money is given back."""
    order, data, undo = situation.order, situation.message.data, situation.order.compensation
    assert isinstance(data, payment.Refunded)
    if undo is None or undo.step != "refund" or not _names_charge(situation):
        return Move(order)
    event = orders.PaymentRefunded(
        charge_id=data.charge_id, refund_id=data.refund_id, amount_minor=data.amount_minor, currency=data.currency
    )
    told = Move(_with_charge(order, "none"), (Outgoing(order.order_id, event),))
    return told.then(lambda o: _step_worked(o, situation.now))


def refund_failed(situation: Situation) -> Move:
    """The refund failed this time; it is tried until it works."""
    data, undo = situation.message.data, situation.order.compensation
    assert isinstance(data, payment.RefundFailed)
    if undo is None or undo.step != "refund" or not _is_awaited(situation, undo):
        return Move(situation.order)
    policy, failure = situation.policies.refund, told_by("refund", data)
    return answered(situation.order).then(lambda o: keep_trying(o, situation.now, policy, failure, "refund-failing"))


def give_up_step(order: Order, now: datetime) -> Move:
    """A person has done by hand what the present step could not; the order goes on to its end without it."""
    undo = order.compensation
    if undo is None:
        return Move(order)
    if undo.step == "release":
        return _go_on(replace(order, compensation=replace(undo, waiting_releases=())), now)
    return _go_on(_with_charge(order, "none"), now)


def _step_worked(order: Order, now: datetime) -> Move:
    return attention_over(order, "It worked when it was tried again.").then(lambda o: _go_on(o, now))


def _is_awaited(situation: Situation, undo: Compensation) -> bool:
    """Whether this is the answer to the attempt under way: told again, it must not put the next one off."""
    data, order = situation.message.data, situation.order
    return data.attempt == undo.attempt and order.retry_at is None and _names_charge(situation)


def _names_charge(situation: Situation) -> bool:
    charge = situation.order.charge
    return charge is not None and situation.message.data.charge_id == charge.charge_id


def _with_charge(order: Order, state: Literal["captured", "none"]) -> Order:
    assert order.charge is not None
    return replace(order, charge=replace(order.charge, state=state))


def note_late(situation: Situation) -> Move:
    """An answer that nobody waits for any more is recorded and changes nothing. Money that is taken after a void was promised
    is given back by the payment service itself, which alone knows that the promise was broken."""
    return Move(situation.order, (Note("orders.late-answer", {"type": situation.message.type}),))
