"""The rules of giving money back: on the orchestrator's word, and by this service itself where money turned up too late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from contracts import payment as words
from messaging.decision import Effect, Note, Outgoing, SetTimer, TimerFired
from messaging.stamp import derived_id
from services.payment.answers import Deciding, decision, effect
from services.payment.state import Charge, End, Line, Outcome, Refund, RefundCall, Status, Why

STILL_REFUNDING: Final = Why("Another attempt is still under way; ask again.", "transient")
OVERTAKEN: Final = Why("A later attempt has been made; ask again with the next number.", "transient")
OTHER_REFUND: Final = Why("The refund id belongs to a refund with other content.", "validation")
NOTHING_TO_REFUND: Final = Why("The amount must be at least 1.", "validation")
NOT_KNOWN: Final = Why("No charge is known under this id.", "transient")
OTHER_CURRENCY: Final = Why("The charge has another currency.", "validation")
NOT_SETTLED: Final = Why("Nothing was captured under this charge id so far.", "transient")
NEVER_CAPTURED: Final = Why("Nothing was captured under this charge id, and never will be.", "permanent")
GIVEN_BACK: Final = Why("What was captured after the void is given back without being asked.", "permanent")

#: Why there is nothing to refund; only a captured charge has no reason.
REFUSALS: Final[Mapping[Status | None, Why | None]] = {
    None: NOT_KNOWN,
    Status.CALLING: NOT_SETTLED,
    Status.FAILED: NOT_SETTLED,
    Status.UNKNOWN: NOT_SETTLED,
    Status.VOIDING: NOT_SETTLED,
    Status.CAPTURED: None,
    Status.DECLINED: NEVER_CAPTURED,
    Status.VOIDED: NEVER_CAPTURED,
    Status.RETURNING: GIVEN_BACK,
    Status.RETURNED: GIVEN_BACK,
}

RETURN_FIRST_S: Final = 1
RETURN_MOST_S: Final = 60
_TIMER: Final = "return:"


def refund_asked(state: Charge | None, order_id: str, asked: words.Refund) -> Deciding:
    """A refund is asked for; what cannot be refunded is answered without a call, and leaves no trace."""
    refusal = REFUSALS[None if state is None else state.status]
    if state is None or refusal is not None:
        return decision(state, _failed(order_id, asked, refusal or NOT_SETTLED))
    known = state.refund(asked.refund_id)
    if known is not None:
        if (known.amount_minor, known.currency) != (asked.amount_minor, asked.currency):
            note = Note("conflicting-refund", {"charge_id": asked.charge_id, "refund_id": asked.refund_id})
            return decision(state, _failed(order_id, asked, OTHER_REFUND), note)
        if asked.attempt <= known.line.attempt or known.line.under_way or known.line.end is End.REFUNDED:
            return _repeat(state, known, asked)
    problem = _problem(state, asked)
    if problem is not None:
        return decision(state, _failed(order_id, asked, problem))
    refund = Refund(asked.refund_id, asked.amount_minor, asked.currency, Line(asked.attempt))
    refunding, call = _call(state, refund)
    return decision(refunding, effects=(call,))


def _repeat(state: Charge, known: Refund, asked: words.Refund) -> Deciding:
    line = known.line
    if line.end is End.REFUNDED:
        return decision(state, _refunded(state, known, asked.attempt))
    if asked.attempt == line.attempt:
        return decision(state) if line.under_way else decision(state, _failed(state.order_id, asked, line.why))
    return decision(state, _failed(state.order_id, asked, STILL_REFUNDING if line.under_way else OVERTAKEN))


def _problem(state: Charge, asked: words.Refund) -> Why | None:
    """Why the gateway is not even asked. A refund that failed may have been made all the same, and is asked for again under its
    id, so it takes its share until the gateway has refused it."""
    if asked.amount_minor < 1:
        return NOTHING_TO_REFUND
    if asked.currency != state.currency:
        return OTHER_CURRENCY
    taken = sum(
        refund.amount_minor
        for refund in state.refunds
        if refund.refund_id != asked.refund_id and refund.line.end is not End.REFUSED
    )
    if taken + asked.amount_minor > state.captured_minor:
        left = state.captured_minor - taken
        return Why(f"Only {left} of {state.captured_minor} can still be refunded.", "permanent")
    return None


def refund_ended(state: Charge, request: RefundCall, outcome: Outcome, now: datetime) -> Deciding:
    """A refund call has ended. That money was given back counts whenever it comes to light, and counts once."""
    known = state.refund(request.refund_id)
    if known is None:
        raise TypeError(f"No refund {request.refund_id} is known of the charge {request.charge_id}.")
    if known.line.end is End.REFUNDED:
        return decision(state)
    if outcome.end is not End.REFUNDED:
        if not known.line.under_way or known.line.attempt != request.attempt:
            return decision(state)
        return _not_refunded(state, known, outcome, now)
    done = replace(known, line=Line(known.line.attempt, End.REFUNDED))
    given = replace(_with(state, done), refunded_minor=state.refunded_minor + known.amount_minor)
    if known.own:
        return decision(replace(given, status=Status.RETURNED))
    if known.line.under_way:
        return decision(given, _refunded(given, done, known.line.attempt))
    return decision(given)


def _not_refunded(state: Charge, known: Refund, outcome: Outcome, now: datetime) -> Deciding:
    attempt = known.line.attempt
    failed = replace(known, line=known.line.ended(outcome))
    stands = _with(state, failed)
    if not known.own:
        event = words.RefundFailed(
            refund_id=known.refund_id,
            charge_id=state.charge_id,
            attempt=attempt,
            message=outcome.message,
            failure=outcome.failure,
        )
        return decision(stands, Outgoing(state.order_id, event))
    due_at = now + timedelta(seconds=return_delay_s(attempt))
    timer = SetTimer(state.order_id, f"{_TIMER}{state.charge_id}", attempt, due_at)
    facts = {"charge_id": state.charge_id, "attempt": attempt, "message": outcome.message}
    return decision(stands, Note("return-failed", facts), timers=(timer,))


# --- by this service itself -------------------------------------------------------------------------------------------


def give_back(state: Charge, attempt: int) -> tuple[Charge, Effect]:
    """Give back what was captured too late. One refund id for all attempts, so it is given back once."""
    refund_id = derived_id("return", state.order_id, state.charge_id)
    return _call(state, Refund(refund_id, state.captured_minor, state.currency or "", Line(attempt), own=True))


def return_timer_fired(state: Charge | None, fired: TimerFired) -> Deciding:
    """The next attempt to give back is due; a timer of an attempt that is over changes nothing."""
    own = None if state is None else next((refund for refund in state.refunds if refund.own), None)
    if state is None or own is None or own.line.attempt != fired.step or own.line.under_way:
        return decision(state)
    if own.line.end is End.REFUNDED:
        return decision(state)
    returning, call = give_back(state, fired.step + 1)
    return decision(returning, effects=(call,))


def return_delay_s(attempt: int) -> int:
    """How long to wait after that many failures: doubled each time, up to a minute, without end."""
    return min(RETURN_FIRST_S << min(attempt - 1, 10), RETURN_MOST_S)


def charge_of_timer(name: str) -> str | None:
    """The charge whose return a timer is for."""
    return name.removeprefix(_TIMER) if name.startswith(_TIMER) else None


def _call(state: Charge, refund: Refund) -> tuple[Charge, Effect]:
    request = RefundCall(
        order_id=state.order_id,
        charge_id=state.charge_id,
        attempt=refund.line.attempt,
        refund_id=refund.refund_id,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
    )
    return _with(state, refund), effect(state, "refund", refund.line.attempt, request, refund.refund_id)


def _with(state: Charge, refund: Refund) -> Charge:
    others = tuple(other for other in state.refunds if other.refund_id != refund.refund_id)
    return replace(state, refunds=(*others, refund))


def _refunded(state: Charge, refund: Refund, attempt: int) -> Outgoing:
    event = words.Refunded(
        refund_id=refund.refund_id,
        charge_id=state.charge_id,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        attempt=attempt,
    )
    return Outgoing(state.order_id, event)


def _failed(order_id: str, asked: words.Refund, why: Why) -> Outgoing:
    event = words.RefundFailed(
        refund_id=asked.refund_id,
        charge_id=asked.charge_id,
        attempt=asked.attempt,
        message=why.message,
        failure=why.failure,
    )
    return Outgoing(order_id, event)
