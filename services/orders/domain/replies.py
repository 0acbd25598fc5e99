"""What the participants answer on the way forward: stock held or refused, money taken or not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from contracts import inventory, orders, payment
from contracts.orders import EndReason
from contracts.values import MAX_TOTAL_MINOR, PricedItem
from messaging.decision import Outgoing, TimerFired
from services.orders.domain.compensation import compensate
from services.orders.domain.deadlines import approval_timeout_s
from services.orders.domain.enrichment import recommendation_missing
from services.orders.domain.evolve import replace
from services.orders.domain.move import (
    Move,
    Situation,
    answered,
    ask,
    attention_over,
    settle_pending,
)
from services.orders.domain.retries import ask_again_later, ask_the_silent, keep_trying, noted, retry, told_by
from services.orders.domain.signals import approval_timed_out, pay_if_settled
from services.orders.domain.state import Order, PendingLine, Phase, Verdict, business_id

_WORKED: Final = "The answer came."

# --- stock ------------------------------------------------------------------------------------------------------------


def _total(items: tuple[PricedItem, ...]) -> int:
    return sum(item.quantity * (item.unit_price_minor or 0) for item in items)


def reserved(situation: Situation) -> Move:
    """The order's lines are held: prices and total stand from now on, and approval is awaited."""
    order, data, now = situation.order, situation.message.data, situation.now
    assert isinstance(data, inventory.StockReserved)
    if data.reservation_id != business_id("rsv", order.order_id, "0"):
        return Move(order)
    total = _total(data.items)
    held = replace(order, currency=data.currency, reservations=(data.reservation_id,), unanswered=0)
    if total > MAX_TOTAL_MINOR:
        return attention_over(held, _WORKED).then(
            lambda o: compensate(
                o,
                now,
                ending="FAILED",
                reason="total-too-large",
                message=f"The total of {total} is above {MAX_TOTAL_MINOR}.",
            )
        )
    deadline = now + timedelta(seconds=approval_timeout_s(order))
    waiting = replace(
        held,
        phase=Phase.AWAITING_APPROVAL,
        items=data.items,
        total_minor=total,
        approval_deadline=deadline,
        asked_at=None,
    )
    event = orders.StockReserved(
        reservation_id=data.reservation_id,
        items=data.items,
        total_minor=total,
        currency=data.currency,
        deadline=deadline,
    )
    move = attention_over(waiting, _WORKED).then(lambda o: Move(o, (Outgoing(o.order_id, event),)))
    if waiting.pending:
        return move.then(lambda o: ask(o, now))
    return move.then(lambda o: pay_if_settled(o, now))


def refused(situation: Situation) -> Move:
    """The stock cannot be held: the order fails, and there is nothing to give back but what was added meanwhile."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, inventory.ReservationRefused)
    if data.reservation_id != business_id("rsv", order.order_id, "0"):
        return Move(order)
    reason: EndReason = "out-of-stock" if data.reason == "released" else data.reason
    return answered(order).then(
        lambda o: compensate(o, situation.now, ending="FAILED", reason=reason, message=data.message, nothing_held=True)
    )


def line_reserved(situation: Situation) -> Move:
    """The extra stock of an added line is held: the line is part of the order."""
    order, data, now = situation.order, situation.message.data, situation.now
    assert isinstance(data, inventory.StockReserved)
    line = _pending(order, data.reservation_id)
    if line is None or order.total_minor is None or order.currency is None:
        return Move(order)
    items = (*order.items, *data.items)
    total = _total(items)
    move = answered(order)
    if total > MAX_TOTAL_MINOR:
        verdict = Verdict(line.command, False, "invalid", f"The total of {total} would be above {MAX_TOTAL_MINOR}.")
        release = Outgoing(order.order_id, inventory.ReleaseStock(reservation_id=line.reservation_id))
        move = move.then(lambda o: settle_pending(o, line.reservation_id, verdict)).then(lambda o: Move(o, (release,)))
    else:
        event = orders.LineItemAdded(
            reservation_id=data.reservation_id,
            sku=line.item.sku,
            quantity=line.item.quantity,
            unit_price_minor=data.items[0].unit_price_minor or 1,
            total_minor=total,
            currency=order.currency,
        )
        grown = {"items": items, "total_minor": total, "reservations": (*order.reservations, data.reservation_id)}
        told = Outgoing(order.order_id, event)
        move = move.then(lambda o: settle_pending(o, line.reservation_id, Verdict(line.command, True)))
        move = move.then(lambda o: Move(replace(o, **grown), (told,)))  # type: ignore[arg-type]
    return move.then(lambda o: pay_if_settled(o, now))


def line_refused(situation: Situation) -> Move:
    """The extra stock cannot be held: the line is rejected, the order stays as it is."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, inventory.ReservationRefused)
    line = _pending(order, data.reservation_id)
    if line is None:
        return Move(order)
    reason = "out-of-stock" if data.reason == "released" else data.reason
    verdict = Verdict(line.command, False, reason, data.message)
    move = answered(order).then(lambda o: settle_pending(o, line.reservation_id, verdict))
    return move.then(lambda o: pay_if_settled(o, situation.now))


