"""From classified rows to catalogue, customers, opening stock and orders. Pure: the same rows give the same plan, always."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from contracts.values import DEFAULT_CURRENCY, MAX_LINES, MAX_QUANTITY, MAX_RECORD_BYTES, MAX_TOTAL_MINOR
from orderctl.importer.report import ImportReport, PriceDifference, RowFate, ScarceSku
from orderctl.importer.results import CatalogueEntry, CustomerEntry, ImportPlan, PlannedOrder
from orderctl.importer.rows import CUSTOMER_PREFIX, GUEST, ORDER_PREFIX, Reason, Refused, Row
from orderctl.importer.stock import opening_stock

CURRENCY: Final = DEFAULT_CURRENCY
PRICE_EXAMPLES: Final = 10

_MAX_DESCRIPTION: Final = 1_000
# What a record holds besides the SKUs: the envelope; per line the names of the fields, a quantity, and the price that
# the services add.
_ENVELOPE_BYTES: Final = 2_048
_LINE_BYTES: Final = 70
_MAX_MAIL_NAME: Final = 40


class PlanDoesNotAddUpError(Exception):
    """A fault in the importer, never in the file: rows, invoices or pieces got lost. Nothing may be sent from such a plan."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__(f"The import does not account for every row; nothing was sent. Please report this: {report}")
        self.report = report


@dataclass(frozen=True, slots=True)
class _Settled:
    """What became of the rows of one invoice, in their order, and its order if there is one."""

    fates: tuple[RowFate, ...]
    order: PlannedOrder | None


def make_plan(rows: Iterable[Row | Refused]) -> ImportPlan:
    """The plan for these rows. Every row has exactly one fate, in the order given; every order is within the contract's limits."""
    everything = tuple(rows)
    invoices: defaultdict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(everything):
        if isinstance(row, Row):
            invoices[row.invoice].append(index)
    prices, descriptions = _catalogue_facts(everything)
    fates: dict[int, RowFate] = {}
    orders: list[PlannedOrder] = []
    for invoice, indexes in invoices.items():
        settled = _settle(invoice, [row for i in indexes if isinstance(row := everything[i], Row)], prices)
        fates.update(zip(indexes, settled.fates, strict=True))
        if settled.order is not None:
            orders.append(settled.order)
    told = tuple(fates[i] if isinstance(row, Row) else _fate_of_refused(row) for i, row in enumerate(everything))
    stock = opening_stock(orders)
    catalogue = tuple(
        CatalogueEntry(sku, descriptions.get(sku, sku), prices[sku], CURRENCY, opening)
        for sku, (_, opening) in stock.items()
    )
    scarce = tuple(ScarceSku(sku, wanted, opening) for sku, (wanted, opening) in stock.items() if opening < wanted)
    report = _report(everything, told, orders, prices, scarce)
    if not report.adds_up:
        raise PlanDoesNotAddUpError(report)
    return ImportPlan(catalogue, _customers(orders), tuple(orders), told, report)


def _catalogue_facts(rows: Iterable[Row | Refused]) -> tuple[dict[str, int], dict[str, str]]:
    """Price and description per SKU: the one seen most often; of equals the lowest price, the first text by code point."""
    prices: defaultdict[str, Counter[int]] = defaultdict(Counter)
    texts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if isinstance(row, Row):
            prices[row.sku][row.price_minor] += 1
            text = _printable(row.description)
            if text:
                texts[row.sku][text] += 1
    return (
        {sku: min(seen, key=lambda price: (-seen[price], price)) for sku, seen in prices.items()},
        {sku: min(seen, key=lambda text: (-seen[text], text)) for sku, seen in texts.items()},
    )


@lru_cache(maxsize=65536)
def _printable(text: str) -> str:
    """The text on one line: what does not print becomes a space, several spaces become one."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())[:_MAX_DESCRIPTION].rstrip()


def _settle(invoice: str, rows: Sequence[Row], prices: Mapping[str, int]) -> _Settled:
    """One order for the invoice's rows: of the first customer that is named, lines of the same SKU merged into the first."""
    customer = next((row.customer for row in rows if row.customer), None)
    quantities: dict[str, int] = {}
    fates: list[RowFate] = []
    for row in rows:
        sum_so_far = quantities.get(row.sku, 0)
        if row.customer not in {None, customer}:
            fates.append(_refused(row, Reason.OTHER_CUSTOMER, f"the invoice belongs to customer {customer}"))
        elif sum_so_far + row.quantity > MAX_QUANTITY:
            problem = f"with the invoice's lines before it, the quantity of {row.sku} is above {MAX_QUANTITY}"
            fates.append(_refused(row, Reason.BEYOND_LIMITS, problem))
        else:
            quantities[row.sku] = sum_so_far + row.quantity
            fates.append(RowFate(row.line, row.invoice, row.sku, "merged" if sum_so_far else "ordered"))
    excess = _excess(quantities, prices)
    if excess is not None:
        # Half of an invoice would be another order than the one the customer made.
        refused = tuple(
            fate if fate.outcome == "refused" else _refused(row, Reason.ORDER_BEYOND_LIMITS, excess)
            for row, fate in zip(rows, fates, strict=True)
        )
        return _Settled(refused, None)
    customer_id = GUEST if customer is None else CUSTOMER_PREFIX + customer
    return _Settled(tuple(fates), PlannedOrder(ORDER_PREFIX + invoice, customer_id, tuple(quantities.items()), invoice))


