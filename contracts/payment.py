"""Commands from the orchestrator to the payment service, and its events. Each answer names the request it answers.

An answer that something did not work says in `failure` of which kind it was; null where it was told before there were kinds.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from contracts.values import AmountMinor, CommandData, Currency, EventData, FailureKind, Id

Attempt = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Charge(CommandData):
    """Take the money. One charge id serves all attempts; the gateway knows it as the idempotency key. Where the outcome of
    an earlier attempt is unknown, the service asks before it charges again."""

    charge_id: Id
    amount_minor: AmountMinor
    currency: Currency
    payment_method: Id
    attempt: Attempt


class VoidCharge(CommandData):
    """Make sure that this charge is never taken from now on, and tell whether it was taken before."""

    charge_id: Id
    attempt: Attempt


class Refund(CommandData):
    """Give back what was captured. One refund id serves all attempts."""

    refund_id: Id
    charge_id: Id
    amount_minor: AmountMinor
    currency: Currency
    attempt: Attempt


class ChargeCaptured(EventData):
    """The money was taken: the answer to charge, and to void-charge where the void came too late."""

    charge_id: str
    amount_minor: AmountMinor
    currency: Currency
    attempt: int


class ChargeDeclined(EventData):
    """The gateway will never take this charge: a permanent refusal, nothing was taken."""

    charge_id: str
    attempt: int
    message: str
    failure: FailureKind | None = None


class ChargeFailed(EventData):
    """Nothing was taken by this attempt; another may work."""

    charge_id: str
    attempt: int
    message: str
    failure: FailureKind | None = None


class ChargeUnknown(EventData):
    """The gateway did not answer in time or has not decided: the money may have been taken, or may yet be."""

    charge_id: str
    attempt: int
    message: str
    failure: FailureKind | None = None


class ChargeVoided(EventData):
    """Answer to void-charge: nothing was taken and nothing ever will be."""

    charge_id: str
    attempt: int


class VoidFailed(EventData):
    """Answer to void-charge: it could not be settled now; ask again."""

    charge_id: str
    attempt: int
    message: str
    failure: FailureKind | None = None


class Refunded(EventData):
    """Answer to refund: the money was given back."""

    refund_id: str
    charge_id: str
    amount_minor: AmountMinor
    currency: Currency
    attempt: int


class RefundFailed(EventData):
    """Answer to refund: nothing was given back by this attempt; ask again."""

    refund_id: str
    charge_id: str
    attempt: int
    message: str
    failure: FailureKind | None = None


COMMANDS: Final[dict[str, type[CommandData]]] = {
    "payment.charge.v1": Charge,
    "payment.void-charge.v1": VoidCharge,
    "payment.refund.v1": Refund,
}

EVENTS: Final[dict[str, type[EventData]]] = {
    "payment.charge-captured.v1": ChargeCaptured,
    "payment.charge-declined.v1": ChargeDeclined,
    "payment.charge-failed.v1": ChargeFailed,
    "payment.charge-unknown.v1": ChargeUnknown,
    "payment.charge-voided.v1": ChargeVoided,
    "payment.void-failed.v1": VoidFailed,
    "payment.refunded.v1": Refunded,
    "payment.refund-failed.v1": RefundFailed,
}
