"""What is told about a charge, and how a decision is put together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from contracts import payment as words
from contracts.values import CommandData
from messaging.decision import Decision, Effect, EffectDone, Message, Note, Outgoing, SetTimer
from messaging.stamp import derived_id
from services.payment.state import Charge, End, Status, Why

Deciding = Decision[Charge | None]

#: In these the order was promised that it is not charged.
NEVER_TAKEN: Final = frozenset({Status.DECLINED, Status.VOIDED, Status.RETURNING, Status.RETURNED})


def decision(
    state: Charge | None,
    *says: Outgoing | Note,
    effects: tuple[Effect, ...] = (),
    timers: tuple[SetTimer, ...] = (),
) -> Deciding:
    """The decision that leaves `state`."""
    return Decision(state, says, timers, effects)


def answering(decided: Deciding, message: Message) -> Deciding:
    """The same decision with its calls and answers named after the command that they are for. An answer that needs no call is
    caused by the command itself."""
    if isinstance(message.data, CommandData):
        calls = (
            replace(call, request=call.request.model_copy(update={"asked_by": message.id})) for call in decided.effects
        )
        return replace(decided, effects=tuple(calls)) if decided.effects else decided
    if isinstance(message.data, EffectDone) and message.data.request.asked_by is not None:
        asked_by = message.data.request.asked_by
        says = (replace(said, answers=asked_by) if isinstance(said, Outgoing) else said for said in decided.says)
        return replace(decided, says=tuple(says))
    return decided


def effect(state: Charge, kind: str, attempt: int, request: Any, *about: str) -> Effect:
    """A call to be made. Every attempt is an effect of its own: its id derives from what is called, and which attempt it is."""
    return Effect(
        state.order_id, derived_id(kind, state.order_id, state.charge_id, *about, str(attempt)), kind, request
    )


def charge_answer(state: Charge, attempt: int) -> Outgoing:
    """What there is to say to a charge command: the charge's state where it is settled, else how the last call ended."""
    match state.status:
        case Status.CAPTURED:
            return captured(state, attempt)
        case Status.DECLINED:
            return declined(state, attempt, _declined_by(state))
        case Status.VOIDED | Status.RETURNING | Status.RETURNED:
            return voided(state, attempt)
        case _ if state.call.end is End.FAILED:
            return failed(state, attempt, state.call.why)
        case _:
            return unknown(state, attempt, state.call.why)


def _declined_by(state: Charge) -> Why:
    """What the call tells that found the charge declined; one that was given up by then has left nothing but that."""
    found = [line.why for line in (state.call, state.void) if line.end is End.DECLINED]
    return found[0] if found else Why("The charge was declined.", "permanent")


def void_answer(state: Charge, attempt: int) -> Outgoing:
    """What there is to say to a void: how the charge was settled, else why it is not."""
    if state.status is Status.CAPTURED:
        return captured(state, attempt)
    if state.status in NEVER_TAKEN:
        return voided(state, attempt)
    return void_failed(state, attempt, state.void.why)


def captured(state: Charge, attempt: int) -> Outgoing:
    """The money was taken."""
    event = words.ChargeCaptured(
        charge_id=state.charge_id, amount_minor=state.captured_minor, currency=state.currency or "", attempt=attempt
    )
    return Outgoing(state.order_id, event)


def voided(state: Charge, attempt: int) -> Outgoing:
    """It never will be taken; or it was, and is given back without being asked."""
    return Outgoing(state.order_id, words.ChargeVoided(charge_id=state.charge_id, attempt=attempt))


def declined(state: Charge, attempt: int, why: Why) -> Outgoing:
    """Refused for good."""
    event = words.ChargeDeclined(charge_id=state.charge_id, attempt=attempt, message=why.message, failure=why.failure)
    return Outgoing(state.order_id, event)


def failed(state: Charge, attempt: int, why: Why) -> Outgoing:
    """Nothing was taken by this attempt."""
    event = words.ChargeFailed(charge_id=state.charge_id, attempt=attempt, message=why.message, failure=why.failure)
    return Outgoing(state.order_id, event)


def unknown(state: Charge, attempt: int, why: Why) -> Outgoing:
    """It may have been taken, or may yet be: ask again."""
    event = words.ChargeUnknown(charge_id=state.charge_id, attempt=attempt, message=why.message, failure=why.failure)
    return Outgoing(state.order_id, event)


def void_failed(state: Charge, attempt: int, why: Why) -> Outgoing:
    """Not settled: ask again."""
    event = words.VoidFailed(charge_id=state.charge_id, attempt=attempt, message=why.message, failure=why.failure)
    return Outgoing(state.order_id, event)
