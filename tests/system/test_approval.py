"""Waiting for a person: approvals that come early, late, or while nobody is there; and lines that are added meanwhile."""

from __future__ import annotations

import pytest

from contracts import orders, payment
from contracts.values import MAX_LINES, MAX_TOTAL_MINOR
from simulation.kit import SHELVES, Asked, Shop, add_line, approve, cancel


def test_an_approved_order_is_charged_once_shipped_and_confirmed_by_one_mail(shop: Shop) -> None:
    shop.given_order()
    shop.expect_stock("tea", on_hand=98, held=2)
    shop.when(approve()).expect("accepted")
    shop.expect(payment.Charge, amount_minor=500)
    shop.expect_outcome("COMPLETED")
    shop.expect_stock("tea", on_hand=98, shipped=2)
    shop.expect_money(500)
    shop.expect_mails("confirmation")
    shop.expect_events(
        orders.OrderStarted,
        *([orders.OrderEnriched] if shop.version == 2 else []),
        orders.StockReserved,
        orders.PaymentApproved,
        orders.PaymentCaptured,
        orders.OrderCompleted,
    )


def test_an_order_that_nobody_approves_is_cancelled_and_its_stock_comes_back(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=2)
    shop.skip(seconds=1.9)
    shop.expect_status("AWAITING_APPROVAL")
    shop.skip(seconds=0.2)
    shop.expect_outcome("CANCELLED", "approval-timeout")
    shop.expect_stock("tea", on_hand=100)
    shop.expect_mails("cancellation")
    shop.expect_money()


def test_the_approval_s_time_runs_from_the_moment_the_stock_is_held(shop: Shop) -> None:
    shop.given_order(until="RESERVING", approval_timeout_s=10)
    shop.down("inventory")
    shop.skip(seconds=60)
    shop.expect_status("RESERVING")
    shop.up("inventory")
    shop.skip(seconds=9)
    shop.expect_status("AWAITING_APPROVAL")
    shop.when(approve()).expect("accepted")


def test_an_approval_before_the_stock_is_held_takes_effect_when_it_is(shop: Shop) -> None:
    shop.down("inventory")
    shop.given_order()
    shop.when(approve()).expect("accepted")
    shop.expect_money()
    shop.up("inventory")
    shop.expect_outcome("COMPLETED")


def test_an_approval_while_a_line_is_undecided_waits_for_the_line_and_pays_for_it(shop: Shop) -> None:
    shop.given_order()
    shop.down("inventory")
    line = shop.when(add_line(quantity=2)).expect("undecided")
    shop.when(approve()).expect("accepted")
    shop.skip(seconds=20)
    shop.expect_status("AWAITING_APPROVAL", "stock")
    shop.expect_money()
    shop.up("inventory")
    line.expect("accepted")
    shop.expect_outcome("COMPLETED")
    shop.expect_money(2 * 250 + 2 * 799)


def test_an_accepted_approval_ends_the_approval_s_timer(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=5)
    shop.down("inventory")
    shop.when(add_line())
    shop.when(approve())
    shop.skip(seconds=60)
    shop.expect_status("AWAITING_APPROVAL")
    shop.up("inventory")
    shop.expect_outcome("COMPLETED")


@pytest.mark.parametrize(
    ("sent_after_s", "down_s"), [(1, 1_000), (14, 1_000), (16, 1_000), (100, 1_000), (899, 100_000)]
)
def test_a_timely_approval_is_honoured_although_the_service_was_down(
    shop: Shop, sent_after_s: float, down_s: float
) -> None:
    shop.given_order(approval_timeout_s=900)
    shop.down("orders")
    shop.skip(seconds=sent_after_s)
    approval = shop.when(approve())
    shop.skip(seconds=down_s)
    shop.up("orders")
    shop.skip(seconds=1)
    approval.expect("accepted")
    shop.expect_outcome("COMPLETED")


def test_an_approval_sent_after_the_deadline_is_too_late_although_the_service_was_down(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=900)
    shop.down("orders")
    shop.skip(seconds=901)
    approval = shop.when(approve())
    shop.skip(seconds=10)
    shop.up("orders")
    shop.skip(seconds=1)
    approval.expect("too-late")
    shop.expect_outcome("CANCELLED", "approval-timeout")


