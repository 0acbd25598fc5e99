"""Stock is conserved, per SKU and per order: what is held or shipped is held or shipped for an order, and for that order alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from audit.facts import COMPLETED, OUTCOMES, Irregularity, Line, OrderFacts, Reservation, StockFacts
from audit.fold import settled_by_hand
from audit.rules.breach import Finding, Terms

HOLDING = frozenset({"AWAITING_APPROVAL", "PAYING"})
#: So long may it take until the order has heard that its hold is over and the stock is free.
HOLD_TOLERANCE_S = 60.0

# --- per SKU, inside inventory ----------------------------------------------------------------------------------------


def stock_is_conserved(stock: StockFacts) -> Iterator[Finding]:
    """For every SKU on_hand + held + shipped = received + adjusted, and none of on_hand, held and shipped is below zero."""
    row = stock.row
    if row is None:
        return
    left, right = row.on_hand + row.held + row.shipped, row.received + row.adjusted
    if left != right:
        yield Finding(f"on_hand + held + shipped = {right}", str(left))
    if min(row.on_hand, row.held, row.shipped) < 0:
        yield Finding("nothing below zero", f"on_hand {row.on_hand}, held {row.held}, shipped {row.shipped}")


def held_matches_reservations(stock: StockFacts) -> Iterator[Finding]:
    """What a SKU counts as held is the sum of the lines of all held reservations."""
    held = 0 if stock.row is None else stock.row.held
    if held != stock.held_in_lines:
        yield Finding(f"{stock.held_in_lines} held (lines of reservations)", f"{held} held")


def shipped_matches_reservations(stock: StockFacts) -> Iterator[Finding]:
    """What a SKU counts as shipped is the sum of the lines of all shipped reservations."""
    shipped = 0 if stock.row is None else stock.row.shipped
    if shipped != stock.shipped_in_lines:
        yield Finding(f"{stock.shipped_in_lines} shipped (lines of reservations)", f"{shipped} shipped")


def receipts_are_answered(stock: StockFacts) -> Iterator[Finding]:
    """What a SKU counts as received and as adjusted is the sum of the receipts and adjustments that were answered, each once."""
    received, adjusted = (0, 0) if stock.row is None else (stock.row.received, stock.row.adjusted)
    if (received, adjusted) != (stock.receipts, stock.adjustments):
        expected = f"received {stock.receipts}, adjusted {stock.adjustments}"
        yield Finding(expected, f"received {received}, adjusted {adjusted}")


def nothing_irregular(irregularity: Irregularity) -> Iterator[Finding]:
    """Inventory was never asked to ship what is not held, nor to release what was shipped."""
    found = f"{irregularity.kind} (it was {irregularity.state})"
    yield Finding("nothing irregular", found, irregularity.reservation_id)


# --- per order, between inventory and the orchestrator ----------------------------------------------------------------


def no_hold_after_end(order: OrderFacts) -> Iterator[Finding]:
    """An order that has ended holds no stock, unless it was settled by hand, and neither does an id that is no order's."""
    if (order.row is not None and not order.ended) or settled_by_hand(order.history):
        return
    completed = _shipping(order)
    for reservation in order.reservations:
        # What a completed order should have shipped is told by shipped_exactly.
        if reservation.state == "held" and reservation.reservation_id not in completed:
            yield Finding("nothing held", _pieces(reservation.lines), reservation.reservation_id)


def no_hold_outlives_its_order(order: OrderFacts, terms: Terms) -> Iterator[Finding]:
    """What is held for longer than it was to be, by more than a minute and the grace period, is held for an order that is open,
    unless that was settled by hand."""
    if (order.row is not None and not order.ended) or settled_by_hand(order.history):
        return
    completed = _shipping(order)
    for reservation in order.reservations:
        over_for_s = reservation.over_for_s or 0.0
        late = reservation.state == "held" and over_for_s > HOLD_TOLERANCE_S + terms.grace_s
        if late and reservation.reservation_id not in completed:
            found = f"{_pieces(reservation.lines)} held, and over since {over_for_s:.0f} s"
            yield Finding("an open order", found, reservation.reservation_id)


def shipped_exactly(order: OrderFacts) -> Iterator[Finding]:
    """A completed order has shipped exactly its lines at its prices, from the reservations that it named; no other has shipped."""
    named = _shipping(order)
    found = {reservation.reservation_id: reservation for reservation in order.reservations}
    for reservation_id in named:
        state = found[reservation_id].state if reservation_id in found else "unknown"
        if state != "shipped":
            yield Finding("shipped", state, reservation_id)
            return
    for reservation in order.reservations:
        if reservation.state == "shipped" and reservation.reservation_id not in named:
            yield Finding("not shipped", f"shipped {_pieces(reservation.lines)}", reservation.reservation_id)
            return
    if order.row is not None and order.row.status == COMPLETED:
        yield from _same_lines(order.row.items, order.reservations, "shipped")


def held_exactly(order: OrderFacts) -> Iterator[Finding]:
    """An order that waits for its approval or its payment holds exactly its lines at its prices."""
    if order.row is not None and order.row.status in HOLDING:
        yield from _same_lines(order.row.items, order.reservations, "held")


def _shipping(order: OrderFacts) -> tuple[str, ...]:
    """The reservations that the order's completion named."""
    if order.row is None or order.row.status != COMPLETED:
        return ()
    ended = next((entry for entry in order.history if entry.type in OUTCOMES), None)
    return () if ended is None else tuple(ended.data.get("reservation_ids", ()))


def _same_lines(items: tuple[Line, ...], reservations: Iterable[Reservation], state: str) -> Iterator[Finding]:
    found = [line for reservation in reservations if reservation.state == state for line in reservation.lines]
    # Lines of an added item come last in both; only the order of the reservations is nobody's promise.
    if tuple(found) != items and Counter(found) != Counter(items):
        yield Finding(f"{_pieces(items)} {state}", f"{_pieces(found)} {state}")


def _pieces(lines: Iterable[Line]) -> str:
    listed = sorted(f"{line.quantity} x {line.sku} at {line.unit_price_minor}" for line in lines)
    more = "" if len(listed) <= 5 else f" and {len(listed) - 5} lines more"
    return (", ".join(listed[:5]) or "nothing") + more
