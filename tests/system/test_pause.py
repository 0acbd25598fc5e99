"""A paused order starts nothing new, takes note of what arrives, and its deadlines stand still; resumed, it goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conversation import Shop
from test_payments import attention

from contracts.orders import ApprovePayment, PauseOrder


def enriching(shop: Shop) -> None:
    if shop.version != 2:
        pytest.skip("version 1 asks nobody")
    shop.system.down("customer")
    shop.start()


def reserving(shop: Shop) -> None:
    shop.start_until("RESERVING")
    shop.system.down("inventory")


def awaiting(shop: Shop) -> None:
    shop.start()


def adding(shop: Shop) -> None:
    shop.start()
    shop.system.down("inventory")
    assert shop.add(id="line") == "undecided"


def paying(shop: Shop) -> None:
    shop.start()
    shop.system.down("payment")
    shop.approve()


def retrying(shop: Shop) -> None:
    shop.start()
    shop.system.gateway.away = True
    shop.approve()
    shop.system.until(lambda: len(shop.retries()) == 2)


def voiding(shop: Shop) -> None:
    shop.start()
    shop.system.gateway.away = True
    shop.approve()
    shop.system.skip(1)
    shop.cancel()


def refunding(shop: Shop) -> None:
    shop.start(method="pm_refund_fails")
    shop.approve()
    shop.system.skip(0.5)
    shop.cancel()
    shop.system.until(lambda: shop.waiting_for() == "refund")


def releasing(shop: Shop) -> None:
    shop.start()
    shop.system.down("inventory")
    shop.cancel()


State = Callable[[Shop], None]
STATES: list[State] = [enriching, reserving, awaiting, adding, paying, retrying, voiding, refunding, releasing]
#: What the orchestrator asks of its participants.
ASKED = ("inventory.commands.v1", "payment.commands.v1", "customer.commands.v1", "recommendation.commands.v1")


def asked(shop: Shop) -> int:
    return sum(record.key == b"O" for topic in ASKED for record in shop.system.records(topic))


def everything_up(shop: Shop) -> None:
    shop.system.gateway.away = False
    for service in shop.system.parts.of:
        shop.system.up(service)
    shop.system.run()


@pytest.mark.parametrize("state", STATES)
def test_a_paused_order_asks_nobody_for_anything_and_ends_when_it_is_resumed(shop: Shop, state: State) -> None:
    state(shop)
    assert shop.pause() == "accepted"
    found = shop.system.order("O")
    assert (found["paused"], found["waiting_for"], found["deadline"]) == (True, "operator", None)
    before = asked(shop)
    everything_up(shop)
    shop.system.skip(100_000)
    assert asked(shop) == before
    assert attention(shop) == []
    if not shop.system.order("O")["paused"]:
        # Who had asked before the pause was answered, and the answer was the last that the order waited for.
        assert shop.status() in {"COMPLETED", "CANCELLED"}
        return
    assert shop.resume() == "accepted"
    assert shop.system.order("O")["paused"] is False
    shop.system.skip(120)
    if shop.status() == "AWAITING_APPROVAL":
        assert shop.approve() == "accepted"
    shop.system.skip(1)
    assert shop.status() in {"COMPLETED", "CANCELLED"}


@pytest.mark.parametrize("state", STATES)
def test_a_second_pause_is_a_duplicate_and_what_is_not_paused_cannot_be_resumed(shop: Shop, state: State) -> None:
    state(shop)
    assert shop.resume() == "not-allowed"
    assert (shop.pause(id="p"), shop.pause(), shop.pause(id="p")) == ("accepted", "accepted again", "accepted again")
    assert shop.system.told("O").count("order-paused") == 1
    assert (shop.resume(id="r"), shop.resume(), shop.resume(id="r")) == ("accepted", "not-allowed", "accepted again")
    assert shop.system.told("O").count("order-resumed") == 1


def test_the_time_for_approval_stands_still_for_as_long_as_the_order_does(shop: Shop) -> None:
    shop.start(timeout_s=100)
    deadline = shop.system.order("O")["deadline"]
    shop.system.skip(40)
    shop.pause()
    shop.system.skip(5_000)
    shop.resume()
    assert (shop.system.order("O")["deadline"] - deadline).total_seconds() == 5_000
    shop.system.skip(59)
    assert shop.status() == "AWAITING_APPROVAL"
    shop.system.skip(2)
    assert shop.ending() == ("CANCELLED", "approval-timeout")


def test_a_pause_that_was_asked_for_in_time_saves_the_deadline_although_the_service_was_down(shop: Shop) -> None:
    shop.start(timeout_s=100)
    shop.system.down("orders")
    shop.system.skip(40)
    shop.system.command("O", PauseOrder(operator="op", reason="wait"))
    shop.system.skip(1_000)
    shop.system.up("orders")
    shop.system.skip(1_000)
    assert shop.system.order("O")["paused"] is True
    shop.resume()
    shop.system.skip(59)
    assert shop.status() == "AWAITING_APPROVAL"
    assert shop.approve() == "accepted"


def test_an_approval_while_paused_is_accepted_and_paid_for_when_it_is_resumed(shop: Shop) -> None:
    shop.start(timeout_s=100)
    shop.pause()
    shop.system.skip(1_000)
    assert shop.approve() == "accepted"
    shop.system.skip(1_000)
    assert (shop.money(), shop.waiting_for()) == ([], "operator")
    shop.resume()
    assert shop.ending() == ("COMPLETED", None)


def test_a_cancellation_while_paused_is_accepted_and_gives_back_when_it_is_resumed(shop: Shop) -> None:
    shop.start()
    shop.pause()
    assert shop.cancel() == "accepted"
    assert (shop.status(), shop.shelf("tea")) == ("COMPENSATING", (98, 2, 0))
    assert (shop.approve(), shop.cancel(), shop.add()) == ("too-late", "accepted again", "too-late")
    shop.resume()
    assert (shop.ending(), shop.shelf("tea")) == (("CANCELLED", "customer-request"), (100, 0, 0))


def test_a_line_added_while_paused_is_decided_when_it_is_resumed(shop: Shop) -> None:
    shop.start()
    shop.pause()
    assert shop.add(id="line") == "undecided"
    assert shop.shelf("mug") == (10, 0, 0)
    shop.resume()
    assert (shop.verdict("O", "line"), shop.shelf("mug")) == ("accepted", (9, 1, 0))


def test_an_order_is_not_started_twice_because_it_stands_still(shop: Shop) -> None:
    shop.start()
    shop.pause()
    assert (shop.start(), shop.start(items=(("mug", 1),))) == ("accepted again", "conflict")
    shop.resume()


def test_the_stock_of_a_line_that_cannot_be_added_is_given_back_although_the_order_is_paused(shop: Shop) -> None:
    shop.start()
    shop.system.down("inventory")
    assert shop.add(sku="gold", quantity=2, id="line") == "undecided"
    shop.pause()
    shop.system.up("inventory")
    shop.system.run()
    assert (shop.verdict("O", "line"), shop.shelf("gold")) == ("invalid", (10, 0, 0))
    shop.resume()


def test_the_answer_that_completes_a_paused_order_ends_its_pause(shop: Shop) -> None:
    paying(shop)
    shop.pause()
    shop.system.up("payment")
    shop.system.run()
    found = shop.system.order("O")
    assert (found["status"], found["paused"], found["waiting_for"]) == ("COMPLETED", False, None)
    assert shop.resume() == "too-late"


def test_retrying_and_resolving_wait_until_a_paused_order_is_resumed(shop: Shop) -> None:
    retrying(shop)
    shop.system.until(lambda: shop.status() == "NEEDS_ATTENTION")
    shop.pause()
    assert (shop.status(), shop.waiting_for()) == ("NEEDS_ATTENTION", "operator")
    assert (shop.retry_now(), shop.resolve("retry"), shop.resolve("settled")) == ("not-allowed",) * 3
    shop.system.gateway.away = False
    shop.resume()
    shop.system.skip(61)
    assert shop.ending() == ("FAILED", "payment-failed")


def test_the_back_off_stands_still_with_the_order(shop: Shop) -> None:
    retrying(shop)
    attempts = len(shop.retries())
    shop.system.skip(0.5)
    shop.pause()
    shop.system.skip(1_000)
    shop.resume()
    shop.system.skip(1.4)
    assert len(shop.retries()) == attempts
    shop.system.gateway.away = False
    shop.system.skip(0.2)
    assert shop.ending() == ("COMPLETED", None)


def test_two_seconds_for_a_recommendation_stand_still_too(shop: Shop) -> None:
    if shop.version != 2:
        pytest.skip("version 1 asks nobody")
    shop.system.down("recommendation")
    shop.start()
    shop.system.skip(1)
    shop.pause()
    shop.system.skip(100)
    shop.resume()
    shop.system.skip(0.9)
    assert shop.status() == "ENRICHING"
    shop.system.skip(0.2)
    assert shop.status() == "AWAITING_APPROVAL"


def test_a_paused_order_survives_a_crash(shop: Shop) -> None:
    shop.start(timeout_s=100)
    shop.pause()
    shop.system.crash("orders")
    shop.system.skip(1_000)
    assert shop.system.order("O")["paused"] is True
    approval = shop.system.command("O", ApprovePayment(approved_by="boss"))
    shop.system.crash("orders")
    shop.resume()
    assert shop.verdict("O", approval) == "accepted"
    assert shop.ending() == ("COMPLETED", None)
