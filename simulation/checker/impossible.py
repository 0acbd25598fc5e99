"""Which cells nobody can reach, and why. A search that reaches one of them all the same fails: the reason was wrong.

All of them are reasons of the whole system, not of the party that reads: there the cell has a rule, and `tests/unit` tries it.
"""

from __future__ import annotations

from typing import Final

#: Messages, states, and why none of these messages is read in any of these states.
Reasons = tuple[tuple[frozenset[str], frozenset[str], str], ...]


def _of(*names: str) -> frozenset[str]:
    return frozenset(names)


_CHARGED: Final = _of("ChargeCaptured", "ChargeDeclined", "ChargeFailed", "ChargeUnknown", "ChargeVoided", "VoidFailed")
_REFUNDED: Final = _of("Refunded", "RefundFailed")
_RESERVED: Final = _of("StockReserved", "ReservationRefused", "ReservationExpired", "StockReleased")
_ENRICHED: Final = _of("CustomerFound", "CustomerUnknown", "Recommended", "StockChecked")
_ANSWERS: Final = _CHARGED | _REFUNDED | _RESERVED | _ENRICHED | {"TimerFired"}
_ENDED: Final = _of("COMPLETED", "CANCELLED", "FAILED")

IN_ORDERS: Final[Reasons] = (
    (
        _ANSWERS,
        _of("NEW"),
        "Nobody is asked, and no timer is set, for an order that is not there: both are committed with it.",
    ),
    (_RESERVED, _of("ENRICHING"), "Stock is asked for after the questions are answered."),
    (_of("StockReleased"), _of("RESERVING"), "The first reservation is released only by an order that is given up."),
    (_of("ReservationExpired"), _of("RESERVING"), "It stands behind the answer to the request, on the same topic."),
    (
        _CHARGED | _REFUNDED,
        _of("ENRICHING", "RESERVING", "AWAITING_APPROVAL"),
        "Nothing is charged before the approval.",
    ),
    (_of("TimerFired"), _ENDED, "The timer's row goes in the transaction in which the order ends."),
    (
        _of("CustomerUnknown"),
        _of("RESERVING", "AWAITING_APPROVAL", "PAYING", "COMPENSATING", "COMPLETED"),
        "Whoever is known stays known, also when erased; and an order of somebody unknown fails in ENRICHING.",
    ),
    (_REFUNDED, _of("PAYING", "COMPLETED", "FAILED"), "Only an order that is cancelled while it is paid is refunded."),
    (
        _of("ChargeDeclined", "ChargeVoided"),
        _of("COMPLETED"),
        "Payment never contradicts what it told: a captured charge is neither declined nor voided.",
    ),
    (
        _of("ChargeCaptured"),
        _of("FAILED"),
        "An order fails after its charge was declined or voided, and that is never taken back.",
    ),
)

_NEVER_HELD: Final = _of("unknown", "refused", "tombstone")
IN_INVENTORY: Final[Reasons] = (
    (
        _of("ExtendReservation"),
        _NEVER_HELD,
        "Only what was held is announced, and only what was announced is extended.",
    ),
    (
        _of("OrderCompleted"),
        _NEVER_HELD | {"released"},
        "A completed order names what it holds, and released none of it.",
    ),
    (_of("ReleaseStock"), _of("shipped"), "An order that completes releases nothing that it names."),
    (
        _of("ReserveStock"),
        _of("tombstone"),
        "Requests of one order stand on one topic, the reservation before its release.",
    ),
    (_of("TimerFired"), _of("unknown"), "The sweep looks at rows, and an unknown reservation has none."),
)

_STATUSES: Final = _of(
    "unknown to us",
    "calling",
    "failed",
    "unknown",
    "voiding",
    "captured",
    "declined",
    "voided",
    "returning",
    "returned",
)
_CHARGE_ENDS: Final = _of("charge captured", "charge declined", "charge voided", "charge failed", "charge unknown")
_VOID_ENDS: Final = _of("void captured", "void declined", "void voided", "void failed")
_REFUND_ENDS: Final = _of("refund refunded", "refund refused", "refund failed")
_GIVEN_BACK: Final = _of("returning", "returned")
_ONE_CALL: Final = "One charge call is under way at a time, and none in this state."

IN_PAYMENT: Final[Reasons] = (
    (
        _of("Refund"),
        _STATUSES - {"captured"},
        "A refund is asked for after a capture was told, and a captured charge stays captured.",
    ),
    (
        _of("TimerFired"),
        _STATUSES - {"returning"},
        "The only timer is that of a return that failed, and the next attempt ends it.",
    ),
    (_CHARGE_ENDS | _VOID_ENDS | _REFUND_ENDS, _of("unknown to us"), "A call is made for a charge that has a row."),
    (_CHARGE_ENDS, _of("failed", "unknown"), _ONE_CALL),
    (_CHARGE_ENDS | _VOID_ENDS, _GIVEN_BACK, "It is given back when the last call that was under way has ended."),
    (
        _VOID_ENDS,
        _of("calling", "failed", "unknown"),
        "While a void is under way the charge is being voided, or settled.",
    ),
    (_of("charge voided"), _of("calling"), "The gateway has voided nothing before a void was asked for."),
    (_REFUND_ENDS, _STATUSES - {"captured"} - _GIVEN_BACK, "Only what was captured is given back."),
    (_of("refund failed", "refund refunded"), _of("returned"), "One refund gives it back, and it has ended."),
    (_of("refund refused"), _STATUSES, "The gateway refuses no refund of what it has captured."),
    (
        _of("charge captured", "void captured"),
        _of("declined"),
        "The gateway's declined charge is final: it is never captured.",
    ),
    (_of("void captured"), _of("voided"), "What the gateway told the charge call, it does not contradict to the void."),
    (_of("charge declined", "charge voided", "void declined"), _of("captured"), "Likewise."),
    (_of("charge voided"), _of("declined"), "Likewise."),
    (_of("void declined"), _of("voided"), "Likewise."),
    (_of("charge failed"), _of("declined"), "Likewise: a method that fails transiently is not declined."),
)
