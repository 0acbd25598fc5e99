"""What the payment service may ask of a payment gateway, and everything that can come of it.

The id in a request is the idempotency key: the same request under the same key has its effect once, and the same answer again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from contracts.values import FailureKind

MAX_AMOUNT_MINOR = 2**63 - 1


class GatewayError(Exception):
    """The gateway gave no answer. Facts: `operation`, `key` (charge or refund id); `failure` says of which kind that is."""

    failure: FailureKind = "unknown"

    def __init__(self, operation: str, key: str, message: str) -> None:
        super().__init__(f"{operation} {key}: {message}")
        self.operation = operation
        self.key = key


class GatewayTimeout(GatewayError):  # noqa: N818 (what happened, not an error of anybody)
    """No answer within the deadline, or the answer was lost. The outcome is unknown: look the charge up or cancel it."""


class GatewayUnavailable(GatewayError):  # noqa: N818 (likewise)
    """The call did not reach the gateway: nothing was done by it. Try again later."""

    failure = "transient"


class ChargeOutcome(StrEnum):
    """What stands about a charge. `PENDING` and `NOT_FOUND` are answers to a look-up only."""

    CAPTURED = "captured"  # the money was taken
    DECLINED = "declined"  # never will be taken
    INVALID = "invalid"  # likewise, because the gateway can make no sense of the request
    FAILED = "failed"  # this call took nothing; the next may
    CANCELLED = "cancelled"  # the charge was cancelled: refused for ever
    CONFLICT = "conflict"  # the key belongs to a charge with other content: an error of the caller
    PENDING = "pending"  # a call is under way; the money may yet be taken
    NOT_FOUND = "not_found"  # no call has got through so far; proves nothing about one still on its way


class CancelOutcome(StrEnum):
    CANCELLED = "cancelled"  # not taken, and never will be
    CAPTURED = "captured"  # too late: the money was taken
    UNDER_WAY = "under_way"  # cannot be cancelled now; ask again
    DECLINED = "declined"  # was declined for good, there is nothing to cancel


class RefundOutcome(StrEnum):
    REFUNDED = "refunded"  # given back, once per refund id
    FAILED = "failed"  # this call gave nothing back; the next may
    REFUSED = "refused"  # more than there is to give back, or no such charge; asking again will not help
    CONFLICT = "conflict"  # the key belongs to a refund with other content: an error of the caller


def check_text(name: str, value: str) -> str:
    """`value`, if a ledger can keep it; else `ValueError`. One bad key must not spoil the batch of calls that it travels in."""
    if not 1 <= len(value) <= 1_000 or "\x00" in value:
        raise ValueError(f"{name} must have 1 to 1,000 characters and no NUL")
    value.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    return value


def _check_amount(amount_minor: int) -> None:
    if not 1 <= amount_minor <= MAX_AMOUNT_MINOR:
        raise ValueError(f"amount_minor must be from 1 to {MAX_AMOUNT_MINOR}, not {amount_minor}")


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    charge_id: str
    order_id: str
    amount_minor: int
    currency: str
    payment_method: str

    def __post_init__(self) -> None:
        for name in ("charge_id", "order_id", "currency", "payment_method"):
            check_text(name, getattr(self, name))
        _check_amount(self.amount_minor)


@dataclass(frozen=True, slots=True)
class RefundRequest:
    refund_id: str
    charge_id: str
    order_id: str
    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        for name in ("refund_id", "charge_id", "order_id", "currency"):
            check_text(name, getattr(self, name))
        _check_amount(self.amount_minor)


@dataclass(frozen=True, slots=True)
class ChargeAnswer:
    """`message` says why, for every outcome but `captured`."""

    charge_id: str
    outcome: ChargeOutcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    charge_id: str
    outcome: CancelOutcome


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """`message` says why, for every outcome but `refunded`."""

    refund_id: str
    charge_id: str
    outcome: RefundOutcome
    message: str = ""


class Clock(Protocol):
    """The gateway's only source of time."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""

    async def sleep(self, seconds: float) -> None: ...


class Gateway(Protocol):
    """Every call answers within `timeout_s` or raises `GatewayTimeout`; one that cannot be sent raises `GatewayUnavailable`."""

    async def charge(self, request: ChargeRequest, timeout_s: float) -> ChargeAnswer:
        """Take the money. A transient failure is not remembered under the key, everything else is."""

    async def look_up(self, charge_id: str, timeout_s: float) -> ChargeAnswer:
        """What is known of the charge; changes nothing that can be seen. Once it said `captured`, that stands."""

    async def cancel(self, charge_id: str, timeout_s: float) -> CancelAnswer:
        """Refuse this charge for ever, even if it is not known yet; or say why that is too late."""

    async def refund(self, request: RefundRequest, timeout_s: float) -> RefundAnswer:
        """Give back what was captured, or part of it. The refunds of a charge never exceed what it captured."""
