"""Money is conserved, per order and in sum, on both sides of the gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from audit.facts import COMPLETED, GREETED, Charge, GatewayEntry, MoneyFacts, OrderFacts
from audit.fold import settled_by_hand
from audit.rules.breach import Finding

#: In these the payment service does not know, or has not recorded, what the gateway has done: the gateway may be ahead.
UNSETTLED = frozenset({"calling", "failed", "unknown", "voiding"})
CAPTURED = "orders.payment-captured.v1"
TOLD = frozenset({CAPTURED, "orders.payment-refunded.v1"})
BEFORE_PAYMENT = frozenset({"ENRICHING", "RESERVING", "AWAITING_APPROVAL"})


def order_is_paid(order: OrderFacts) -> Iterator[Finding]:
    """What payment has captured and not refunded is an order's total if it completed, and nothing if it ended otherwise, if
    nobody has approved it, or if there is no such order; unless it was settled by hand."""
    row = order.row
    if row is not None and not row.ended and row.status not in BEFORE_PAYMENT:
        return
    if settled_by_hand(order.history):
        return
    net: dict[str | None, int] = {}
    for charge in order.charges:
        net[charge.currency] = net.get(charge.currency, 0) + charge.captured_minor - charge.refunded_minor
    sold = row is not None and row.status == COMPLETED and all(entry.type != GREETED for entry in order.history)
    due = {row.currency: row.total_minor or 0} if row is not None and sold else {}
    if net == due:
        return
    for currency in sorted(net.keys() | due.keys(), key=str):
        expected, found = due.get(currency, 0), net.get(currency, 0)
        if expected != found:
            yield Finding(f"{expected} {currency}", f"{found} {currency}", "captured - refunded")


def gateway_agrees(order: OrderFacts) -> Iterator[Finding]:
    """Payment has on record, charge by charge, what the gateway's own ledger says was charged and refunded."""
    rows = {charge.charge_id: charge for charge in order.charges}
    moved: dict[str, list[GatewayEntry]] = {}
    for entry in order.entries:
        moved.setdefault(entry.charge_id, []).append(entry)
    for charge_id in sorted(rows.keys() | moved.keys()):
        entries, charge = moved.get(charge_id, []), rows.get(charge_id)
        if charge is None:
            yield Finding("a charge on record at payment", "moved money at the gateway alone", charge_id)
            continue
        yield from _charged(charge, entries)
        yield from _refunded(charge, entries)


def _charged(charge: Charge, entries: list[GatewayEntry]) -> Iterator[Finding]:
    # A second entry is told by charged_once.
    first = next((entry for entry in entries if entry.kind == "charge"), None)
    found = None if first is None else (first.amount_minor, first.currency)
    recorded = (charge.captured_minor, charge.currency) if charge.captured_minor else None
    ahead = charge.status in UNSETTLED and found in {None, (charge.amount_minor, charge.currency)}
    if found != recorded and not ahead:
        yield Finding(f"{_amount(recorded)} captured ({charge.status})", f"{_amount(found)} charged", charge.charge_id)


def _refunded(charge: Charge, entries: list[GatewayEntry]) -> Iterator[Finding]:
    given_back = sum(entry.amount_minor for entry in entries if entry.kind == "refund")
    taken = sum(entry.amount_minor for entry in entries if entry.kind == "charge")
    if given_back > taken > 0:
        return  # refunds_within_captures tells it
    under_way = sum(refund.amount_minor for refund in charge.refunds if not refund.done)
    if not charge.refunded_minor <= given_back <= charge.refunded_minor + under_way:
        yield Finding(f"{charge.refunded_minor} refunded", f"{given_back} refunded at the gateway", charge.charge_id)


def _amount(amount: tuple[int, str | None] | None) -> str:
    return "nothing" if amount is None else f"{amount[0]} {amount[1]}"


def told_money_moved(order: OrderFacts) -> Iterator[Finding]:
    """What an order told of money that was captured or refunded is what payment has on record."""
    charges = {charge.charge_id: charge for charge in order.charges}
    for entry in order.history:
        if entry.type not in TOLD:
            continue
        data = entry.data
        charge = charges.get(data["charge_id"])
        told, moved = (data["amount_minor"], data["currency"]), None
        if charge is not None and entry.type == CAPTURED:
            moved = (charge.captured_minor, charge.currency)
        elif charge is not None:
            done = (refund for refund in charge.refunds if refund.done and refund.refund_id == data["refund_id"])
            moved = next(((refund.amount_minor, refund.currency) for refund in done), None)
        if told != moved:
            yield Finding(f"{_amount(moved)} ({entry.type.split('.')[1]})", f"{_amount(told)} told", data["charge_id"])


def charged_once(order: OrderFacts) -> Iterator[Finding]:
    """The gateway has charged an order at most once, under one charge id."""
    charges = [entry.charge_id for entry in order.entries if entry.kind == "charge"]
    if len(charges) > 1:
        yield Finding("at most one charge", f"{len(charges)}: {', '.join(sorted(charges))}", charges[0])


def refunds_within_captures(order: OrderFacts) -> Iterator[Finding]:
    """No more is refunded than was captured, each refund once, on either side; payment's sum is that of its refunds."""
    for charge in order.charges:
        done = sum(refund.amount_minor for refund in charge.refunds if refund.done)
        if done != charge.refunded_minor or charge.refunded_minor > charge.captured_minor:
            found = f"{charge.refunded_minor} refunded of {charge.captured_minor}, {done} in refunds"
            yield Finding("refunds within the capture, adding up", found, charge.charge_id)
    yield from _refunds_at_gateway(order.entries)


def _refunds_at_gateway(entries: tuple[GatewayEntry, ...]) -> Iterator[Finding]:
    refunds = [entry for entry in entries if entry.kind == "refund"]
    for charge_id in sorted({entry.charge_id for entry in refunds}):
        taken = sum(entry.amount_minor for entry in entries if entry.kind == "charge" and entry.charge_id == charge_id)
        given = sum(entry.amount_minor for entry in refunds if entry.charge_id == charge_id)
        if given > taken:
            yield Finding(f"at most {taken} refunded", f"{given} at the gateway", charge_id)
    for refund_id, times in Counter(entry.refund_id or "" for entry in refunds).items() if refunds else ():
        if times > 1:
            yield Finding("one entry for a refund", f"{times} at the gateway", refund_id)


def money_adds_up(money: MoneyFacts) -> Iterator[Finding]:
    """In every currency the totals of all completed orders are the sum of captures less refunds, at payment and at the gateway;
    orders that were settled by hand are left out."""
    payment = money.payment_captured_minor - money.payment_refunded_minor
    gateway = money.gateway_charged_minor - money.gateway_refunded_minor
    if payment != money.completed_minor:
        yield Finding(f"{money.completed_minor} {money.currency}", f"{payment} {money.currency}", "payment's books")
    if gateway != money.completed_minor:
        yield Finding(f"{money.completed_minor} {money.currency}", f"{gateway} {money.currency}", "gateway's ledger")
