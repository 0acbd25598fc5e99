"""What is told about a charge, and how a decision is put together."""

from __future__ import annotations

from typing import Any, Final

from contracts import payment as words
from messaging.decision import Decision, Effect, Note, Outgoing, SetTimer
from messaging.stamp import derived_id
from services.payment.state import Charge, End, Status

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
            return declined(state, attempt, state.call.message or state.void.message or "The charge was declined.")
        case Status.VOIDED | Status.RETURNING | Status.RETURNED:
            return voided(state, attempt)
        case _ if state.call.end is End.FAILED:
            failed = words.ChargeFailed(charge_id=state.charge_id, attempt=attempt, message=state.call.message)
            return Outgoing(state.order_id, failed)
        case _:
            return unknown(state, attempt, state.call.message)


def void_answer(state: Charge, attempt: int) -> Outgoing:
    """What there is to say to a void: how the charge was settled, else why it is not."""
    if state.status is Status.CAPTURED:
        return captured(state, attempt)
    if state.status in NEVER_TAKEN:
        return voided(state, attempt)
    return void_failed(state, attempt, state.void.message)


def captured(state: Charge, attempt: int) -> Outgoing:
    """The money was taken."""
    event = words.ChargeCaptured(
        charge_id=state.charge_id, amount_minor=state.captured_minor, currency=state.currency or "", attempt=attempt
    )
    return Outgoing(state.order_id, event)


def voided(state: Charge, attempt: int) -> Outgoing:
    """It never will be taken; or it was, and is given back without being asked."""
    return Outgoing(state.order_id, words.ChargeVoided(charge_id=state.charge_id, attempt=attempt))


def declined(state: Charge, attempt: int, message: str) -> Outgoing:
    """Refused for good."""
    return Outgoing(state.order_id, words.ChargeDeclined(charge_id=state.charge_id, attempt=attempt, message=message))


def unknown(state: Charge, attempt: int, message: str) -> Outgoing:
    """It may have been taken, or may yet be: ask again."""
    return Outgoing(state.order_id, words.ChargeUnknown(charge_id=state.charge_id, attempt=attempt, message=message))


def void_failed(state: Charge, attempt: int, message: str) -> Outgoing:
    """Not settled: ask again."""
    return Outgoing(state.order_id, words.VoidFailed(charge_id=state.charge_id, attempt=attempt, message=message))
