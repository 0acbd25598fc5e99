"""Customers: what their tiers follow from, and what is left of those who were erased."""

from __future__ import annotations

from collections.abc import Iterator

from audit.facts import COMPLETED, GREETED, CustomerFacts, OrderFacts
from audit.rules.breach import Finding


def completed_orders_count(order: OrderFacts) -> Iterator[Finding]:
    """A completed order counts once, for its customer's tier; nothing else counts."""
    if order.counted_for is None:
        return
    row = order.row
    sold = row is not None and row.status == COMPLETED and all(entry.type != GREETED for entry in order.history)
    expected = (row.customer_id,) if row is not None and sold else ()
    if order.counted_for != expected:
        yield Finding(_for(expected), _for(order.counted_for), "tier")


def _for(customers: tuple[str, ...]) -> str:
    return f"counted for {', '.join(customers)}" if customers else "not counted"


def tiers_add_up(customer: CustomerFacts) -> Iterator[Finding]:
    """The count that decides a customer's tier is the number of orders that were counted."""
    if customer.completed_orders != customer.counted_orders:
        yield Finding(f"{customer.counted_orders} completed orders", str(customer.completed_orders))


def erased_is_gone(customer: CustomerFacts) -> Iterator[Finding]:
    """Of a customer who was erased neither name nor address is left, at customer or at notification."""
    for place in customer.left_at:
        yield Finding("neither name nor address", f"something in table {place}", place)
