"""The importer over the real file, where it is there. The figures stand in docs/import.md, too."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from orderctl.importer import ImportPlan, Reason, make_plan, orders_that_run_out, read_rows
from orderctl.importer.__main__ import describe, main

REPOSITORY = Path(__file__).parents[2]
FILE = REPOSITORY.parent / "shared" / "data" / "online_retail.csv"

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"the real file is not there: {FILE.name}")


@pytest.fixture(scope="module")
def plan() -> ImportPlan:
    return make_plan(read_rows(FILE))


def test_every_row_of_the_real_file_is_accounted_for(plan: ImportPlan) -> None:
    report = plan.report
    with FILE.open("rb") as file:
        assert report.rows == sum(1 for _ in file) - 1 == 4546
    assert report.adds_up
    assert (report.ordered, report.merged, report.refused) == (4366, 122, 58)
    assert report.by_reason == (
        (Reason.CANCELLATION, 37),
        (Reason.NOT_GOODS, 9),
        (Reason.NEGATIVE_QUANTITY, 2),
        (Reason.NO_PRICE, 10),
    )
    assert (report.invoices, report.invoices_ordered, report.invoices_without_goods) == (256, 228, 28)


def test_the_real_file_makes_a_shop(plan: ImportPlan) -> None:
    assert (len(plan.catalogue), len(plan.customers), len(plan.orders)) == (1533, 155, 228)
    assert plan.report.guest_orders == 10
    assert plan.report.price_differences == 944
    lantern = next(entry for entry in plan.catalogue if entry.sku == "85123A")
    assert (lantern.description, lantern.unit_price_minor, lantern.currency) == (
        "WHITE HANGING HEART T-LIGHT HOLDER",
        255,
        "GBP",
    )
    assert plan.orders[0].order_id == "INV-536365"
    assert plan.orders[0].customer_id == "CUST-17850"
    assert plan.orders[0].items[0] == ("85123A", 6)


def test_3_to_10_percent_of_the_orders_run_out_in_whatever_order_they_come(plan: ImportPlan) -> None:
    assert len(plan.report.scarce) == 12
    assert len(orders_that_run_out(plan)) == 12
    shuffler = random.Random(536365)
    for _ in range(50):
        orders = tuple(shuffler.sample(plan.orders, len(plan.orders)))
        short = orders_that_run_out(ImportPlan(plan.catalogue, plan.customers, orders, plan.fates, plan.report))
        assert 0.03 <= len(short) / len(orders) <= 0.10


def test_the_dry_run_prints_the_report(plan: ImportPlan, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(FILE)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("\n".join(describe(plan)))
    assert "rows 4546 = ordered 4366 + merged 122 + refused 58" in printed