def _excess(quantities: Mapping[str, int], prices: Mapping[str, int]) -> str | None:
    """Which of the contract's limits for an order these lines exceed, or None."""
    if len(quantities) > MAX_LINES:
        return f"the invoice has {len(quantities)} lines; an order has at most {MAX_LINES}"
    if sum(prices[sku] * quantity for sku, quantity in quantities.items()) > MAX_TOTAL_MINOR:
        return f"the invoice comes to more than {MAX_TOTAL_MINOR} pence at catalogue prices"
    size = _ENVELOPE_BYTES + sum(map(_line_bytes, quantities))
    if size > MAX_RECORD_BYTES:
        return f"the invoice's codes are so long that its record would be above {MAX_RECORD_BYTES} bytes"
    return None


@lru_cache(maxsize=65536)
def _line_bytes(sku: str) -> int:
    return _LINE_BYTES + len(json.dumps(sku, ensure_ascii=False).encode())


def _refused(row: Row, reason: Reason, detail: str) -> RowFate:
    return RowFate(row.line, row.invoice, row.sku, "refused", reason, detail)


def _fate_of_refused(row: Refused) -> RowFate:
    return RowFate(row.line, row.invoice, row.sku, "refused", row.reason, row.detail)


def _customers(orders: Iterable[PlannedOrder]) -> tuple[CustomerEntry, ...]:
    return tuple(_customer(customer_id) for customer_id in dict.fromkeys(order.customer_id for order in orders))


def _customer(customer_id: str) -> CustomerEntry:
    """An invented name and an address at example.com, which no mail server delivers to."""
    if customer_id == GUEST:
        return CustomerEntry(GUEST, "Guest", "guest@example.com")
    number = customer_id.removeprefix(CUSTOMER_PREFIX)
    plain = number.isascii() and number.isalnum() and len(number) <= _MAX_MAIL_NAME
    # An id that is no good for an address still gets one of its own, and the same one every time.
    name = number if plain else sha256(number.encode()).hexdigest()[:16]
    return CustomerEntry(customer_id, f"Customer {number}", f"customer-{name}@example.com")


def _report(
    rows: Sequence[Row | Refused],
    fates: Sequence[RowFate],
    orders: Sequence[PlannedOrder],
    prices: Mapping[str, int],
    scarce: tuple[ScarceSku, ...],
) -> ImportReport:
    outcomes = Counter(fate.outcome for fate in fates)
    reasons = Counter(fate.reason for fate in fates if fate.outcome == "refused")
    taken = [row for row, fate in zip(rows, fates, strict=True) if isinstance(row, Row) and fate.outcome != "refused"]
    differences = [
        PriceDifference(row.line, row.invoice, row.sku, row.price_minor, prices[row.sku])
        for row in taken
        if row.price_minor != prices[row.sku]
    ]
    invoices = {row.invoice for row in rows if row.invoice}
    with_order = {order.source_invoice for order in orders}
    return ImportReport(
        rows=len(rows),
        ordered=outcomes["ordered"],
        merged=outcomes["merged"],
        refused=outcomes["refused"],
        by_reason=tuple((reason, reasons[reason]) for reason in Reason if reasons[reason]),
        invoices=len(invoices),
        invoices_ordered=len(orders),
        invoices_without_goods=len(invoices - with_order),
        row_units=sum(row.quantity for row in taken),
        units=sum(quantity for order in orders for _, quantity in order.items),
        guest_orders=sum(order.customer_id == GUEST for order in orders),
        price_differences=len(differences),
        price_examples=tuple(differences[:PRICE_EXAMPLES]),
        invoiced_minor=sum(row.quantity * row.price_minor for row in taken),
        at_catalogue_prices_minor=sum(quantity * prices[sku] for order in orders for sku, quantity in order.items),
        scarce=scarce,
    )
