"""The rules of charging: what each message means in each state of a charge, as a closed table.

Three facts shape it. The gateway's ledger is the truth: its final words (captured, declined, voided) count whenever they come,
even from a call that was given up. Once a void was asked for, no charge call begins any more. And what was told is never
contradicted: money that turns up after "voided" or "declined" was told is given back by this service itself, for nobody waits for
it any more.

An attempt is answered once, when its call has ended. A repeat of the last attempt gets the recorded answer again, and once the
charge is settled every repeat does. Any other attempt that arrives while a call is under way, and one below the last that was made,
is told to ask again: never with silence, for whoever asks may count from one again (a void on a cancellation after a void on a
failed payment) and would wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from contracts import payment as words
from contracts.envelope import InvalidCommand
from messaging.decision import Effect, EffectDone, Message, Note, TimerFired
from messaging.errors import PoisonError
from services.payment import refunds
from services.payment.answers import (
    NEVER_TAKEN,
    Deciding,
    answering,
    charge_answer,
    decision,
    declined,
    effect,
    unknown,
    void_answer,
    void_failed,
)
from services.payment.refunds import refund_asked, refund_ended, return_timer_fired
from services.payment.state import Charge, ChargeCall, End, Line, Outcome, RefundCall, Status, VoidCall, Why

CONFLICT: Final = Why("The charge id belongs to a charge with other content.", "validation")
STILL_CALLING: Final = Why("Another attempt is still under way; ask again.", "transient")
OVERTAKEN: Final = Why("A later attempt has been made; ask again with the next number.", "transient")
BEING_VOIDED: Final = Why("The charge is being voided; nothing new is charged.", "transient")
NOT_OURS: Final = Why(
    "The gateway captured a charge of this id that was never asked for here; somebody must look at it.", "permanent"
)
NOTHING_TO_CHARGE: Final = Why("The amount must be at least 1.", "validation")

S: Final = Status


def decide(state: Charge | None, message: Message, now: datetime) -> Deciding:
    """Decide one message about one charge. Its calls know the command that they are made for, and their answers name it."""
    return answering(_decide(state, message, now), message)


def _decide(state: Charge | None, message: Message, now: datetime) -> Deciding:
    data = message.data
    match data:
        case words.Charge():
            return _charge_asked(state, message.key, data)
        case words.VoidCharge():
            return VOID_ASKED[None if state is None else state.status](state, message.key, data)
        case words.Refund():
            return refund_asked(state, message.key, data)
        case EffectDone():
            return _call_ended(state, data, now)
        case TimerFired():
            return return_timer_fired(state, data)
        case InvalidCommand():
            # No event could tell the sender, who can only be the orchestrator.
            raise PoisonError("invalid", data.message)
        case _:
            raise TypeError(f"Payment has no rule for {message.type}.")


def charge_id_of(data: object) -> str | None:
    """Which charge a message is about; None for one that is about none."""
    match data:
        case words.Charge() | words.VoidCharge() | words.Refund():
            return data.charge_id
        case EffectDone(request=ChargeCall() | VoidCall() | RefundCall()):
            return str(data.request.charge_id)
        case TimerFired():
            return refunds.charge_of_timer(data.name)
        case _:
            return None


# --- charge is asked for ----------------------------------------------------------------------------------------------


def _charge_asked(state: Charge | None, order_id: str, asked: words.Charge) -> Deciding:
    content = (asked.amount_minor, asked.currency, asked.payment_method)
    if state is None:
        state = Charge(order_id, asked.charge_id, Status.CALLING, *content)
        if asked.amount_minor < 1:
            return decision(None, declined(state, asked.attempt, NOTHING_TO_CHARGE))
        return _call(state, asked.attempt, ask_first=asked.attempt > 1)
    if state.payment_method is None:
        state = replace(state, amount_minor=content[0], currency=content[1], payment_method=content[2])
    elif (state.amount_minor, state.currency, state.payment_method) != content and state.status not in NEVER_TAKEN:
        # A fault of the orchestrator; nothing is called. "Declined" might hide money that the first content took, so it is told
        # the one thing that is always true: unknown. It will end in a void, and that tells what was captured.
        note = Note("conflicting-charge", {"charge_id": asked.charge_id, "attempt": asked.attempt})
        return decision(state, unknown(state, asked.attempt, CONFLICT), note)
    return CHARGE_ASKED[state.status](state, asked.attempt)


def _call(state: Charge, attempt: int, ask_first: bool) -> Deciding:
    assert state.amount_minor is not None and state.currency is not None and state.payment_method is not None  # noqa: PT018
    request = ChargeCall(
        order_id=state.order_id,
        charge_id=state.charge_id,
        attempt=attempt,
        amount_minor=state.amount_minor,
        currency=state.currency,
        payment_method=state.payment_method,
        ask_first=ask_first,
    )
    calling = replace(state, status=Status.CALLING, call=Line(attempt))
    return decision(calling, effects=(effect(calling, "charge", attempt, request),))


def _charge_again(state: Charge, attempt: int) -> Deciding:
    if attempt > state.call.attempt:
        return _call(state, attempt, ask_first=state.call.end is End.UNKNOWN)
    if attempt < state.call.attempt:
        return decision(state, unknown(state, attempt, OVERTAKEN))
    return decision(state, charge_answer(state, attempt))


def _wait(state: Charge, attempt: int) -> Deciding:
    if attempt == state.call.attempt:
        return decision(state)
    return decision(state, unknown(state, attempt, STILL_CALLING))


def _hold_back(state: Charge, attempt: int) -> Deciding:
    if attempt != state.call.attempt:
        return decision(state, unknown(state, attempt, BEING_VOIDED))
    return decision(state) if state.call.under_way else decision(state, charge_answer(state, attempt))


def _tell_charge(state: Charge, attempt: int) -> Deciding:
    return decision(state, charge_answer(state, attempt))


CHARGE_ASKED: Final[Mapping[Status, Callable[[Charge, int], Deciding]]] = {
    S.CALLING: _wait,
    S.FAILED: _charge_again,
    S.UNKNOWN: _charge_again,
    S.VOIDING: _hold_back,
    S.CAPTURED: _tell_charge,
    S.DECLINED: _tell_charge,
    S.VOIDED: _tell_charge,
    S.RETURNING: _tell_charge,
    S.RETURNED: _tell_charge,
}


# --- void is asked for ------------------------------------------------------------------------------------------------


def _void(state: Charge | None, order_id: str, asked: words.VoidCharge) -> Deciding:
    """Have the gateway refuse it; for a charge that nobody has seen yet too, so that it is refused when it comes."""
    state = state or Charge(order_id, asked.charge_id, Status.VOIDING)
    request = VoidCall(order_id=state.order_id, charge_id=state.charge_id, attempt=asked.attempt)
    voiding = replace(state, status=Status.VOIDING, void=Line(asked.attempt))
    return decision(voiding, effects=(effect(voiding, "void", asked.attempt, request),))


def _void_again(state: Charge | None, order_id: str, asked: words.VoidCharge) -> Deciding:
    assert state is not None
    if asked.attempt == state.void.attempt:
        return decision(state) if state.void.under_way else decision(state, void_answer(state, asked.attempt))
    if state.void.under_way:
        return decision(state, void_failed(state, asked.attempt, STILL_CALLING))
    if asked.attempt < state.void.attempt:
        return decision(state, void_failed(state, asked.attempt, OVERTAKEN))
    return _void(state, order_id, asked)


def _tell_void(state: Charge | None, order_id: str, asked: words.VoidCharge) -> Deciding:
    assert state is not None
    return decision(state, void_answer(state, asked.attempt))


VOID_ASKED: Final[Mapping[Status | None, Callable[[Charge | None, str, words.VoidCharge], Deciding]]] = {
    None: _void,
    S.CALLING: _void,
    S.FAILED: _void,
    S.UNKNOWN: _void,
    S.VOIDING: _void_again,
    S.CAPTURED: _tell_void,
    S.DECLINED: _tell_void,
    S.VOIDED: _tell_void,
    S.RETURNING: _tell_void,
    S.RETURNED: _tell_void,
}


# --- a call has ended -------------------------------------------------------------------------------------------------

#: The state that a charge call's end leads to. FAILED and UNKNOWN say something about the last attempt only.
AFTER_CHARGE: Final[Mapping[Status, Mapping[End, Status]]] = {
    S.CALLING: {
        End.CAPTURED: S.CAPTURED,
        End.DECLINED: S.DECLINED,
        End.VOIDED: S.VOIDED,
        End.FAILED: S.FAILED,
        End.UNKNOWN: S.UNKNOWN,
    },
    S.FAILED: {End.CAPTURED: S.CAPTURED, End.DECLINED: S.DECLINED, End.VOIDED: S.VOIDED},
    S.UNKNOWN: {End.CAPTURED: S.CAPTURED, End.DECLINED: S.DECLINED, End.VOIDED: S.VOIDED},
    S.VOIDING: {End.CAPTURED: S.CAPTURED, End.DECLINED: S.DECLINED, End.VOIDED: S.VOIDED},
    S.CAPTURED: {},
    S.DECLINED: {End.CAPTURED: S.RETURNING},
    S.VOIDED: {End.CAPTURED: S.RETURNING},
    S.RETURNING: {},
    S.RETURNED: {},
}

#: The same for a void call. A void that found the charge declined has found that it never will be taken.
AFTER_VOID: Final[Mapping[Status, Mapping[End, Status]]] = {
    **{status: ends for status, ends in AFTER_CHARGE.items() if status is not S.CALLING},
    S.CALLING: AFTER_CHARGE[S.VOIDING],
}


def _call_ended(state: Charge | None, done: EffectDone, now: datetime) -> Deciding:
    outcome: Outcome = done.outcome
    request = done.request
    if state is None:
        raise TypeError(f"No charge is known for the effect {done.effect_id}.")
    match request:
        case ChargeCall():
            return _charge_ended(state, request, outcome)
        case VoidCall():
            return _void_ended(state, request, outcome)
        case RefundCall():
            return refund_ended(state, request, outcome, now)
        case _:
            raise TypeError(f"Payment has no effect of kind {done.kind}.")


def _charge_ended(state: Charge, request: ChargeCall, outcome: Outcome) -> Deciding:
    current = state.call.under_way and state.call.attempt == request.attempt
    if not current and outcome.end in {End.FAILED, End.UNKNOWN}:
        return decision(state)
    if current:
        state = replace(state, call=state.call.ended(outcome))
    settled, effects, notes = _enter(state, AFTER_CHARGE[state.status].get(outcome.end, state.status))
    answers = (charge_answer(settled, request.attempt),) if current else ()
    return decision(settled, *answers, *notes, effects=effects)


def _void_ended(state: Charge, request: VoidCall, outcome: Outcome) -> Deciding:
    current = state.void.under_way and state.void.attempt == request.attempt
    if outcome.end is End.CAPTURED and state.call.attempt == 0:
        outcome = Outcome(End.FAILED, NOT_OURS.message, NOT_OURS.failure)
    if not current and outcome.end is End.FAILED:
        return decision(state)
    if current:
        state = replace(state, void=state.void.ended(outcome))
    settled, effects, notes = _enter(state, AFTER_VOID[state.status].get(outcome.end, state.status))
    answers = (void_answer(settled, request.attempt),) if current else ()
    return decision(settled, *answers, *notes, effects=effects)


def _enter(state: Charge, status: Status) -> tuple[Charge, tuple[Effect, ...], tuple[Note, ...]]:
    """The state with what its new status means for the money."""
    if status is state.status:
        return state, (), ()
    entered = replace(state, status=status)
    if status is Status.CAPTURED:
        return replace(entered, captured_minor=state.amount_minor or 0), (), ()
    if status is Status.RETURNING:
        returning, effect = refunds.give_back(replace(entered, captured_minor=state.amount_minor or 0), 1)
        facts = {"charge_id": state.charge_id, "told": state.status.value, "amount_minor": returning.captured_minor}
        return returning, (effect,), (Note("late-capture", facts),)
    return entered, (), ()
