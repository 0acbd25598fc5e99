"""The money: every payment method, failures, lost answers, and cancellations while it is under way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from contracts import payment
from contracts.orders import AttentionNeeded, AttentionResolved
from simulation import System
from simulation.kit import Shop, add_line, approve, cancel

#: What was taken is given back in this order.
GIVEN_BACK = ("payment-captured", "payment-refunded", "stock-released")


@pytest.mark.parametrize("method", ["pm_card_declined", "pm_nobody_knows"])
def test_a_declined_card_fails_the_order_and_takes_nothing(shop: Shop, method: str) -> None:
    shop.given_order(payment_method=method)
    shop.when(approve())
    shop.expect_outcome("FAILED", "payment-declined")
    shop.expect_stock("tea", on_hand=100)
    shop.expect_money()
    shop.expect_mails()


def test_a_charge_whose_answer_is_lost_is_asked_about_and_taken_once(shop: Shop) -> None:
    shop.given_order(payment_method="pm_card_timeout")
    shop.when(approve())
    shop.expect_status("PAYING", "payment")
    shop.skip(seconds=2)
    shop.expect(payment.ChargeUnknown)
    shop.expect_status("PAYING", "payment-outcome")
    shop.skip(seconds=1.1)
    shop.expect(payment.Charge, attempt=2)
    shop.expect_outcome("COMPLETED")
    shop.expect_money(500)
    assert shop.retries() == [1]


def test_a_late_charge_that_nobody_cancels_completes_the_order_when_it_lands(shop: Shop) -> None:
    shop.given_order(payment_method="pm_card_late")
    shop.when(approve())
    shop.skip(seconds=3.9)
    shop.expect_status("PAYING", "payment-outcome")
    shop.expect_money()
    shop.skip(seconds=2)
    shop.expect_outcome("COMPLETED")
    shop.expect_money(500)


@pytest.mark.parametrize("after_s", [0, 0.5, 1.9, 2.0, 2.5, 3.0, 3.9])
def test_a_late_charge_cancelled_before_it_lands_takes_nothing(shop: Shop, after_s: float) -> None:
    shop.given_order(payment_method="pm_card_late")
    shop.when(approve())
    shop.skip(seconds=after_s)
    shop.when(cancel()).expect("accepted")
    shop.skip(seconds=60)
    shop.expect_outcome("CANCELLED", "customer-request")
    shop.expect_money()
    shop.expect_mails("cancellation")


def test_a_late_charge_cancelled_after_it_landed_is_refunded_once(shop: Shop) -> None:
    shop.given_order(payment_method="pm_card_late")
    shop.when(approve())
    shop.skip(seconds=4.1)
    shop.when(cancel()).expect("accepted")
    shop.skip(seconds=60)
    shop.expect_outcome("CANCELLED", "customer-request")
    shop.expect_money(500, -500)
    told = [word for word in shop.system.told("O") if word in GIVEN_BACK]
    assert told == list(GIVEN_BACK)


@pytest.mark.parametrize("after_s", [0, 1, 2, 2.9])
def test_a_charge_whose_answer_was_lost_is_refunded_once_when_the_order_is_cancelled(
    shop: Shop, after_s: float
) -> None:
    shop.given_order(payment_method="pm_card_timeout")
    shop.when(approve())
    shop.skip(seconds=after_s)
    shop.when(cancel()).expect("accepted")
    shop.skip(seconds=60)
    shop.expect_outcome("CANCELLED", "customer-request")
    shop.expect_money(500, -500)


def test_a_refund_that_keeps_failing_needs_attention_with_the_third_failure_and_resolves_itself(shop: Shop) -> None:
    shop.given_order(payment_method="pm_refund_fails")
    shop.when(approve())
    shop.skip(seconds=0.5)
    shop.when(cancel()).expect("accepted")
    shop.expect_status("COMPENSATING", "payment-outcome")
    shop.skip_until(waiting_for="refund")
    shop.skip(seconds=2.9)
    shop.expect_no(AttentionNeeded)
    shop.skip_until(status="NEEDS_ATTENTION")
    shop.expect(AttentionNeeded, reason="refund-failing")
    assert shop.waiting_for() == "refund"
    shop.skip(seconds=5)
    shop.expect(AttentionResolved, reason="refund-failing")
    shop.expect_outcome("CANCELLED", "customer-request")
    shop.expect_money(500, -500)
    assert shop.retries() == [1, 1, 2, 4]


def test_while_an_order_needs_attention_signals_get_the_verdicts_of_what_it_is_doing(shop: Shop) -> None:
    shop.given_order(payment_method="pm_refund_fails")
    shop.when(approve())
    shop.skip(seconds=0.5)
    shop.when(cancel())
    shop.skip_until(status="NEEDS_ATTENTION")
    shop.when(approve()).expect("too-late")
    shop.when(cancel()).expect("accepted again")
    shop.when(add_line()).expect("too-late")


def test_a_cancellation_while_the_captured_answer_is_on_its_way_is_accepted_and_refunded_once(shop: Shop) -> None:
    shop.down("payment")
    shop.given_order()
    shop.when(approve())
    cancellation = shop.send(cancel())
    shop.down("orders")
    shop.up("payment")
    shop.expect_money(500)
    shop.up("orders")
    shop.skip(seconds=60)
    # The answer and the cancellation stand on two topics: which of them is read first is open, what follows from it is not.
    if cancellation.verdict == "accepted":
        shop.expect_outcome("CANCELLED", "customer-request")
        shop.expect_money(500, -500)
    else:
        cancellation.expect("too-late")
        shop.expect_outcome("COMPLETED")


def test_a_cancelled_order_whose_charge_nobody_has_seen_yet_is_never_charged(shop: Shop) -> None:
    shop.down("payment")
    shop.given_order()
    shop.when(approve())
    shop.when(cancel()).expect("accepted")
    shop.expect_status("COMPENSATING", "payment-outcome")
    shop.up("payment")
    shop.skip(seconds=60)
    shop.expect_outcome("CANCELLED", "customer-request")
    assert sum(shop.money()) == 0


@pytest.fixture
def failing_shop() -> Iterator[Shop]:
    """Every call to its gateway fails."""
    with Shop(System(payment_failure_rate=1.0)) as shop:
        yield shop


def test_transient_failures_are_retried_with_back_off_and_then_the_payment_has_failed(failing_shop: Shop) -> None:
    shop = failing_shop
    shop.given_order()
    shop.when(approve())
    shop.expect_status("PAYING", "payment")
    shop.finish()
    shop.expect_outcome("FAILED", "payment-failed")
    assert shop.retries() == [1, 2, 4, 8]
    shop.expect_money()
    failures = [entry for entry in shop.system.history("O") if entry["type"] == "orders.retry-scheduled"]
    assert [entry["data"]["failed_attempt"] for entry in failures] == [1, 2, 3, 4]
    gaps = [(b["at"] - a["at"]).total_seconds() for a, b in itertools.pairwise(failures)]
    assert [round(gap) for gap in gaps] == [1, 2, 4]


def test_with_a_fifth_of_the_calls_failing_every_order_completes_or_fails_for_that_reason() -> None:
    with Shop(System(payment_failure_rate=0.2)) as shop:
        shop.given_stock("nut", 10_000, price_minor=7)
        orders = [f"O-{number}" for number in range(200)]
        for number, order in enumerate(orders):
            shop.given_order(order, items={"nut": 1 + number % 5})
            shop.when(approve(), order=order)
        shop.finish()
        endings = {(found["status"], found["reason"]) for found in map(shop.order, orders)}
        assert endings <= {("COMPLETED", None), ("FAILED", "payment-failed")}
        assert 20 <= sum(bool(shop.retries(order)) for order in orders) <= 70


@pytest.mark.parametrize("cancel_after_s", [0.5, 1.5, 4, 20])
def test_a_cancellation_between_attempts_ends_the_attempts(failing_shop: Shop, cancel_after_s: float) -> None:
    shop = failing_shop
    shop.given_order()
    shop.when(approve())
    shop.skip(seconds=cancel_after_s)
    cancellation = shop.when(cancel())
    shop.finish()
    if cancel_after_s < 15:
        cancellation.expect("accepted")
        shop.expect_outcome("CANCELLED", "customer-request")
    else:
        cancellation.expect("too-late")
        shop.expect_outcome("FAILED", "payment-failed")
