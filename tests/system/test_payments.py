"""The money: every payment method, failures, lost answers, and cancellations while it is under way."""

from __future__ import annotations

import itertools

import promises
import pytest
from conversation import Shop

from contracts.orders import AttentionNeeded, AttentionResolved, CancelOrder
from simulation import System


def attention(shop: Shop, order: str = "O") -> list[tuple[str, str]]:
    """What was told about needing a person."""
    kinds = {AttentionNeeded: "needed", AttentionResolved: "resolved"}
    told = [event.data for event in shop.system.events(order)]
    return [(kinds[type(data)], data.reason) for data in told if isinstance(data, AttentionNeeded | AttentionResolved)]


@pytest.mark.parametrize("method", ["pm_card_declined", "pm_nobody_knows"])
def test_a_declined_card_fails_the_order_and_takes_nothing(shop: Shop, method: str) -> None:
    shop.start(method=method)
    shop.approve()
    assert shop.ending() == ("FAILED", "payment-declined")
    assert (shop.shelf("tea"), shop.money(), shop.mails()) == ((100, 0, 0), [], [])


def test_a_charge_whose_answer_is_lost_is_asked_about_and_taken_once(shop: Shop) -> None:
    shop.start(method="pm_card_timeout")
    shop.approve()
    assert shop.waiting_for() == "payment"
    shop.system.skip(2)
    assert shop.waiting_for() == "payment-outcome"
    shop.system.skip(1.1)
    assert shop.ending() == ("COMPLETED", None)
    assert shop.money() == [("charge", 500)]
    assert shop.retries() == [1]


def test_a_late_charge_that_nobody_cancels_completes_the_order_when_it_lands(shop: Shop) -> None:
    shop.start(method="pm_card_late")
    shop.approve()
    shop.system.skip(3.9)
    assert (shop.status(), shop.waiting_for(), shop.money()) == ("PAYING", "payment-outcome", [])
    shop.system.skip(2)
    assert shop.ending() == ("COMPLETED", None)
    assert shop.money() == [("charge", 500)]


@pytest.mark.parametrize("after_s", [0, 0.5, 1.9, 2.0, 2.5, 3.0, 3.9])
def test_a_late_charge_cancelled_before_it_lands_takes_nothing(shop: Shop, after_s: float) -> None:
    shop.start(method="pm_card_late")
    shop.approve()
    shop.system.skip(after_s)
    assert shop.cancel() == "accepted"
    shop.system.skip(60)
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert shop.money() == []
    assert shop.mails() == ["cancellation"]


def test_a_late_charge_cancelled_after_it_landed_is_refunded_once(shop: Shop) -> None:
    shop.start(method="pm_card_late")
    shop.approve()
    shop.system.skip(4.1)
    assert shop.cancel() == "accepted"
    shop.system.skip(60)
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert shop.money() == [("charge", 500), ("refund", 500)]
    assert [w for w in shop.system.told("O") if w in {"payment-captured", "payment-refunded", "stock-released"}] == [
        "payment-captured",
        "payment-refunded",
        "stock-released",
    ]


@pytest.mark.parametrize("after_s", [0, 1, 2, 2.9])
def test_a_charge_whose_answer_was_lost_is_refunded_once_when_the_order_is_cancelled(
    shop: Shop, after_s: float
) -> None:
    shop.start(method="pm_card_timeout")
    shop.approve()
    shop.system.skip(after_s)
    assert shop.cancel() == "accepted"
    shop.system.skip(60)
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert shop.money() == [("charge", 500), ("refund", 500)]


def test_a_refund_that_keeps_failing_needs_attention_with_the_third_failure_and_resolves_itself(shop: Shop) -> None:
    shop.start(method="pm_refund_fails")
    shop.approve()
    shop.system.skip(0.5)
    assert shop.cancel() == "accepted"
    assert (shop.status(), shop.waiting_for()) == ("COMPENSATING", "payment-outcome")
    shop.system.until(lambda: shop.waiting_for() == "refund")
    shop.system.skip(2.9)
    assert attention(shop) == []
    shop.system.until(lambda: attention(shop))
    assert (shop.status(), shop.waiting_for()) == ("NEEDS_ATTENTION", "refund")
    assert attention(shop) == [("needed", "refund-failing")]
    shop.system.skip(5)
    assert attention(shop) == [("needed", "refund-failing"), ("resolved", "refund-failing")]
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert shop.money() == [("charge", 500), ("refund", 500)]
    assert shop.retries() == [1, 1, 2, 4]


