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
FAST: Final = frozenset[str]()
