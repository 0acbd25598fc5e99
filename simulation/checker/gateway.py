"""The gateway and the calls to it as values: whatever may happen between a performer and the gateway next, one turn at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from messaging.decision import Effect, EffectDone
from services.payment.gateway import domain
from services.payment.gateway.port import (
    CancelAnswer,
    CancelOutcome,
    ChargeRequest,
    GatewayTimeout,
    GatewayUnavailable,
    RefundRequest,
)
from services.payment.performer import DEFAULT_TIMEOUT_S
from services.payment.state import ChargeCall, Outcome
from simulation.checker.calls import Asked, Call, Silence, go_on, is_first_charge

_DEADLINE: Final = timedelta(seconds=DEFAULT_TIMEOUT_S)
_TOO_LATE: Final = Silence(GatewayTimeout, "no answer")
_AWAY: Final = Silence(GatewayUnavailable, "away")
_LOST: Final = frozenset({domain.Method.TIMEOUT, domain.Method.LATE})


@dataclass(frozen=True, slots=True)
class Gate:
    """The gateway's own rows about one order."""

    row: domain.ChargeRow | None = None
    refunds: tuple[domain.RefundRow, ...] = ()


@dataclass(frozen=True, slots=True)
class UnderWay:
    """`outcomes` wait to be recorded, in any order. `delayed` are requests that nobody waits for any more and that the gateway may
    still get."""

    calls: tuple[Call, ...] = ()
    outcomes: tuple[EffectDone, ...] = ()
    delayed: tuple[Asked, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What may happen next. `faults`: how many it takes; `broken`: the gateway does not keep a promise."""

    name: str
    gate: Gate
    under_way: UnderWay
    faults: int = 0
    broken: bool = False


def begun(under_way: UnderWay, effects: tuple[Effect, ...], now: datetime) -> UnderWay:
    """The effects of a decision are called for as soon as it is committed."""
    calls = (*under_way.calls, *(Call(effect, False, (), now) for effect in effects))
    return replace(under_way, calls=_sorted(calls))


def recorded(under_way: UnderWay, done: EffectDone) -> UnderWay:
    """An outcome is decided about."""
    return replace(under_way, outcomes=tuple(o for o in under_way.outcomes if o is not done))


def crashed(under_way: UnderWay, key: str, now: datetime) -> UnderWay:
    """What was not recorded is lost with the process; the next owner asks for it again."""
    lost = (Effect(key, done.effect_id, done.kind, done.request) for done in under_way.outcomes)
    effects = (*(call.effect for call in under_way.calls), *lost)
    return UnderWay(_sorted(tuple(Call(effect, True, (), now) for effect in effects)), (), under_way.delayed)


def turns(gate: Gate, under_way: UnderWay, now: datetime, faulty: bool) -> Iterator[Turn]:
    """Everything that may happen next. `faulty`: something may go wrong."""
    for call in under_way.calls:
        if call.ready_at <= now:
            yield from _turns_of(gate, under_way, call, now, faulty)
    for asked in under_way.delayed:
        later = replace(under_way, delayed=tuple(a for a in under_way.delayed if a is not asked))
        yield Turn(f"{asked.operation} arrives late", _reach(gate, asked, now)[0], later)


def money(gate: Gate, now: datetime) -> tuple[int, int]:
    """What the gateway has taken and given back by now."""
    row, state = gate.row, domain.ChargeState
    landed = row is not None and row.lands_at is not None and row.lands_at <= now
    taken = landed and row is not None and row.state in {state.CAPTURED, state.UNDER_WAY}
    given = sum(refund.request.amount_minor for refund in gate.refunds if refund.refunded_at is not None)
    return (row.request.amount_minor if taken and row is not None and row.request is not None else 0), given


# --- one call ---------------------------------------------------------------------------------------------------------


def _turns_of(gate: Gate, under_way: UnderWay, call: Call, now: datetime, faulty: bool) -> Iterator[Turn]:
    rest = replace(under_way, calls=tuple(c for c in under_way.calls if c is not call))
    asked = go_on(call)
    if isinstance(asked, Outcome):
        done = EffectDone(call.effect.id, call.effect.kind, call.effect.request, asked)
        yield Turn(f"{call.effect.kind} is through", gate, replace(rest, outcomes=_by_id((*rest.outcomes, done))))
        return
    yield _answered(f"{asked.operation} works", gate, rest, call, asked, now)
    if faulty:
        for turn in _bad_turns(gate, rest, call, asked, now):
            yield replace(turn, faults=1)


def _bad_turns(gate: Gate, rest: UnderWay, call: Call, asked: Asked, now: datetime) -> Iterator[Turn]:
    named = asked.operation
    yield _answered(f"{named} answers too late", gate, rest, call, asked, now, lost=True)
    yield Turn(f"{named}: gateway away", gate, _heard(rest, call, _AWAY, now))
    if named in {"charge", "refund"}:
        delayed = replace(rest, delayed=(*rest.delayed, asked))
        yield Turn(f"{named} is under way for long", gate, _heard(delayed, call, _TOO_LATE, now + _DEADLINE))
    if named == "charge":
        yield _answered("charge fails", gate, rest, call, asked, now, fails=True)
    if named == "cancel" and any(_will_be_heard(other) for other in rest.calls):
        # The worst that a gateway can do; found out only where the charge's own answer is heard. So nothing else goes wrong.
        promise = CancelAnswer(asked.key, CancelOutcome.CANCELLED)
        yield Turn("cancel is promised and not kept", gate, _heard(rest, call, promise, now), broken=True)


def _answered(
    name: str,
    gate: Gate,
    rest: UnderWay,
    call: Call,
    asked: Asked,
    now: datetime,
    *,
    lost: bool = False,
    fails: bool = False,
) -> Turn:
    after, found = _reach(gate, asked, now, fails)
    if lost or found.lost or found.delay_s > DEFAULT_TIMEOUT_S:
        return Turn(name, after, _heard(rest, call, _TOO_LATE, now + _DEADLINE))
    return Turn(name, after, _heard(rest, call, found.answer, now + timedelta(seconds=found.delay_s)))


def _heard(rest: UnderWay, call: Call, answer: Any, at: datetime) -> UnderWay:
    going = replace(call, answers=(*call.answers, answer), ready_at=at)
    return replace(rest, calls=_sorted((*rest.calls, going)))


def _reach(gate: Gate, asked: Asked, now: datetime, fails: bool = False) -> tuple[Gate, domain.Decision[Any]]:
    """The request arrives at the gateway and has its effect there."""
    refund = next((r for r in gate.refunds if r.request.refund_id == asked.key), None)
    found = _decided(gate.row, refund, asked, now, fails)
    others = tuple(r for r in gate.refunds if r is not refund)
    kept = others if found.refund is None else (*others, found.refund)
    return Gate(found.charge or gate.row, kept), found


def _decided(
    row: domain.ChargeRow | None, refund: domain.RefundRow | None, asked: Asked, now: datetime, fails: bool
) -> domain.Decision[Any]:
    """What the gateway does about a request. `fails`: this charge fails transiently, if its method can."""
    match asked:
        case Asked("charge", request=ChargeRequest() as request):
            return domain.charge(row, request, now, fails=fails)
        case Asked("refund", request=RefundRequest() as request):
            return domain.refund(row, refund, request, now)
        case Asked("look_up"):
            return domain.look_up(row, asked.key, now)
        case _:
            return domain.cancel(row, asked.key, now)


def _will_be_heard(call: Call) -> bool:
    """Whether this is a charge that has not reached the gateway yet, and whose answer does not get lost."""
    request = call.effect.request
    return is_first_charge(call) and isinstance(request, ChargeCall) and request.payment_method not in _LOST


def _sorted(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """Which of them began first makes no difference to anybody."""
    return calls if len(calls) < 2 else tuple(sorted(calls, key=lambda call: call.effect.id))


def _by_id(outcomes: tuple[EffectDone, ...]) -> tuple[EffectDone, ...]:
    return tuple(sorted(outcomes, key=lambda done: done.effect_id))
