"""From rows to a plan: prices, customers, orders, opening stock, and a report that always adds up."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.customer import RegisterCustomer
from contracts.inventory import ReceiveStock
from contracts.orders import StartOrder
from contracts.values import Item, is_id
from orderctl.importer import (
    SAMPLE,
    ImportFileError,
    ImportPlan,
    PriceDifference,
    Reason,
    Refused,
    Row,
    make_plan,
    orders_that_run_out,
    read_rows,
)
from orderctl.importer.rows import COLUMNS


def _row(
    line: int = 2,
    *,
    invoice: str = "1",
    sku: str = "A1",
    quantity: int = 1,
    price: int = 100,
    customer: str | None = "7",
    description: str = "LAMP",
) -> Row:
    return Row(line, invoice, sku, description, quantity, price, customer)


def check_against_the_contract(plan: ImportPlan) -> None:
    """Every entry of the plan makes a command that the services take, and the orders need nothing that the plan lacks."""
    for entry in plan.catalogue:
        for quantity in entry.receipts:
            ReceiveStock(
                sku=entry.sku,
                quantity=quantity,
                unit_price_minor=entry.unit_price_minor,
                currency=entry.currency,
                description=entry.description,
            )
        assert sum(entry.receipts) == entry.opening_stock >= 1
    for customer in plan.customers:
        RegisterCustomer(customer_id=customer.customer_id, name=customer.name, email=customer.email)
    for order in plan.orders:
        items = tuple(Item(sku=sku, quantity=quantity) for sku, quantity in order.items)
        StartOrder(customer_id=order.customer_id, items=items)
        assert is_id(order.order_id)
    assert {sku for order in plan.orders for sku, _ in order.items} == {entry.sku for entry in plan.catalogue}
    assert {order.customer_id for order in plan.orders} == {entry.customer_id for entry in plan.customers}
    assert len({order.order_id for order in plan.orders}) == len(plan.orders)
    assert len({customer.email for customer in plan.customers}) == len(plan.customers)


def test_lines_of_the_same_sku_in_an_invoice_are_merged() -> None:
    plan = make_plan([_row(2, quantity=2), _row(3, sku="B1"), _row(4, quantity=3)])
    assert [fate.outcome for fate in plan.fates] == ["ordered", "ordered", "merged"]
    assert plan.orders[0].items == (("A1", 5), ("B1", 1))


def test_an_invoice_that_goes_on_later_is_one_order() -> None:
    plan = make_plan([_row(2, invoice="1"), _row(3, invoice="2"), _row(4, invoice="1", sku="B1")])
    assert [(order.order_id, len(order.items)) for order in plan.orders] == [("INV-1", 2), ("INV-2", 1)]


def test_the_price_most_often_seen_is_the_catalogues_and_of_equals_the_lowest() -> None:
    most = make_plan([_row(2, price=300), _row(3, price=200), _row(4, price=300)])
    assert most.catalogue[0].unit_price_minor == 300
    equal = make_plan([_row(2, price=300), _row(3, price=200)])
    assert equal.catalogue[0].unit_price_minor == 200
    assert equal.report.price_differences == 1
    assert equal.report.price_examples == (PriceDifference(2, "1", "A1", 300, 200),)
    assert (equal.report.invoiced_minor, equal.report.at_catalogue_prices_minor) == (500, 400)


def test_the_description_most_often_seen_is_the_catalogues_and_the_code_stands_in_for_none() -> None:
    rows = [
        _row(2, description="OLD"),
        _row(3, description="NEW"),
        _row(4, description="NEW  \x00 "),
        _row(5, sku="B1", description=" "),
    ]
    assert [entry.description for entry in make_plan(rows).catalogue] == ["NEW", "B1"]


def test_an_order_without_a_customer_is_the_guests() -> None:
    plan = make_plan([_row(2, customer=None), _row(3, invoice="2", customer="17850")])
    assert [order.customer_id for order in plan.orders] == ["guest", "CUST-17850"]
    assert [customer.email for customer in plan.customers] == ["guest@example.com", "customer-17850@example.com"]
    assert plan.report.guest_orders == 1


def test_an_invoice_belongs_to_the_first_customer_it_names() -> None:
    plan = make_plan([_row(2, customer=None), _row(3, sku="B1", customer="7"), _row(4, sku="C1", customer="8")])
    assert plan.orders[0].customer_id == "CUST-7"
    assert [fate.reason for fate in plan.fates] == [None, None, Reason.OTHER_CUSTOMER]


@pytest.mark.parametrize("customer", ["O'Neil, Ltd", "müller", "a@b", "CASE", "case", "9" * 59])
def test_any_customer_gets_an_address_of_its_own(customer: str) -> None:
    check_against_the_contract(make_plan([_row(customer=customer), _row(3, invoice="2", customer="other")]))


def test_a_line_that_takes_the_sum_of_its_sku_beyond_the_limit_is_refused() -> None:
    plan = make_plan([_row(2, quantity=999_999), _row(3, quantity=2), _row(4, quantity=1)])
    assert [fate.outcome for fate in plan.fates] == ["ordered", "refused", "merged"]
    assert plan.fates[1].reason is Reason.BEYOND_LIMITS
    assert plan.orders[0].items == (("A1", 1_000_000),)


def test_an_invoice_of_more_than_a_thousand_lines_is_refused_whole() -> None:
    rows = [_row(i, sku=f"S{i}") for i in range(1000)]
    assert len(make_plan(rows).orders[0].items) == 1000
    plan = make_plan([*rows, _row(1000, sku="ONE MORE")])
    assert (plan.orders, plan.catalogue, plan.customers) == ((), (), ())
    assert plan.report.by_reason == ((Reason.ORDER_BEYOND_LIMITS, 1001),)
    assert (plan.report.invoices, plan.report.invoices_without_goods) == (1, 1)


def test_an_invoice_whose_total_or_record_is_beyond_the_limits_is_refused_whole() -> None:
    assert make_plan([_row(quantity=1_000_000, price=10**9)]).report.refused == 0
    assert make_plan([_row(quantity=1_000_000, price=10**9), _row(3, sku="B1")]).report.refused == 2
    long_codes = [_row(i, sku=f"{i:04}" + "\U0001f600" * 60) for i in range(1000)]
    assert make_plan(long_codes).report.refused == 1000


def test_stock_beyond_one_receipt_is_split() -> None:
    entry = make_plan([_row(invoice=str(i), quantity=900_000) for i in range(3)]).catalogue[0]
    assert (entry.opening_stock, entry.receipts) == (1_620_000, (1_000_000, 620_000))


def test_the_first_shared_sku_and_every_80th_after_it_are_scarce() -> None:
    rows = [_row(i, invoice=invoice, sku=f"S{i:03}", quantity=5) for i in range(161) for invoice in ("1", "2")]
    plan = make_plan([*rows, _row(999, invoice="3", sku="AAA")])
    assert [(entry.sku, entry.demand, entry.opening_stock) for entry in plan.report.scarce] == [
        ("S000", 10, 6),
        ("S080", 10, 6),
        ("S160", 10, 6),
    ]
    assert orders_that_run_out(plan) == ("INV-2",)


def test_a_scarce_sku_opens_with_at_least_one_piece() -> None:
    plan = make_plan([_row(2, invoice="1"), _row(3, invoice="2")])
    assert plan.catalogue[0].opening_stock == 1


_cells = st.one_of(
    st.sampled_from(
        ["", " ", "1", "2", "C3", "POST", "a1", "A1", "B2", "6", "-6", "0", "2.55", "0.001", "-1", "1" * 70]
    ),
    st.text(max_size=6),
)
_good = st.tuples(
    st.sampled_from(["1", "2", "3"]),
    st.sampled_from(["A1", "a1", "B2", "C3"]),
    st.just("LAMP"),
    st.sampled_from(["1", "6", "999999"]),
    st.sampled_from(["2.55", "0.01", "9999999999.99"]),
    st.sampled_from(["", "7", "8"]),
)
_lines = st.lists(st.one_of(_good.map(list), st.lists(_cells, min_size=5, max_size=7)), max_size=25)


@settings(max_examples=300, deadline=None)
@given(lines=_lines)
def test_whatever_the_cells_hold_every_line_has_one_fate_and_the_report_adds_up(
    lines: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([list(COLUMNS), *lines])
    content = text.getvalue()
    file = tmp_path_factory.getbasetemp() / "property.csv"
    file.write_text(content, encoding="utf-8", newline="")
    try:
        rows = list(read_rows(file))
    except ImportFileError:
        assert not any(line.strip(" \t\r") for line in content.split("\n")[1:])
        return
    # Counted apart from the importer: the lines of the file that are not blank, without the header.
    assert len(rows) == sum(bool(line.strip("\r \t")) for line in content.split("\n")[1:])
    plan = make_plan(rows)
    report = plan.report
    assert report.adds_up
    assert report.rows == len(rows) == len(plan.fates) == report.ordered + report.merged + report.refused
    assert [fate.line for fate in plan.fates] == [row.line for row in rows]
    assert Counter(fate.reason for fate in plan.fates if fate.reason) == Counter(dict(report.by_reason))
    assert report.ordered == sum(len(order.items) for order in plan.orders)
    assert plan == make_plan(rows)
    check_against_the_contract(plan)


_rows = st.builds(
    Row,
    line=st.integers(2, 99),
    invoice=st.sampled_from(["1", "2", "3"]),
    sku=st.sampled_from(["A1", "B2", "C3"]),
    description=st.text(max_size=5),
    quantity=st.sampled_from([1, 7, 400_000, 1_000_000]),
    price_minor=st.sampled_from([1, 255, 10**9, 10**15]),
    customer=st.sampled_from([None, "7", "8"]),
)
_refusals = st.builds(
    Refused, st.integers(2, 99), st.sampled_from(Reason), st.just(""), st.sampled_from(["", "1", "9"])
)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.one_of(_rows, _refusals), max_size=30))
def test_no_row_and_no_piece_is_lost_between_rows_and_orders(rows: list[Row | Refused]) -> None:
    plan = make_plan(rows)
    assert plan.report.adds_up
    taken: Counter[tuple[str, str]] = Counter()
    for row, fate in zip(rows, plan.fates, strict=True):
        if isinstance(row, Row) and fate.outcome != "refused":
            taken[row.invoice, row.sku] += row.quantity
        elif isinstance(row, Refused):
            assert (fate.outcome, fate.reason) == ("refused", row.reason)
    assert taken == Counter({(order.source_invoice, sku): n for order in plan.orders for sku, n in order.items})
    check_against_the_contract(plan)


def test_the_sample_holds_every_kind_of_dirt_and_orders_all_the_same() -> None:
    plan = make_plan(read_rows(SAMPLE))
    assert plan.report.adds_up
    assert {reason for reason, _ in plan.report.by_reason} == set(Reason)
    assert plan.report.merged
    assert plan.report.guest_orders
    assert plan.report.price_differences
    assert len(plan.orders) == 21
    assert len(orders_that_run_out(plan)) == 1
    check_against_the_contract(plan)


def test_the_sample_has_bom_crlf_quotes_and_letters_beyond_ascii() -> None:
    content = Path(SAMPLE).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\r\n") == content.count(b"\n")
    assert b'"TEA TIN ""EARL"""' in content
    assert "CAFÉ".encode() in content
