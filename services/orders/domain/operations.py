"""What operators ask of one order, each with a name and a reason: retry now, pause, resume, resolve what needs a person."""

from __future__ import annotations

from datetime import datetime, timedelta

from contracts.orders import (
    AttentionResolved,
    OrderPaused,
    OrderResumed,
    PauseOrder,
    ResolveAttention,
    ResumeOrder,
    RetryNow,
)
from messaging.decision import Note, Outgoing
from services.orders.domain.compensation import give_up_step
from services.orders.domain.evolve import replace
from services.orders.domain.move import Move, Situation, accept, ask, awaited, reject
from services.orders.domain.replies import payment_settled
from services.orders.domain.retries import can_be_retried, retry
from services.orders.domain.state import Order, Phase


def retry_now(situation: Situation) -> Move:
    """Skip the wait before the next attempt."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, RetryNow)
    if order.paused_at is not None:
        return reject(order, situation.command, "not-allowed", "The order is paused; resume it first.")
    if not can_be_retried(order):
        return reject(order, situation.command, "not-allowed", "The order is not waiting to try anything again.")
    note = Note("orders.retried-now", {"operator": data.operator, "reason": data.reason})
    move = accept(order, situation.command).then(lambda o: Move(o, (note,)))
    return move.then(lambda o: retry(o, situation.now))


def pause(situation: Situation) -> Move:
    """Let the order stand still. What arrives is taken note of; nothing new is begun."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, PauseOrder)
    if order.paused_at is not None:
        return accept(order, situation.command, duplicate=True)
    # As from the moment it was asked for: a deadline that passed while nobody was there to read it has not passed.
    asked_at = min(situation.message.at, situation.now)
    paused = replace(order, paused_at=asked_at)
    event = OrderPaused(
        reason=data.reason, message="The order stands still until it is resumed.", operator=data.operator
    )
    return accept(paused, situation.command).then(lambda o: Move(o, (Outgoing(o.order_id, event),)))


def resume(situation: Situation) -> Move:
    """Go on: the deadlines move by as long as the order stood, and what is awaited is asked for."""
    order, data, now = situation.order, situation.message.data, situation.now
    assert isinstance(data, ResumeOrder)
    if order.paused_at is None:
        return reject(order, situation.command, "not-allowed", "The order is not paused.")
    going = _moved_by(replace(order, paused_at=None), now - order.paused_at)
    event = OrderResumed(reason=data.reason, message="The order goes on.", operator=data.operator)
    move = accept(going, situation.command).then(lambda o: Move(o, (Outgoing(o.order_id, event),)))
    if going.retry_at is None and awaited(going):
        return move.then(lambda o: ask(o, now))
    return move


def _moved_by(order: Order, stood: timedelta) -> Order:
    def later(at: datetime | None) -> datetime | None:
        return None if at is None else at + stood

    enrichment = order.enrichment
    if enrichment is not None:
        enrichment = replace(enrichment, recommend_by=later(enrichment.recommend_by))
    return replace(
        order,
        approval_deadline=later(order.approval_deadline),
        retry_at=later(order.retry_at),
        enrichment=enrichment,
    )


def resolve(situation: Situation) -> Move:
    """Try at once what keeps failing, or take it as done by hand."""
    order, data, now = situation.order, situation.message.data, situation.now
    assert isinstance(data, ResolveAttention)
    if order.attention is None:
        return reject(order, situation.command, "not-allowed", "The order does not need a person.")
    if order.paused_at is not None:
        return reject(order, situation.command, "not-allowed", "The order is paused; resume it first.")
    accepted = accept(order, situation.command).then(lambda o: Move(o, _evidence(data)))
    if data.resolution == "retry":
        note = Note("orders.retried-now", {"operator": data.operator, "reason": data.reason})
        again = accepted.then(lambda o: Move(o, (note,)))
        return again.then(lambda o: retry(o, now) if can_be_retried(o) else ask(o, now))
    voiding = order.phase is Phase.PAYING and order.charge is not None and order.charge.state == "voiding"
    if order.phase is not Phase.COMPENSATING and not voiding:
        told = "Nothing is being given back that could have been settled by hand; cancel the order instead."
        return reject(order, situation.command, "not-allowed", told)
    event = AttentionResolved(reason=order.attention.reason, message=data.reason, operator=data.operator)
    resolved = accepted.then(lambda o: Move(replace(o, attention=None), (Outgoing(o.order_id, event),)))
    if voiding:
        return resolved.then(lambda o: payment_settled(o, now))
    return resolved.then(lambda o: give_up_step(o, now))


def _evidence(data: ResolveAttention) -> tuple[Note, ...]:
    if data.evidence is None:
        return ()
    facts = {"operator": data.operator, "resolution": data.resolution, "evidence": data.evidence}
    return (Note("orders.evidence-given", facts),)