def test_while_an_order_needs_attention_signals_get_the_verdicts_of_what_it_is_doing(shop: Shop) -> None:
    shop.start(method="pm_refund_fails")
    shop.approve()
    shop.system.skip(0.5)
    shop.cancel()
    shop.system.until(lambda: shop.status() == "NEEDS_ATTENTION")
    assert (shop.approve(), shop.cancel(), shop.add()) == ("too-late", "accepted again", "too-late")


def test_a_cancellation_while_the_captured_answer_is_on_its_way_is_accepted_and_refunded_once(shop: Shop) -> None:
    shop.system.down("payment")
    shop.start()
    shop.approve()
    cancellation = shop.system.command("O", CancelOrder(reason="no"))
    shop.system.down("orders")
    shop.system.up("payment")
    shop.system.run()
    assert shop.money() == [("charge", 500)]
    shop.system.up("orders")
    shop.system.run()
    verdict = shop.verdict("O", cancellation)
    shop.system.skip(60)
    # The answer and the cancellation stand on two topics: which of them is read first is open, what follows from it is not.
    if verdict == "accepted":
        assert shop.ending() == ("CANCELLED", "customer-request")
        assert shop.money() == [("charge", 500), ("refund", 500)]
    else:
        assert (verdict, shop.ending()) == ("too-late", ("COMPLETED", None))


def test_a_cancelled_order_whose_charge_nobody_has_seen_yet_is_never_charged(shop: Shop) -> None:
    shop.system.down("payment")
    shop.start()
    shop.approve()
    assert shop.cancel() == "accepted"
    assert shop.waiting_for() == "payment-outcome"
    shop.system.up("payment")
    shop.system.skip(60)
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert sum(amount if kind == "charge" else -amount for kind, amount in shop.money()) == 0


def failing_shop(rate: float) -> Shop:
    return Shop(System(payment_failure_rate=rate)).open()


def test_transient_failures_are_retried_with_back_off_and_then_the_payment_has_failed() -> None:
    shop = failing_shop(1.0)
    shop.start()
    shop.approve()
    assert shop.waiting_for() == "payment"
    shop.system.finish()
    assert shop.ending() == ("FAILED", "payment-failed")
    assert shop.retries() == [1, 2, 4, 8]
    assert shop.money() == []
    failures = [entry for entry in shop.system.history("O") if entry["type"] == "orders.retry-scheduled"]
    assert [entry["data"]["failed_attempt"] for entry in failures] == [1, 2, 3, 4]
    gaps = [(b["at"] - a["at"]).total_seconds() for a, b in itertools.pairwise(failures)]
    assert [round(gap) for gap in gaps] == [1, 2, 4]
    promises.check(shop.system)


def test_with_a_fifth_of_the_calls_failing_every_order_completes_or_fails_for_that_reason() -> None:
    shop = failing_shop(0.2)
    shop.receive("nut", 10_000, 7)
    for number in range(200):
        shop.start(f"O-{number}", items=(("nut", 1 + number % 5),))
        shop.approve(f"O-{number}")
    shop.system.finish()
    endings = {shop.ending(f"O-{number}") for number in range(200)}
    assert endings <= {("COMPLETED", None), ("FAILED", "payment-failed")}
    retried = [number for number in range(200) if shop.retries(f"O-{number}")]
    assert 20 <= len(retried) <= 70
    promises.check(shop.system)


@pytest.mark.parametrize("cancel_after_s", [0.5, 1.5, 4, 20])
def test_a_cancellation_between_attempts_ends_the_attempts(cancel_after_s: float) -> None:
    shop = failing_shop(1.0)
    shop.start()
    shop.approve()
    shop.system.skip(cancel_after_s)
    verdict = shop.cancel()
    shop.system.finish()
    if cancel_after_s < 15:
        assert (verdict, shop.ending()) == ("accepted", ("CANCELLED", "customer-request"))
    else:
        assert (verdict, shop.ending()) == ("too-late", ("FAILED", "payment-failed"))
    promises.check(shop.system)
