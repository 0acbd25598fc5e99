"""How much of each SKU the shop opens with: what the file's orders ask for, and for some SKUs less, on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from orderctl.importer.results import ImportPlan, PlannedOrder

SCARCE_EVERY: Final = 80
SCARCE_PERCENT: Final = 60


def opening_stock(orders: Iterable[PlannedOrder]) -> dict[str, tuple[int, int]]:
    """Demand and opening stock per SKU, by SKU.

    Of the SKUs that at least two orders ask for, sorted by code, the first and every 80th after it open with 60 % of their demand,
    rounded down: at least 1 and always too little for all.
    """
    demand: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for order in orders:
        for sku, quantity in order.items:
            demand[sku] += quantity
            asked[sku] += 1
    shared = sorted(sku for sku, times in asked.items() if times >= 2)
    scarce = set(shared[::SCARCE_EVERY])
    return {
        sku: (demand[sku], demand[sku] * SCARCE_PERCENT // 100 if sku in scarce else demand[sku])
        for sku in sorted(demand)
    }


def orders_that_run_out(plan: ImportPlan) -> tuple[str, ...]:
    """The ids of the orders that find no stock when they come one after another and take all of their lines or none.

    An estimate: on the real system orders of different partitions overtake each other.
    """
    left = {entry.sku: entry.opening_stock for entry in plan.catalogue}
    short: list[str] = []
    for order in plan.orders:
        if any(left[sku] < quantity for sku, quantity in order.items):
            short.append(order.order_id)
            continue
        for sku, quantity in order.items:
            left[sku] -= quantity
    return tuple(short)
