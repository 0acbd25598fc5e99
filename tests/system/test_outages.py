"""What is down for long, what dies in the middle, and what is delivered twice."""

from __future__ import annotations

import pytest

from contracts.orders import AttentionNeeded, AttentionResolved, StockReleased
from simulation import System
from simulation.kit import ORDER, Shop, add_line, approve, cancel, start_order
from simulation.parts import SERVICES


@pytest.mark.parametrize(("service", "waiting_for"), [("inventory", "stock"), ("payment", "payment")])
def test_a_participant_that_is_silent_for_long_needs_attention_until_it_answers(
    shop: Shop, service: str, waiting_for: str
) -> None:
    if service == "payment":
        shop.down(service)
        shop.given_order()
        shop.when(approve())
    else:
        shop.given_order(until="RESERVING")
        shop.down(service)
    shop.skip(seconds=104)
    shop.expect_no(AttentionNeeded)
    shop.skip(seconds=2)
    shop.expect(AttentionNeeded, reason="no-answer")
    shop.expect_status("NEEDS_ATTENTION", waiting_for)
    shop.skip(seconds=1_000)
    shop.up(service)
    shop.expect(AttentionResolved, reason="no-answer")
    shop.expect_status("AWAITING_APPROVAL" if service == "inventory" else "COMPLETED")


def test_a_release_that_is_not_answered_for_long_needs_attention_and_ends_when_it_is(shop: Shop) -> None:
    shop.given_order()
    shop.down("inventory")
    shop.when(cancel())
    shop.skip(seconds=200)
    shop.expect(AttentionNeeded, reason="no-answer")
    shop.expect_status("NEEDS_ATTENTION", "release")
    shop.up("inventory")
    shop.expect(AttentionResolved, reason="no-answer")
    shop.expect(StockReleased)
    shop.expect_outcome("CANCELLED", "customer-request")


def test_an_order_cancelled_while_it_needs_attention_is_cancelled(shop: Shop) -> None:
    shop.given_order(until="RESERVING")
    shop.down("inventory")
    shop.skip(seconds=200)
    shop.when(cancel()).expect("accepted")
    shop.expect_status("NEEDS_ATTENTION")
    shop.up("inventory")
    shop.expect_outcome("CANCELLED", "customer-request")
    shop.expect_stock("tea", on_hand=100)


def test_an_order_cancelled_before_its_stock_is_held_gives_back_what_is_held_after_all(shop: Shop) -> None:
    shop.given_order(until="RESERVING")
    shop.down("inventory")
    shop.when(cancel()).expect("accepted")
    shop.expect_status("COMPENSATING")
    shop.up("inventory")
    shop.expect_outcome("CANCELLED", "customer-request")
    shop.expect_stock("tea", on_hand=100)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_payment_whose_outcome_cannot_be_learned_needs_attention_and_is_settled_when_the_gateway_is_back(
    shop: Shop, cancelled: bool
) -> None:
    shop.given_order()
    shop.down("gateway")
    shop.when(approve())
    shop.skip(seconds=60)
    assert shop.retries()[:4] == [1, 2, 4, 8]
    shop.expect(AttentionNeeded, reason="void-failing")
    shop.expect_status("NEEDS_ATTENTION", "payment-outcome")
    shop.skip(seconds=600)
    if cancelled:
        shop.when(cancel()).expect("accepted")
    shop.up("gateway")
    shop.skip(seconds=61)
    shop.expect(AttentionResolved, reason="void-failing")
    shop.expect_outcome(*(("CANCELLED", "customer-request") if cancelled else ("FAILED", "payment-failed")))
    shop.expect_money()


def test_a_gateway_that_comes_back_in_time_is_asked_first_and_charges_once(shop: Shop) -> None:
    shop.given_order()
    shop.down("gateway")
    shop.when(approve())
    shop.skip(seconds=4)
    assert shop.waiting_for() == "payment-outcome"
    shop.up("gateway")
    shop.skip(seconds=10)
    shop.expect_outcome("COMPLETED")
    shop.expect_money(500)


def test_a_mail_waits_for_its_server_and_comes_once(shop: Shop) -> None:
    shop.down("mail-server")
    shop.given_order()
    shop.when(approve())
    shop.skip(seconds=100)
    shop.expect_mails()
    shop.up("mail-server")
    shop.skip(seconds=100)
    shop.expect_mails("confirmation")


def test_a_queue_of_commands_waits_for_the_service_and_is_decided_in_order(shop: Shop) -> None:
    shop.down("orders")
    words = (start_order(), add_line(), approve(), add_line(), cancel(), approve())
    start, line, approval, late_line, cancellation, _ = [shop.when(word) for word in words]
    shop.skip(seconds=5)
    shop.up("orders")
    start.expect("accepted")
    # How far the order is when its cancellation is read depends on the order of events; every verdict is one that fits.
    assert line.verdict in {"accepted", "too-late"}
    approval.expect("accepted")
    late_line.expect("not-allowed")
    assert cancellation.verdict in {"accepted", "too-late"}


JOURNEYS = {
    "completed": (("pm_card_visa", "approve"), ("COMPLETED", None)),
    "answer-lost": (("pm_card_timeout", "approve"), ("COMPLETED", None)),
    "declined": (("pm_card_declined", "approve"), ("FAILED", "payment-declined")),
    "cancelled": (("pm_card_visa", "cancel"), ("CANCELLED", "customer-request")),
    "refunded": (("pm_refund_fails", "approve and cancel"), ("CANCELLED", "customer-request")),
}


def travel(method: str, what: str, crash_after: int | None, service: str) -> tuple[Shop, int]:
    """One order's journey; after so many steps the service's process dies and another one takes over."""
    shop = Shop(System(partitions=1))
    system, before = shop.system, len(shop.system.trace)
    shop.send(start_order(payment_method=method))
    shop.send(add_line())

    def go(seconds: float) -> None:
        while system.step():
            if crash_after is not None and len(system.trace) - before == crash_after:
                system.crash(service)
        system.skip(seconds)

    go(0)
    if "approve" in what:
        shop.send(approve())
        go(0.5)
    if "cancel" in what:
        shop.send(cancel())
        go(0)
    system.finish()
    return shop, len(system.trace) - before


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("journey", JOURNEYS)
def test_an_order_ends_the_same_wherever_a_process_dies(journey: str, service: str) -> None:
    (method, what), ending = JOURNEYS[journey]
    undisturbed, steps = travel(method, what, None, service)
    told, mails = undisturbed.system.told(ORDER), [mail.kind for mail in undisturbed.system.mails(ORDER)]
    for crash_after in range(1, steps + 1):
        shop, _ = travel(method, what, crash_after, service)
        shop.expect_outcome(*ending)
        assert sorted(shop.system.told(ORDER)) == sorted(told), f"after {crash_after} steps"
        shop.expect_mails(*mails)
        shop.expect_promises_kept()


def test_two_orders_that_want_the_last_piece_never_both_get_it() -> None:
    for seed in range(100):
        with Shop(System(seed=seed)) as shop:
            for order in ("first", "second"):
                shop.send(start_order(items={"last": 1}), order=order)
                shop.send(approve(), order=order)
            shop.skip()
            winner, loser = sorted(("first", "second"), key=shop.status)
            shop.expect_outcome("COMPLETED", order=winner)
            shop.expect_outcome("FAILED", "out-of-stock", order=loser)