def test_an_added_line_grows_the_total_and_holds_the_extra_stock(shop: Shop) -> None:
    shop.given_order()
    shop.when(add_line(quantity=3)).expect("accepted")
    shop.expect_stock("mug", on_hand=7, held=3)
    assert shop.order()["total_minor"] == 2 * 250 + 3 * 799
    shop.expect(orders.LineItemAdded, sku="mug", quantity=3, unit_price_minor=799, total_minor=2 * 250 + 3 * 799)
    shop.when(approve())
    shop.expect_money(2 * 250 + 3 * 799)
    shop.expect_stock("mug", on_hand=7, shipped=3)


def test_a_line_of_the_same_sku_stays_apart_and_holds_its_own(shop: Shop) -> None:
    shop.given_order(items=[("tea", 2), ("tea", 3)])
    shop.when(add_line("tea", 4)).expect("accepted")
    assert [item["quantity"] for item in shop.order()["items"]] == [2, 3, 4]
    shop.expect_stock("tea", on_hand=91, held=9)


@pytest.mark.parametrize(
    ("sku", "quantity", "reason"),
    [("mug", 11, "out-of-stock"), ("ghost", 1, "unknown-sku"), ("pie", 1, "currency-mismatch"), ("gold", 2, "invalid")],
)
def test_a_line_that_cannot_be_added_is_rejected_and_the_order_stays_as_it_was(
    shop: Shop, sku: str, quantity: int, reason: str
) -> None:
    shop.given_order()
    before = {**shop.order(), "updated_at": None}
    shop.when(add_line(sku, quantity)).expect(reason)
    assert {**shop.order(), "updated_at": None} == before
    if sku in SHELVES:
        shop.expect_stock(sku, on_hand=SHELVES[sku].pieces)
    shop.when(approve()).expect("accepted")
    shop.expect_money(500)


def test_a_line_added_before_the_stock_is_held_is_decided_after_it(shop: Shop) -> None:
    shop.down("inventory")
    shop.given_order()
    line = shop.when(add_line()).expect("undecided")
    ghost = shop.when(add_line("ghost")).expect("undecided")
    shop.up("inventory")
    line.expect("accepted")
    ghost.expect("unknown-sku")


def test_a_line_for_an_order_whose_own_stock_is_refused_is_too_late(shop: Shop) -> None:
    shop.down("inventory")
    shop.given_order(items={"mug": 11})
    line = shop.when(add_line("tea")).expect("undecided")
    shop.up("inventory")
    line.expect("too-late")
    shop.expect_outcome("FAILED", "out-of-stock")


@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_a_line_undecided_when_the_order_ends_is_too_late_and_its_stock_is_free_again(shop: Shop, end: str) -> None:
    shop.given_order(approval_timeout_s=10)
    shop.down("inventory")
    line = shop.when(add_line(quantity=10)).expect("undecided")
    if end == "cancel":
        shop.when(cancel()).expect("accepted")
    else:
        shop.skip(seconds=11)
    line.expect("too-late")
    shop.up("inventory")
    shop.expect_status("CANCELLED")
    shop.expect_stock("mug", on_hand=10)
    shop.expect_stock("tea", on_hand=100)


def test_an_order_has_at_most_a_thousand_lines(shop: Shop) -> None:
    shop.given_stock("nut", 2_000, price_minor=1)
    shop.given_order("big", items=[("nut", 1)] * (MAX_LINES - 1))
    shop.when(add_line("nut"), order="big").expect("accepted")
    shop.when(add_line("nut"), order="big").expect("invalid")


def test_an_order_beyond_the_limit_fails_and_holds_nothing(shop: Shop) -> None:
    shop.given_order(items={"gold": 3})
    shop.expect_outcome("FAILED", "total-too-large")
    shop.expect_stock("gold", on_hand=10)
    shop.given_order("most", items={"gold": 2})
    assert shop.order("most")["total_minor"] == MAX_TOTAL_MINOR


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"items": {"ghost": 1}}, "unknown-sku"),
        ({"items": {"tea": 101}}, "out-of-stock"),
        ({"items": [("tea", 60), ("tea", 60)]}, "out-of-stock"),
        ({"items": {"tea": 1, "pie": 1}}, "currency-mismatch"),
        ({"items": {"tea": 1}, "currency": "EUR"}, "currency-mismatch"),
    ],
)
def test_an_order_whose_stock_cannot_be_held_is_accepted_and_fails(shop: Shop, asked: Asked, reason: str) -> None:
    shop.given_order(**asked)
    shop.expect_outcome("FAILED", reason)
    shop.expect_stock("tea", on_hand=100)
    shop.expect_mails()
