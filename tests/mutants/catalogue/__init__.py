"""All mutants, by the part of the system that they are in."""

from __future__ import annotations

from typing import Final

from mutants.catalogue import followers, inventory, orders, payment, runtime, sql
from mutants.mutant import Part

PARTS: Final[tuple[Part, ...]] = (
    orders.PART,
    inventory.PART,
    payment.PART,
    followers.CUSTOMER_PART,
    followers.NOTIFICATION_PART,
    runtime.PART,
    sql.PART,
)

#: Those that `make test` runs: they are found fast, and there are some in every part.
FAST: Final = frozenset(
    {
        "late-success-ignored",
        "late-timer-speaks-for-the-deadline",
        "answer-of-an-older-attempt",
        "one-attempt-too-many",
        "second-undecided-line-gets-no-verdict",
        "released-before-refunded",
        "charged-twice",
        "release-by-plus-n",
        "no-tombstone",
        "repeated-reservation-holds-again",
        "old-extension-shortens",
        "late-capture-kept",
        "repeated-after-a-crash-without-asking",
        "refunds-beyond-the-capture",
        "gateway-keeps-no-tombstone",
        "tier-one-order-late",
        "mailed-twice",
        "mail-timer-without-step",
        "published-before-commit",
        "marked-before-acknowledged",
        "lost-outcome",
        "memory-fence-without-offsets",
        "memory-survives-a-change-of-owner",
        "off-by-one-epoch",
        "fence-without-offsets",
    }
)
