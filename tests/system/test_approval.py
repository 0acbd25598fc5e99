"""Waiting for a person: approvals that come early, late, or while nobody is there; and lines that are added meanwhile."""

from __future__ import annotations

import pytest
from conversation import GOLD, Shop

from contracts.orders import ApprovePayment, LineItemAdded
from contracts.values import MAX_LINES


def test_an_approved_order_is_charged_once_shipped_and_confirmed_by_one_mail(shop: Shop) -> None:
    assert shop.start() == "accepted"
    assert shop.shelf("tea") == (98, 2, 0)
    assert shop.approve() == "accepted"
    assert shop.ending() == ("COMPLETED", None)
    assert shop.shelf("tea") == (98, 0, 2)
    assert shop.money() == [("charge", 500)]
    assert shop.mails() == ["confirmation"]
    assert [word for word in shop.system.told("O") if not word.startswith("command")] == [
        "order-started",
        *(["order-enriched"] if shop.version == 2 else []),
        "stock-reserved",
        "payment-approved",
        "payment-captured",
        "order-completed",
    ]


def test_an_order_that_nobody_approves_is_cancelled_and_its_stock_comes_back(shop: Shop) -> None:
    shop.start(timeout_s=2)
    shop.system.skip(1.9)
    assert shop.status() == "AWAITING_APPROVAL"
    shop.system.skip(0.2)
    assert shop.ending() == ("CANCELLED", "approval-timeout")
    assert shop.shelf("tea") == (100, 0, 0)
    assert shop.mails() == ["cancellation"]
    assert shop.money() == []


def test_the_approval_s_time_runs_from_the_moment_the_stock_is_held(shop: Shop) -> None:
    shop.start_until("RESERVING", timeout_s=10)
    shop.system.down("inventory")
    shop.system.skip(60)
    assert shop.status() == "RESERVING"
    shop.system.up("inventory")
    shop.system.skip(9)
    assert shop.status() == "AWAITING_APPROVAL"
    assert shop.approve() == "accepted"


def test_an_approval_before_the_stock_is_held_takes_effect_when_it_is(shop: Shop) -> None:
    shop.system.down("inventory")
    shop.start()
    assert shop.approve() == "accepted"
    assert shop.money() == []
    shop.system.up("inventory")
    shop.system.run()
    assert shop.ending() == ("COMPLETED", None)


def test_an_approval_while_a_line_is_undecided_waits_for_the_line_and_pays_for_it(shop: Shop) -> None:
    shop.start()
    shop.system.down("inventory")
    assert shop.add(quantity=2, id="line") == "undecided"
    assert shop.approve() == "accepted"
    shop.system.skip(20)
    assert (shop.status(), shop.money()) == ("AWAITING_APPROVAL", [])
    shop.system.up("inventory")
    shop.system.run()
    assert shop.verdict("O", "line") == "accepted"
    assert shop.ending() == ("COMPLETED", None)
    assert shop.money() == [("charge", 2 * 250 + 2 * 799)]


def test_an_accepted_approval_ends_the_approval_s_timer(shop: Shop) -> None:
    shop.start(timeout_s=5)
    shop.system.down("inventory")
    shop.add(id="line")
    shop.approve()
    shop.system.skip(60)
    assert shop.status() == "AWAITING_APPROVAL"
    shop.system.up("inventory")
    shop.system.run()
    assert shop.ending() == ("COMPLETED", None)


@pytest.mark.parametrize(
    ("sent_after_s", "down_s"), [(1, 1_000), (14, 1_000), (16, 1_000), (100, 1_000), (899, 100_000)]
)
def test_a_timely_approval_is_honoured_although_the_service_was_down(
    shop: Shop, sent_after_s: float, down_s: float
) -> None:
    shop.start(timeout_s=900)
    shop.system.down("orders")
    shop.system.skip(sent_after_s)
    approval = shop.system.command("O", ApprovePayment(approved_by="boss"))
    shop.system.skip(down_s)
    shop.system.up("orders")
    shop.system.skip(1)
    assert shop.verdict("O", approval) == "accepted"
    assert shop.ending() == ("COMPLETED", None)


def test_an_approval_sent_after_the_deadline_is_too_late_although_the_service_was_down(shop: Shop) -> None:
    shop.start(timeout_s=900)
    shop.system.down("orders")
    shop.system.skip(901)
    approval = shop.system.command("O", ApprovePayment(approved_by="boss"))
    shop.system.skip(10)
    shop.system.up("orders")
    shop.system.skip(1)
    assert shop.verdict("O", approval) == "too-late"
    assert shop.ending() == ("CANCELLED", "approval-timeout")


