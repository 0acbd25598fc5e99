"""Version 2 asks around before it holds anything: who answers, who does not, and what is said meanwhile."""

from __future__ import annotations

import pytest

from contracts import inventory
from contracts.orders import AttentionNeeded, AttentionResolved, OrderEnriched
from services.recommendation.pairs import Pair
from simulation.kit import Shop, add_line, approve, cancel, start_order


@pytest.fixture
def shop(shop: Shop) -> Shop:
    if shop.version != 2:
        pytest.skip("version 1 asks nobody")
    return shop


def time_for_approval(shop: Shop) -> float:
    return float((shop.order()["deadline"] - shop.system.now).total_seconds())


def test_what_is_known_of_customer_stock_and_habits_is_told_before_anything_is_held(shop: Shop) -> None:
    shop.system.parts.pairs["tea"] = (Pair(sku="mug", count=3), Pair(sku="pie", count=1))
    shop.given_order(items=(("tea", 2), ("tea", 1)))
    told = shop.expect(OrderEnriched)
    assert (told.tier, told.recommendations) == ("STANDARD", ("mug", "pie"))
    assert [(level.sku, level.on_hand) for level in told.levels] == [("tea", 100)]
    shop.expect_status("AWAITING_APPROVAL")


def test_an_order_of_an_unknown_customer_fails_and_holds_nothing(shop: Shop) -> None:
    shop.given_order(customer="nobody")
    shop.expect_outcome("FAILED", "unknown-customer")
    shop.expect_stock("tea", on_hand=100)
    shop.expect_no(inventory.ReserveStock)
    shop.expect_mails()


def test_recommendations_are_waited_for_two_seconds_and_their_absence_is_recorded(shop: Shop) -> None:
    shop.down("recommendation")
    shop.given_order()
    shop.skip(seconds=1.9)
    shop.expect_status("ENRICHING", "enrichment")
    shop.skip(seconds=0.2)
    shop.expect_status("AWAITING_APPROVAL")
    shop.expect(OrderEnriched, recommendations=None)
    shop.up("recommendation")
    shop.expect_status("AWAITING_APPROVAL")


def test_a_late_recommendation_is_taken_along_where_others_are_waited_for_anyway(shop: Shop) -> None:
    shop.down("recommendation")
    shop.down("customer")
    shop.given_order()
    shop.skip(seconds=5)
    shop.up("recommendation")
    shop.up("customer")
    shop.expect(OrderEnriched, recommendations=())


@pytest.mark.parametrize("service", ["customer", "inventory"])
def test_who_does_not_answer_for_long_needs_attention_until_it_does(shop: Shop, service: str) -> None:
    shop.down(service)
    shop.given_order()
    shop.skip(seconds=104)
    shop.expect_no(AttentionNeeded)
    shop.skip(seconds=2)
    shop.expect(AttentionNeeded, reason="no-answer")
    shop.expect_status("NEEDS_ATTENTION", "enrichment")
    shop.skip(seconds=1_000)
    shop.up(service)
    shop.expect(AttentionResolved, reason="no-answer")
    shop.expect_status("AWAITING_APPROVAL")


def test_the_answer_of_one_does_not_end_the_worry_about_another(shop: Shop) -> None:
    shop.down("customer", "inventory", "recommendation")
    shop.given_order()
    shop.skip(seconds=200)
    shop.expect(AttentionNeeded, reason="no-answer")
    for service in ("recommendation", "inventory"):
        shop.up(service)
        shop.expect_no(AttentionResolved)
    shop.up("customer")
    shop.expect(AttentionResolved, reason="no-answer")


def test_an_approval_while_enriching_takes_effect_when_the_stock_is_held(shop: Shop) -> None:
    shop.down("customer")
    shop.given_order()
    shop.when(approve()).expect("accepted")
    shop.when(add_line()).expect("not-allowed")
    shop.up("customer")
    shop.expect_outcome("COMPLETED")


@pytest.mark.parametrize("down", ["customer", "inventory", "recommendation"])
def test_a_cancellation_while_enriching_ends_at_once_and_a_late_answer_changes_nothing(shop: Shop, down: str) -> None:
    shop.down(down)
    shop.given_order()
    line = shop.when(add_line()).expect("undecided")
    shop.when(cancel()).expect("accepted")
    shop.expect_outcome("CANCELLED", "customer-request")
    line.expect("too-late")
    before = shop.system.told("O")
    shop.up(down)
    assert shop.system.told("O") == before
    assert shop.heard(inventory.ReserveStock) == []


def test_a_line_added_while_enriching_is_held_after_the_order_itself(shop: Shop) -> None:
    shop.down("customer")
    shop.given_order()
    line = shop.when(add_line(quantity=2)).expect("undecided")
    ghost = shop.when(add_line("ghost")).expect("undecided")
    shop.up("customer")
    line.expect("accepted")
    ghost.expect("unknown-sku")
    shop.expect_stock("mug", on_hand=8, held=2)


def test_a_line_of_an_unknown_customer_s_order_is_too_late(shop: Shop) -> None:
    shop.down("customer")
    shop.given_order(customer="nobody")
    line = shop.when(add_line()).expect("undecided")
    shop.up("customer")
    line.expect("too-late")
    shop.expect_outcome("FAILED", "unknown-customer")


def completed_orders(shop: Shop, count: int) -> None:
    for number in range(count):
        shop.given_order(f"N-{number}", items={"tea": 1})
        shop.when(approve(), order=f"N-{number}").expect("accepted")


@pytest.mark.parametrize(("orders", "seconds"), [(0, 900), (4, 900), (5, 1_800), (20, 3_600)])
def test_the_tier_decides_how_long_an_approval_is_waited_for(shop: Shop, orders: int, seconds: int) -> None:
    completed_orders(shop, orders)
    shop.given_order()
    assert time_for_approval(shop) == seconds
    shop.when(start_order()).expect("accepted again")
    shop.when(start_order(approval_timeout_s=seconds)).expect("accepted again")
    shop.skip(seconds=seconds - 1)
    shop.expect_status("AWAITING_APPROVAL")
    shop.skip(seconds=2)
    shop.expect_outcome("CANCELLED", "approval-timeout")


@pytest.mark.parametrize("seconds", [10, 900, 5_000])
def test_a_time_that_the_order_says_wins_over_the_tier_s(shop: Shop, seconds: int) -> None:
    completed_orders(shop, 5)
    shop.given_order(approval_timeout_s=seconds)
    assert time_for_approval(shop) == seconds
    # The contract compares after its plain default of 900 s, whatever the tier makes of it.
    shop.when(start_order()).expect("accepted again" if seconds == 900 else "conflict")


def test_the_tier_never_waives_the_approval(shop: Shop) -> None:
    completed_orders(shop, 20)
    shop.given_order()
    shop.expect(OrderEnriched, tier="GOLD")
    shop.expect_status("AWAITING_APPROVAL", "approval")
    shop.expect_money()
