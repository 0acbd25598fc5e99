"""What completed orders make of a customer. The rules are this one table."""

from __future__ import annotations

from typing import Final

from contracts.customer import Tier

#: The tier, and from how many completed orders on; the lowest first.
TIERS: Final[tuple[tuple[Tier, int], ...]] = (
    ("STANDARD", 0),
    ("SILVER", 5),
    ("GOLD", 20),
)


def tier_of(completed_orders: int) -> Tier:
    """The highest tier that so many completed orders reach."""
    reached = TIERS[0][0]
    for tier, from_orders in TIERS:
        if completed_orders >= from_orders:
            reached = tier
    return reached