def test_an_added_line_grows_the_total_and_holds_the_extra_stock(shop: Shop) -> None:
    shop.start()
    assert shop.add(quantity=3) == "accepted"
    assert shop.shelf("mug") == (7, 3, 0)
    assert shop.system.order("O")["total_minor"] == 2 * 250 + 3 * 799
    added = [event.data for event in shop.system.events("O") if isinstance(event.data, LineItemAdded)]
    assert [(line.sku, line.quantity, line.unit_price_minor, line.total_minor) for line in added] == [
        ("mug", 3, 799, 2 * 250 + 3 * 799)
    ]
    shop.approve()
    assert shop.money() == [("charge", 2 * 250 + 3 * 799)]
    assert shop.shelf("mug") == (7, 0, 3)


def test_a_line_of_the_same_sku_stays_apart_and_holds_its_own(shop: Shop) -> None:
    shop.start(items=(("tea", 2), ("tea", 3)))
    assert shop.add(sku="tea", quantity=4) == "accepted"
    assert [item["quantity"] for item in shop.system.order("O")["items"]] == [2, 3, 4]
    assert shop.shelf("tea") == (91, 9, 0)


@pytest.mark.parametrize(
    ("sku", "quantity", "reason"),
    [("mug", 11, "out-of-stock"), ("ghost", 1, "unknown-sku"), ("pie", 1, "currency-mismatch"), ("gold", 2, "invalid")],
)
def test_a_line_that_cannot_be_added_is_rejected_and_the_order_stays_as_it_was(
    shop: Shop, sku: str, quantity: int, reason: str
) -> None:
    shop.start()
    before = {**shop.system.order("O"), "updated_at": None}
    shelf = shop.shelf(sku) if sku != "ghost" else None
    assert shop.add(sku=sku, quantity=quantity) == reason
    assert {**shop.system.order("O"), "updated_at": None} == before
    assert shelf is None or shop.shelf(sku) == shelf
    assert shop.approve() == "accepted"
    assert shop.money() == [("charge", 500)]


def test_a_line_added_before_the_stock_is_held_is_decided_after_it(shop: Shop) -> None:
    shop.system.down("inventory")
    shop.start()
    assert shop.add(id="line") == "undecided"
    assert shop.add(sku="ghost", id="ghost") == "undecided"
    shop.system.up("inventory")
    shop.system.run()
    assert (shop.verdict("O", "line"), shop.verdict("O", "ghost")) == ("accepted", "unknown-sku")


def test_a_line_for_an_order_whose_own_stock_is_refused_is_too_late(shop: Shop) -> None:
    shop.system.down("inventory")
    shop.start(items=(("mug", 11),))
    assert shop.add(sku="tea", id="line") == "undecided"
    shop.system.up("inventory")
    shop.system.run()
    assert shop.verdict("O", "line") == "too-late"
    assert shop.ending() == ("FAILED", "out-of-stock")


@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_a_line_undecided_when_the_order_ends_is_too_late_and_its_stock_is_free_again(shop: Shop, end: str) -> None:
    shop.start(timeout_s=10)
    shop.system.down("inventory")
    assert shop.add(quantity=10, id="line") == "undecided"
    if end == "cancel":
        assert shop.cancel() == "accepted"
    else:
        shop.system.skip(11)
    assert shop.verdict("O", "line") == "too-late"
    shop.system.up("inventory")
    shop.system.run()
    assert shop.status() == "CANCELLED"
    assert (shop.shelf("mug"), shop.shelf("tea")) == ((10, 0, 0), (100, 0, 0))


def test_an_order_has_at_most_a_thousand_lines(shop: Shop) -> None:
    shop.receive("nut", 2_000, 1)
    assert shop.start("big", items=(("nut", 1),) * (MAX_LINES - 1)) == "accepted"
    assert shop.add("big", "nut") == "accepted"
    assert shop.add("big", "nut") == "invalid"


def test_an_order_beyond_the_limit_fails_and_holds_nothing(shop: Shop) -> None:
    assert shop.start(items=(("gold", 3),)) == "accepted"
    assert shop.ending() == ("FAILED", "total-too-large")
    assert shop.shelf("gold") == (10, 0, 0)
    assert shop.start("most", items=(("gold", 2),)) == "accepted"
    assert shop.system.order("most")["total_minor"] == GOLD


@pytest.mark.parametrize(
    ("items", "currency", "reason"),
    [
        ((("ghost", 1),), None, "unknown-sku"),
        ((("tea", 101),), None, "out-of-stock"),
        ((("tea", 60), ("tea", 60)), None, "out-of-stock"),
        ((("tea", 1), ("pie", 1)), None, "currency-mismatch"),
        ((("tea", 1),), "EUR", "currency-mismatch"),
    ],
)
def test_an_order_whose_stock_cannot_be_held_is_accepted_and_fails(
    shop: Shop, items: tuple[tuple[str, int], ...], currency: str | None, reason: str
) -> None:
    assert shop.start(items=items, currency=currency) == "accepted"
    assert shop.ending() == ("FAILED", reason)
    assert shop.shelf("tea") == (100, 0, 0)
    assert shop.mails() == []
