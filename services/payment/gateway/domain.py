"""The rules of the simulated gateway: pure decisions on the rows of its ledger.

A charge whose money moves later needs no process that moves it: its row says when it lands (`lands_at`), and every decision judges
that against `now`. The first decision that finds it landed has `CAPTURED` recorded, so that what was told is never taken back, not
even by a process whose clock is behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final, Generic, TypeVar

from services.payment.gateway.port import (
    CancelAnswer,
    CancelOutcome,
    ChargeAnswer,
    ChargeOutcome,
    ChargeRequest,
    RefundAnswer,
    RefundOutcome,
    RefundRequest,
)

LATE_AFTER_S: Final = 4.0
SLOW_CHARGE_S: Final = 1.0
REFUND_FAILURES: Final = 3


class Method(StrEnum):
    """The payment methods that the gateway knows; every other one is declined."""

    VISA = "pm_card_visa"
    DECLINED = "pm_card_declined"
    TIMEOUT = "pm_card_timeout"  # charged, but the answer is lost
    LATE = "pm_card_late"  # charged after a while, unless it was cancelled before
    REFUND_FAILS = "pm_refund_fails"  # slow to charge, and the first refunds fail


class ChargeState(StrEnum):
    ATTEMPTED = "attempted"  # every call so far failed transiently; only their number is kept
    UNDER_WAY = "under_way"  # the money moves at lands_at
    CAPTURED = "captured"
    DECLINED = "declined"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """`request` is None only where a charge was cancelled before it was ever asked for: the tombstone."""

    charge_id: str
    request: ChargeRequest | None
    state: ChargeState
    lands_at: datetime | None = None
    calls: int = 0
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class RefundRow:
    request: RefundRequest
    failures: int = 0
    refunded_at: datetime | None = None


A_co = TypeVar("A_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Decision(Generic[A_co]):
    """How the rows stand after the call, and the answer. `lost`: the answer never comes; else it comes after `delay_s`."""

    answer: A_co
    charge: ChargeRow | None
    refund: RefundRow | None = None
    delay_s: float = 0.0
    lost: bool = False


@dataclass(frozen=True, slots=True)
class LedgerCall(Generic[A_co]):
    """One call: the rows it needs and the decision on them. A ledger that lost a race decides again; only the last one counts."""

    operation: str
    charge_id: str
    refund_id: str | None
    decide: Callable[[ChargeRow | None, RefundRow | None], Decision[A_co]]


def fails_transiently(charge_id: str, call: int, rate: float) -> bool:
    """Whether the `call`-th call for this charge fails: for a share `rate` of all calls, the same ones in every run."""
    if rate <= 0.0:
        return False
    digest = sha256(f"{charge_id}\x00{call}".encode()).digest()
    return int.from_bytes(digest[:8]) < rate * 2**64


def next_call(row: ChargeRow | None) -> int:
    """The number of the charge call that is about to be decided, from 1."""
    return 1 if row is None else row.calls + 1


def charge(row: ChargeRow | None, request: ChargeRequest, now: datetime, *, fails: bool) -> Decision[ChargeAnswer]:
    """`fails`: this call is one that fails transiently, if its method can."""
    row = _landed(row, now)
    if row is None or row.state is ChargeState.ATTEMPTED:
        return _first_charge(row, request, now, fails=fails)
    if row.state is not ChargeState.CANCELLED and row.request != request:
        return Decision(
            _charge_answer(row.charge_id, ChargeOutcome.CONFLICT, "the charge id was used for another charge"), row
        )
    if row.state is not ChargeState.UNDER_WAY or row.lands_at is None:
        return Decision(_standing(row), row)
    if request.payment_method == Method.LATE:
        # It may still be cancelled, so no answer could be held back until it lands.
        return Decision(_standing(row), row, lost=True)
    return Decision(
        _charge_answer(row.charge_id, ChargeOutcome.CAPTURED), row, delay_s=(row.lands_at - now).total_seconds()
    )


def _first_charge(
    row: ChargeRow | None, request: ChargeRequest, now: datetime, *, fails: bool
) -> Decision[ChargeAnswer]:
    new = ChargeRow(request.charge_id, request, ChargeState.CAPTURED, lands_at=now, calls=next_call(row))
    captured = _charge_answer(request.charge_id, ChargeOutcome.CAPTURED)
    match request.payment_method:
        case Method.VISA if fails:
            failed = _charge_answer(request.charge_id, ChargeOutcome.FAILED, "the card network is busy; try again")
            return Decision(failed, replace(new, state=ChargeState.ATTEMPTED, lands_at=None))
        case Method.VISA:
            return Decision(captured, new)
        case Method.TIMEOUT:
            return Decision(captured, new, lost=True)
        case Method.LATE:
            late = replace(new, state=ChargeState.UNDER_WAY, lands_at=now + timedelta(seconds=LATE_AFTER_S))
            return Decision(_standing(late), late, lost=True)
        case Method.REFUND_FAILS:
            slow = replace(new, state=ChargeState.UNDER_WAY, lands_at=now + timedelta(seconds=SLOW_CHARGE_S))
            return Decision(captured, slow, delay_s=SLOW_CHARGE_S)
        case _:
            declined = replace(new, state=ChargeState.DECLINED, lands_at=None)
            return Decision(_standing(declined), declined)


def look_up(row: ChargeRow | None, charge_id: str, now: datetime) -> Decision[ChargeAnswer]:
    row = _landed(row, now)
    if row is None or row.state is ChargeState.ATTEMPTED:
        return Decision(_charge_answer(charge_id, ChargeOutcome.NOT_FOUND, "no charge is known under this id"), row)
    return Decision(_standing(row), row)


def cancel(row: ChargeRow | None, charge_id: str, now: datetime) -> Decision[CancelAnswer]:
    row = _landed(row, now)
    if row is None:
        tombstone = ChargeRow(charge_id, None, ChargeState.CANCELLED)
        return Decision(CancelAnswer(charge_id, CancelOutcome.CANCELLED), tombstone)
    if row.state is ChargeState.UNDER_WAY and row.request is not None and row.request.payment_method != Method.LATE:
        return Decision(CancelAnswer(charge_id, CancelOutcome.UNDER_WAY), row)
    match row.state:
        case ChargeState.CAPTURED:
            return Decision(CancelAnswer(charge_id, CancelOutcome.CAPTURED), row)
        case ChargeState.DECLINED:
            return Decision(CancelAnswer(charge_id, CancelOutcome.DECLINED), row)
        case ChargeState.CANCELLED:
            return Decision(CancelAnswer(charge_id, CancelOutcome.CANCELLED), row)
        case ChargeState.ATTEMPTED | ChargeState.UNDER_WAY:
            cancelled = replace(row, state=ChargeState.CANCELLED, lands_at=None)
            return Decision(CancelAnswer(charge_id, CancelOutcome.CANCELLED), cancelled)


def refund(
    row: ChargeRow | None, refund_row: RefundRow | None, request: RefundRequest, now: datetime
) -> Decision[RefundAnswer]:
    """`row` is the charge that the request names, `refund_row` what is kept under its refund id."""
    row = _landed(row, now)
    if refund_row is not None and refund_row.request != request:
        conflict = _refund_answer(request, RefundOutcome.CONFLICT, "the refund id was used for another refund")
        return Decision(conflict, row, refund_row)
    if refund_row is not None and refund_row.refunded_at is not None:
        return Decision(_refund_answer(request, RefundOutcome.REFUNDED), row, refund_row)
    if row is not None and row.state is ChargeState.UNDER_WAY:
        early = _refund_answer(request, RefundOutcome.FAILED, "the charge is still under way")
        return Decision(early, row, refund_row)
    refusal = _refusal(row, request)
    if row is None or row.request is None or refusal:
        return Decision(_refund_answer(request, RefundOutcome.REFUSED, refusal), row, refund_row)
    failures = 0 if refund_row is None else refund_row.failures
    if row.request.payment_method == Method.REFUND_FAILS and failures < REFUND_FAILURES:
        closed = f"the bank is closed ({failures + 1} of {REFUND_FAILURES})"
        return Decision(
            _refund_answer(request, RefundOutcome.FAILED, closed), row, RefundRow(request, failures=failures + 1)
        )
    return Decision(
        _refund_answer(request, RefundOutcome.REFUNDED),
        replace(row, refunded_minor=row.refunded_minor + request.amount_minor),
        RefundRow(request, failures, refunded_at=now),
    )


def _refusal(row: ChargeRow | None, request: RefundRequest) -> str:
    if row is None or row.request is None or row.state is not ChargeState.CAPTURED:
        return "nothing was captured under this charge id"
    if (row.request.order_id, row.request.currency) != (request.order_id, request.currency):
        return "the charge has another order or currency"
    if row.refunded_minor + request.amount_minor > row.request.amount_minor:
        return f"only {row.request.amount_minor - row.refunded_minor} of {row.request.amount_minor} are left to refund"
    return ""


def _landed(row: ChargeRow | None, now: datetime) -> ChargeRow | None:
    """The same row, unless its money has moved in the meantime."""
    if row is None or not (row.state is ChargeState.UNDER_WAY and row.lands_at is not None and row.lands_at <= now):
        return row
    return replace(row, state=ChargeState.CAPTURED)


def _standing(row: ChargeRow) -> ChargeAnswer:
    match row.state:
        case ChargeState.CAPTURED:
            return _charge_answer(row.charge_id, ChargeOutcome.CAPTURED)
        case ChargeState.DECLINED:
            if row.request is not None and row.request.payment_method == Method.DECLINED:
                return _charge_answer(row.charge_id, ChargeOutcome.DECLINED, "the card was declined")
            return _charge_answer(row.charge_id, ChargeOutcome.INVALID, "the payment method is not known")
        case ChargeState.CANCELLED:
            return _charge_answer(row.charge_id, ChargeOutcome.CANCELLED, "the charge was cancelled")
        case ChargeState.UNDER_WAY:
            return _charge_answer(row.charge_id, ChargeOutcome.PENDING, "a call is under way")
        case ChargeState.ATTEMPTED:
            return _charge_answer(row.charge_id, ChargeOutcome.FAILED, "no call has worked so far")


def _charge_answer(charge_id: str, outcome: ChargeOutcome, message: str = "") -> ChargeAnswer:
    return ChargeAnswer(charge_id, outcome, message)


def _refund_answer(request: RefundRequest, outcome: RefundOutcome, message: str = "") -> RefundAnswer:
    return RefundAnswer(request.refund_id, request.charge_id, outcome, message)
