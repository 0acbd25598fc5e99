"""What the payment service knows of a charge, and what it asks of the gateway. Frozen data, nothing else.

A charge belongs to one order, and the order's id is the key of every message about it: so its rows belong to one partition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from contracts.values import FailureKind


class Status(StrEnum):
    """What is known of the money. The last three promise that the order will not be charged."""

    CALLING = "calling"  # a call is under way, nothing is known
    FAILED = "failed"  # the last call took nothing; another may work. Never final
    UNKNOWN = "unknown"  # the last call had no answer, or the gateway has not decided
    VOIDING = "voiding"  # the charge shall never be taken from now on; the gateway has not settled it yet
    CAPTURED = "captured"  # taken, and told so
    DECLINED = "declined"  # refused for good
    VOIDED = "voided"  # never taken
    RETURNING = "returning"  # taken after "voided" or "declined" was told: this service gives it back by itself
    RETURNED = "returned"  # and has done so


class End(StrEnum):
    """How a call of the gateway ended."""

    CAPTURED = "captured"
    DECLINED = "declined"
    VOIDED = "voided"
    FAILED = "failed"  # nothing was done by this call; another may work
    UNKNOWN = "unknown"  # it may have been done, or may yet be (charges only)
    REFUNDED = "refunded"
    REFUSED = "refused"  # the gateway will not give this back (refunds only)


@dataclass(frozen=True, slots=True)
class Why:
    """Why something did not work, in words and by its kind."""

    message: str
    failure: FailureKind | None


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of request about a charge: the last attempt that was made, and how it ended (None: it is under way). `failure` and
    `message` say of which kind it was and why, where it did not work."""

    attempt: int = 0
    end: End | None = None
    message: str = ""
    failure: FailureKind | None = None

    def ended(self, outcome: Outcome) -> Line:
        """The same attempt with its outcome."""
        return Line(self.attempt, outcome.end, outcome.message, outcome.failure)

    @property
    def why(self) -> Why:
        """Why the attempt did not work."""
        return Why(self.message, self.failure)

    @property
    def under_way(self) -> bool:
        """Whether a call is being made; its outcome will come, whatever crashes."""
        return self.attempt > 0 and self.end is None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money to be given back, under the id that the gateway knows it by. `own`: nobody asked for it but this service."""

    refund_id: str
    amount_minor: int
    currency: str
    line: Line
    own: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge and its refunds. The content (`amount_minor`, `currency`, `payment_method`) is None where only a void was ever asked
    for: the tombstone that refuses a charge which comes later."""

    order_id: str
    charge_id: str
    status: Status
    amount_minor: int | None = None
    currency: str | None = None
    payment_method: str | None = None
    call: Line = field(default_factory=Line)
    void: Line = field(default_factory=Line)
    captured_minor: int = 0
    refunded_minor: int = 0
    refunds: tuple[Refund, ...] = ()
    version: int = 0

    def refund(self, refund_id: str) -> Refund | None:
        """The refund of that id."""
        return next((refund for refund in self.refunds if refund.refund_id == refund_id), None)

    @property
    def under_way(self) -> bool:
        """Whether any call is being made for it."""
        return self.call.under_way or self.void.under_way or any(refund.line.under_way for refund in self.refunds)


class _Request(BaseModel):
    """What an effect asks for, as it is stored until its end is recorded. `asked_by`: the id of the command that it is made for,
    which the answer names; None where this service makes it by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order_id: str
    charge_id: str
    attempt: int
    asked_by: str | None = None


class ChargeCall(_Request):
    """Take the money. `ask_first`: an earlier call may have done it."""

    amount_minor: int
    currency: str
    payment_method: str
    ask_first: bool


class VoidCall(_Request):
    """Refuse the charge from now on."""


class RefundCall(_Request):
    """Give money back."""

    refund_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. `failure` and `message` say of which kind it was and why, where it did not work."""

    end: End
    message: str = ""
    failure: FailureKind | None = None
