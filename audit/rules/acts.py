"""What each kind of order has to tell: how it was enriched, who stepped in, and that a greeting is nothing but a greeting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from audit.facts import ACCEPTED, GREETED, VERDICTS, OrderFacts
from audit.fold import ENRICHING_SINCE
from audit.rules.breach import Finding

OPERATED: Final = frozenset(
    f"orders.{verb}.v1"
    for verb in ("cancel-by-operator", "retry-now", "pause-order", "resume-order", "resolve-attention")
)


def enriched_before_reserved(order: OrderFacts) -> Iterator[Finding]:
    """Stock is held for an order of version 2 only after it was enriched, once; an order of version 1 is not enriched."""
    if order.row is None or order.row.workflow != "order":
        return
    told = [entry.type for entry in order.history]
    enriched = told.count("orders.order-enriched.v1")
    if order.row.workflow_version < ENRICHING_SINCE:
        if enriched:
            yield Finding("no enrichment", f"{enriched} in version {order.row.workflow_version}")
        return
    reserved = "orders.stock-reserved.v1" in told
    before = reserved and "orders.order-enriched.v1" in told[: told.index("orders.stock-reserved.v1")]
    if enriched > 1 or before != reserved:
        yield Finding("enriched once, before the stock was held", f"enriched {enriched} times", "order-enriched")


def operators_are_named(order: OrderFacts) -> Iterator[Finding]:
    """Every operator's command that was accepted stands in the order's history with who asked for it and why."""
    for entry in order.history:
        if (
            entry.type != ACCEPTED
            or not entry.cause
            or entry.data["command_type"] not in OPERATED
            or entry.data["duplicate"]
        ):
            continue
        caused = (other for other in order.history if other.cause == entry.cause and other is not entry)
        if not any(_named(other.data) for other in caused):
            expected = f"who asked for {entry.data['command_type']}, and why"
            yield Finding(expected, "nobody", entry.data["command_id"])


def _named(data: Mapping[str, Any]) -> bool:
    return bool(data.get("operator")) and bool(data.get("reason"))


def a_greeting_is_a_greeting(order: OrderFacts) -> Iterator[Finding]:
    """A greeting names whom it greets, and its history tells nothing but the greeting and verdicts."""
    row = order.row
    if row is None or row.workflow != "greet":
        return
    told = [entry for entry in order.history if entry.type not in VERDICTS]
    if [entry.type for entry in told] != [GREETED] or row.customer_id not in told[0].data["greeting"]:
        found = ", ".join(entry.type for entry in told) or "nothing"
        yield Finding(f"a greeting of {row.customer_id}", found)
    if row.items or row.total_minor:
        yield Finding("no lines and no total", f"{len(row.items)} lines, {row.total_minor}", "greeting")
