"""A paused order starts nothing new, takes note of what arrives, and its deadlines stand still; resumed, it goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contracts.orders import AttentionNeeded, OrderPaused, OrderResumed
from simulation.kit import Shop, add_line, approve, cancel, pause, resolve, resume, retry_now, start_order


def enriching(shop: Shop) -> None:
    if shop.version != 2:
        pytest.skip("version 1 asks nobody")
    shop.down("customer")
    shop.given_order()


def reserving(shop: Shop) -> None:
    shop.given_order(until="RESERVING")
    shop.down("inventory")


def awaiting(shop: Shop) -> None:
    shop.given_order()


def adding(shop: Shop) -> None:
    shop.given_order()
    shop.down("inventory")
    shop.when(add_line()).expect("undecided")


def paying(shop: Shop) -> None:
    shop.given_order()
    shop.down("payment")
    shop.when(approve())


def retrying(shop: Shop) -> None:
    shop.given_order()
    shop.down("gateway")
    shop.when(approve())
    shop.skip_until(lambda: len(shop.retries()) == 2)


def voiding(shop: Shop) -> None:
    shop.given_order()
    shop.down("gateway")
    shop.when(approve())
    shop.skip(seconds=1)
    shop.when(cancel())


def refunding(shop: Shop) -> None:
    shop.given_order(payment_method="pm_refund_fails")
    shop.when(approve())
    shop.skip(seconds=0.5)
    shop.when(cancel())
    shop.skip_until(waiting_for="refund")


def releasing(shop: Shop) -> None:
    shop.given_order()
    shop.down("inventory")
    shop.when(cancel())


State = Callable[[Shop], None]
STATES: list[State] = [enriching, reserving, awaiting, adding, paying, retrying, voiding, refunding, releasing]
#: What the orchestrator asks of its participants.
ASKED = ("inventory.commands.v1", "payment.commands.v1", "customer.commands.v1", "recommendation.commands.v1")


def asked(shop: Shop) -> int:
    """How often anybody was asked for anything; that a hold is kept meanwhile asks for nothing."""
    found = [record for topic in ASKED for record in shop.system.records(topic) if record.key == b"O"]
    return sum(b"extend-reservation" not in (record.value or b"") for record in found)


@pytest.mark.parametrize("state", STATES)
def test_a_paused_order_asks_nobody_for_anything_and_ends_when_it_is_resumed(shop: Shop, state: State) -> None:
    state(shop)
    shop.when(pause()).expect("accepted")
    found = shop.order()
    assert (found["paused"], found["waiting_for"], found["deadline"]) == (True, "operator", None)
    before = asked(shop)
    shop.up()
    shop.skip(hours=28)
    assert asked(shop) == before
    assert shop.heard(AttentionNeeded) == []
    if not shop.order()["paused"]:
        # Who had asked before the pause was answered, and the answer was the last that the order waited for.
        assert shop.status() in {"COMPLETED", "CANCELLED"}
        return
    shop.when(resume()).expect("accepted")
    assert shop.order()["paused"] is False
    shop.skip(seconds=120)
    if shop.status() == "AWAITING_APPROVAL":
        shop.when(approve()).expect("accepted")
    shop.skip(seconds=1)
    assert shop.status() in {"COMPLETED", "CANCELLED"}


@pytest.mark.parametrize("state", STATES)
def test_a_second_pause_is_a_duplicate_and_what_is_not_paused_cannot_be_resumed(shop: Shop, state: State) -> None:
    state(shop)
    shop.when(resume()).expect("not-allowed")
    shop.when(pause(), id="p").expect("accepted")
    shop.when(pause()).expect("accepted again")
    shop.when(pause(), id="p").expect("accepted again")
    shop.when(resume(), id="r").expect("accepted")
    shop.when(resume()).expect("not-allowed")
    shop.when(resume(), id="r").expect("accepted again")
    assert (len(shop.heard(OrderPaused)), len(shop.heard(OrderResumed))) == (1, 1)


def test_the_time_for_approval_stands_still_for_as_long_as_the_order_does(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=100)
    deadline = shop.order()["deadline"]
    shop.skip(seconds=40)
    shop.when(pause())
    shop.skip(seconds=5_000)
    shop.when(resume())
    assert (shop.order()["deadline"] - deadline).total_seconds() == 5_000
    shop.skip(seconds=59)
    shop.expect_status("AWAITING_APPROVAL")
    shop.skip(seconds=2)
    shop.expect_outcome("CANCELLED", "approval-timeout")


def test_a_pause_that_was_asked_for_in_time_saves_the_deadline_although_the_service_was_down(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=100)
    shop.down("orders")
    shop.skip(seconds=40)
    shop.when(pause())
    shop.skip(seconds=1_000)
    shop.up("orders")
    shop.skip(seconds=1_000)
    assert shop.order()["paused"] is True
    shop.when(resume())
    shop.skip(seconds=59)
    shop.expect_status("AWAITING_APPROVAL")
    shop.when(approve()).expect("accepted")


def test_an_approval_while_paused_is_accepted_and_paid_for_when_it_is_resumed(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=100)
    shop.when(pause())
    shop.skip(seconds=1_000)
    shop.when(approve()).expect("accepted")
    shop.skip(seconds=1_000)
    shop.expect_money()
    assert shop.waiting_for() == "operator"
    shop.when(resume())
    shop.expect_outcome("COMPLETED")


def test_a_cancellation_while_paused_is_accepted_and_gives_back_when_it_is_resumed(shop: Shop) -> None:
    shop.given_order()
    shop.when(pause())
    shop.when(cancel()).expect("accepted")
    shop.expect_status("COMPENSATING", "operator")
    shop.expect_stock("tea", on_hand=98, held=2)
    shop.when(approve()).expect("too-late")
    shop.when(cancel()).expect("accepted again")
    shop.when(add_line()).expect("too-late")
    shop.when(resume())
    shop.expect_outcome("CANCELLED", "customer-request")
    shop.expect_stock("tea", on_hand=100)


def test_a_line_added_while_paused_is_decided_when_it_is_resumed(shop: Shop) -> None:
    shop.given_order()
    shop.when(pause())
    line = shop.when(add_line()).expect("undecided")
    shop.expect_stock("mug", on_hand=10)
    shop.when(resume())
    line.expect("accepted")
    shop.expect_stock("mug", on_hand=9, held=1)


def test_an_order_is_not_started_twice_because_it_stands_still(shop: Shop) -> None:
    shop.given_order()
    shop.when(pause())
    shop.when(start_order()).expect("accepted again")
    shop.when(start_order(items={"mug": 1})).expect("conflict")
    shop.when(resume())


def test_the_stock_of_a_line_that_cannot_be_added_is_given_back_although_the_order_is_paused(shop: Shop) -> None:
    shop.given_order()
    shop.down("inventory")
    line = shop.when(add_line("gold", 2)).expect("undecided")
    shop.when(pause())
    shop.up("inventory")
    line.expect("invalid")
    shop.expect_stock("gold", on_hand=10)
    shop.when(resume())


def test_the_answer_that_completes_a_paused_order_ends_its_pause(shop: Shop) -> None:
    paying(shop)
    shop.when(pause())
    shop.up("payment")
    found = shop.order()
    assert (found["status"], found["paused"], found["waiting_for"]) == ("COMPLETED", False, None)
    shop.when(resume()).expect("too-late")


def test_retrying_and_resolving_wait_until_a_paused_order_is_resumed(shop: Shop) -> None:
    retrying(shop)
    shop.skip_until(status="NEEDS_ATTENTION")
    shop.when(pause())
    shop.expect_status("NEEDS_ATTENTION", "operator")
    for said in (retry_now(), resolve("retry"), resolve("settled")):
        shop.when(said).expect("not-allowed")
    shop.up("gateway")
    shop.when(resume())
    shop.skip(seconds=61)
    shop.expect_outcome("FAILED", "payment-failed")


def test_the_back_off_stands_still_with_the_order(shop: Shop) -> None:
    retrying(shop)
    attempts = len(shop.retries())
    shop.skip(seconds=0.5)
    shop.when(pause())
    shop.skip(seconds=1_000)
    shop.when(resume())
    shop.skip(seconds=1.4)
    assert len(shop.retries()) == attempts
    shop.up("gateway")
    shop.skip(seconds=0.2)
    shop.expect_outcome("COMPLETED")


def test_two_seconds_for_a_recommendation_stand_still_too(shop: Shop) -> None:
    if shop.version != 2:
        pytest.skip("version 1 asks nobody")
    shop.down("recommendation")
    shop.given_order()
    shop.skip(seconds=1)
    shop.when(pause())
    shop.skip(seconds=100)
    shop.when(resume())
    shop.skip(seconds=0.9)
    shop.expect_status("ENRICHING")
    shop.skip(seconds=0.2)
    shop.expect_status("AWAITING_APPROVAL")


def test_a_paused_order_survives_a_crash(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=100)
    shop.when(pause())
    shop.crash("orders")
    shop.skip(seconds=1_000)
    assert shop.order()["paused"] is True
    approval = shop.send(approve())
    shop.crash("orders")
    shop.when(resume())
    approval.expect("accepted")
    shop.expect_outcome("COMPLETED")