def _pending(order: Order, reservation_id: str) -> PendingLine | None:
    return next((line for line in order.pending if line.reservation_id == reservation_id), None)


# --- payment ----------------------------------------------------------------------------------------------------------


def captured(situation: Situation) -> Move:
    """The money is taken: the order is complete."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, payment.ChargeCaptured)
    charge = order.charge
    if charge is None or data.charge_id != charge.charge_id or order.total_minor is None or order.currency is None:
        return Move(order)
    taken = orders.PaymentCaptured(charge_id=data.charge_id, amount_minor=data.amount_minor, currency=data.currency)
    completed = orders.OrderCompleted(
        items=order.items,
        total_minor=order.total_minor,
        currency=order.currency,
        customer_id=order.customer_id,
        reservation_ids=order.reservations,
    )
    done = replace(
        order,
        phase=Phase.COMPLETED,
        charge=replace(charge, state="captured"),
        asked_at=None,
        retry_at=None,
    )
    says = (Outgoing(order.order_id, taken), Outgoing(order.order_id, completed))
    return attention_over(done, _WORKED).then(lambda o: Move(o, says))


def declined(situation: Situation) -> Move:
    """The gateway will never take this charge: the order fails."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, payment.ChargeDeclined)
    if order.charge is None or data.charge_id != order.charge.charge_id:
        return Move(order)
    note = noted(order, told_by("charge", data))
    refused_charge = replace(order, charge=replace(order.charge, state="none"), retry_at=None)
    return (
        Move(refused_charge, (note,))
        .then(lambda o: attention_over(o, _WORKED))
        .then(lambda o: compensate(o, situation.now, ending="FAILED", reason="payment-declined", message=data.message))
    )


def failed(situation: Situation) -> Move:
    """This attempt took nothing, or nobody knows what it did: try again, ask again, or make sure that nothing is taken."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, (payment.ChargeFailed, payment.ChargeUnknown))
    charge = order.charge
    waits = charge is not None and charge.state not in {"voiding"} and order.retry_at is None
    if charge is None or not waits or (data.charge_id, data.attempt) != (charge.charge_id, charge.attempt):
        return Move(order)
    policy, failure = situation.policies.charge, told_by("charge", data)
    if policy.exhausted(data.attempt, failure.kind):
        # A charge is called failed only when it is certain that it will never be taken.
        voiding = replace(charge, state="voiding", attempt=1)
        move = answered(order).then(lambda o: Move(o, (noted(o, failure),)))
        return move.then(lambda o: ask(replace(o, charge=voiding), situation.now))
    unknown = isinstance(data, payment.ChargeUnknown)
    waiting = replace(charge, state="unknown" if unknown else "retrying")
    move = answered(order).then(lambda o: Move(replace(o, charge=waiting)))
    return move.then(lambda o: ask_again_later(o, situation.now, policy, failure))


def voided(situation: Situation) -> Move:
    """Nothing was taken and nothing will be: the payment has failed."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, payment.ChargeVoided)
    if order.charge is None or data.charge_id != order.charge.charge_id:
        return Move(order)
    return attention_over(order, _WORKED).then(lambda o: payment_settled(o, situation.now))


def payment_settled(order: Order, now: datetime) -> Move:
    """It is certain that no money was taken: the payment has failed."""
    if order.charge is None:
        return Move(order)
    given_up = replace(order, charge=replace(order.charge, state="none"), retry_at=None)
    return compensate(
        given_up, now, ending="FAILED", reason="payment-failed", message="The payment could not be taken."
    )


def void_failed(situation: Situation) -> Move:
    """It is not certain yet whether the charge was taken: ask again, and let a person know when that goes on."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, payment.VoidFailed)
    charge = order.charge
    waits = charge is not None and charge.state == "voiding" and order.retry_at is None
    if charge is None or not waits or (data.charge_id, data.attempt) != (charge.charge_id, charge.attempt):
        return Move(order)
    failure = told_by("void", data)
    return answered(order).then(
        lambda o: keep_trying(o, situation.now, situation.policies.void, failure, "void-failing")
    )


# --- time -------------------------------------------------------------------------------------------------------------


def time_passed(situation: Situation) -> Move:
    """The order's timer fired: see which of its deadlines are over. A timer that fires early, late or twice does no harm."""
    order, fired, now = situation.order, situation.message.data, situation.now
    assert isinstance(fired, TimerFired)
    recommend_by = order.recommend_by
    if recommend_by is not None and recommend_by <= now:
        return recommendation_missing(order, now, situation.policies.recommend)
    # Only what was appended before the timer was due is known to be decided. A timer that was set for an earlier moment and fires
    # late, because nobody was there, must not speak for the deadline: a timely approval may stand behind it.
    if order.deadline is not None and order.deadline <= fired.due_at:
        return approval_timed_out(order, now)
    if order.retry_at is not None and order.retry_at <= now:
        return retry(order, now)
    return ask_the_silent(order, now, situation.policies)
