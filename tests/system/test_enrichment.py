"""Version 2 asks around before it holds anything: who answers, who does not, and what is said meanwhile."""

from __future__ import annotations

import pytest
from conversation import Shop
from test_payments import attention

from contracts.orders import OrderEnriched
from services.recommendation.pairs import Pair


@pytest.fixture
def shop(shop: Shop) -> Shop:
    if shop.version != 2:
        pytest.skip("version 1 asks nobody")
    return shop


def enriched(shop: Shop, order: str = "O") -> OrderEnriched:
    (told,) = [event.data for event in shop.system.events(order) if isinstance(event.data, OrderEnriched)]
    return told


def time_for_approval(shop: Shop, order: str = "O") -> float:
    return float((shop.system.order(order)["deadline"] - shop.system.now).total_seconds())


def test_what_is_known_of_customer_stock_and_habits_is_told_before_anything_is_held(shop: Shop) -> None:
    shop.system.parts.pairs["tea"] = (Pair(sku="mug", count=3), Pair(sku="pie", count=1))
    shop.start(items=(("tea", 2), ("tea", 1)))
    told = enriched(shop)
    assert (told.tier, told.recommendations) == ("STANDARD", ("mug", "pie"))
    assert [(level.sku, level.on_hand) for level in told.levels] == [("tea", 100)]
    assert shop.status() == "AWAITING_APPROVAL"


def test_an_order_of_an_unknown_customer_fails_and_holds_nothing(shop: Shop) -> None:
    assert shop.start(customer="nobody") == "accepted"
    assert shop.ending() == ("FAILED", "unknown-customer")
    assert (shop.shelf("tea"), shop.system.parts.inventory.reservations) == ((100, 0, 0), {})
    assert shop.mails() == []


def test_recommendations_are_waited_for_two_seconds_and_their_absence_is_recorded(shop: Shop) -> None:
    shop.system.down("recommendation")
    shop.start()
    shop.system.skip(1.9)
    assert (shop.status(), shop.waiting_for()) == ("ENRICHING", "enrichment")
    shop.system.skip(0.2)
    assert shop.status() == "AWAITING_APPROVAL"
    assert enriched(shop).recommendations is None
    shop.system.up("recommendation")
    shop.system.run()
    assert shop.status() == "AWAITING_APPROVAL"


def test_a_late_recommendation_is_taken_along_where_others_are_waited_for_anyway(shop: Shop) -> None:
    shop.system.down("recommendation")
    shop.system.down("customer")
    shop.start()
    shop.system.skip(5)
    shop.system.up("recommendation")
    shop.system.run()
    shop.system.up("customer")
    shop.system.run()
    assert enriched(shop).recommendations == ()


@pytest.mark.parametrize("service", ["customer", "inventory"])
def test_who_does_not_answer_for_long_needs_attention_until_it_does(shop: Shop, service: str) -> None:
    shop.system.down(service)
    shop.start()
    shop.system.skip(104)
    assert attention(shop) == []
    shop.system.skip(2)
    assert attention(shop) == [("needed", "no-answer")]
    assert (shop.status(), shop.waiting_for()) == ("NEEDS_ATTENTION", "enrichment")
    shop.system.skip(1_000)
    shop.system.up(service)
    shop.system.run()
    assert attention(shop) == [("needed", "no-answer"), ("resolved", "no-answer")]
    assert shop.status() == "AWAITING_APPROVAL"


def test_the_answer_of_one_does_not_end_the_worry_about_another(shop: Shop) -> None:
    for service in ("customer", "inventory", "recommendation"):
        shop.system.down(service)
    shop.start()
    shop.system.skip(200)
    for service in ("recommendation", "inventory"):
        shop.system.up(service)
        shop.system.run()
        assert attention(shop) == [("needed", "no-answer")]
    shop.system.up("customer")
    shop.system.run()
    assert attention(shop) == [("needed", "no-answer"), ("resolved", "no-answer")]


def test_an_approval_while_enriching_takes_effect_when_the_stock_is_held(shop: Shop) -> None:
    shop.system.down("customer")
    shop.start()
    assert shop.approve() == "accepted"
    assert shop.add() == "not-allowed"
    shop.system.up("customer")
    shop.system.run()
    assert shop.ending() == ("COMPLETED", None)


@pytest.mark.parametrize("down", ["customer", "inventory", "recommendation"])
def test_a_cancellation_while_enriching_ends_at_once_and_a_late_answer_changes_nothing(shop: Shop, down: str) -> None:
    shop.system.down(down)
    shop.start()
    assert shop.add(id="line") == "undecided"
    assert shop.cancel() == "accepted"
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert shop.verdict("O", "line") == "too-late"
    before = shop.system.told("O")
    shop.system.up(down)
    shop.system.run()
    assert shop.system.told("O") == before
    assert shop.system.parts.inventory.reservations == {}


def test_a_line_added_while_enriching_is_held_after_the_order_itself(shop: Shop) -> None:
    shop.system.down("customer")
    shop.start()
    assert shop.add(quantity=2, id="line") == "undecided"
    assert shop.add(sku="ghost", id="ghost") == "undecided"
    shop.system.up("customer")
    shop.system.run()
    assert (shop.verdict("O", "line"), shop.verdict("O", "ghost")) == ("accepted", "unknown-sku")
    assert shop.shelf("mug") == (8, 2, 0)


def test_a_line_of_an_unknown_customer_s_order_is_too_late(shop: Shop) -> None:
    shop.system.down("customer")
    shop.start(customer="nobody")
    assert shop.add(id="line") == "undecided"
    shop.system.up("customer")
    shop.system.run()
    assert shop.verdict("O", "line") == "too-late"
    assert shop.ending() == ("FAILED", "unknown-customer")


def completed_orders(shop: Shop, count: int) -> None:
    shop.receive("nut", 1_000, 5)
    for number in range(count):
        shop.start(f"N-{number}", items=(("nut", 1),))
        assert shop.approve(f"N-{number}") == "accepted"


@pytest.mark.parametrize(("orders", "seconds"), [(0, 900), (4, 900), (5, 1_800), (20, 3_600)])
def test_the_tier_decides_how_long_an_approval_is_waited_for(shop: Shop, orders: int, seconds: int) -> None:
    completed_orders(shop, orders)
    shop.start(timeout_s=None)
    assert time_for_approval(shop) == seconds
    assert shop.start(timeout_s=None, id="again") == "accepted again"
    assert shop.start(timeout_s=seconds, id="spelled-out") == "accepted again"
    shop.system.skip(seconds - 1)
    assert shop.status() == "AWAITING_APPROVAL"
    shop.system.skip(2)
    assert shop.ending() == ("CANCELLED", "approval-timeout")


@pytest.mark.parametrize("seconds", [10, 900, 5_000])
def test_a_time_that_the_order_says_wins_over_the_tier_s(shop: Shop, seconds: int) -> None:
    completed_orders(shop, 5)
    shop.start(timeout_s=seconds)
    assert time_for_approval(shop) == seconds
    # The contract compares after its plain default of 900 s, whatever the tier makes of it.
    assert shop.start(timeout_s=None) == ("accepted again" if seconds == 900 else "conflict")


def test_the_tier_never_waives_the_approval(shop: Shop) -> None:
    completed_orders(shop, 20)
    shop.start(timeout_s=None)
    assert enriched(shop).tier == "GOLD"
    assert (shop.status(), shop.money()) == ("AWAITING_APPROVAL", [])
