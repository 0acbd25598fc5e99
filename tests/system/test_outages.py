"""What is down for long, what dies in the middle, and what is delivered twice."""

from __future__ import annotations

import promises
import pytest
from conversation import Shop, an_order
from test_payments import attention

from contracts.orders import AddLineItem, ApprovePayment, CancelOrder
from simulation import System
from simulation.parts import SERVICES


@pytest.mark.parametrize(("service", "waiting_for"), [("inventory", "stock"), ("payment", "payment")])
def test_a_participant_that_is_silent_for_long_needs_attention_until_it_answers(
    shop: Shop, service: str, waiting_for: str
) -> None:
    if service == "payment":
        shop.system.down(service)
        shop.start()
        shop.approve()
    else:
        shop.start_until("RESERVING")
        shop.system.down(service)
    shop.system.skip(104)
    assert attention(shop) == []
    shop.system.skip(2)
    assert attention(shop) == [("needed", "no-answer")]
    assert (shop.status(), shop.waiting_for()) == ("NEEDS_ATTENTION", waiting_for)
    shop.system.skip(1_000)
    shop.system.up(service)
    shop.system.run()
    assert attention(shop) == [("needed", "no-answer"), ("resolved", "no-answer")]
    assert shop.status() == ("AWAITING_APPROVAL" if service == "inventory" else "COMPLETED")


def test_a_release_that_is_not_answered_for_long_needs_attention_and_ends_when_it_is(shop: Shop) -> None:
    shop.start()
    shop.system.down("inventory")
    shop.cancel()
    shop.system.skip(200)
    assert (shop.status(), shop.waiting_for()) == ("NEEDS_ATTENTION", "release")
    shop.system.up("inventory")
    shop.system.run()
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert attention(shop) == [("needed", "no-answer"), ("resolved", "no-answer")]
    assert shop.system.told("O").count("stock-released") == 1


def test_an_order_cancelled_while_it_needs_attention_is_cancelled(shop: Shop) -> None:
    shop.start_until("RESERVING")
    shop.system.down("inventory")
    shop.system.skip(200)
    assert shop.cancel() == "accepted"
    assert shop.status() == "NEEDS_ATTENTION"
    shop.system.up("inventory")
    shop.system.run()
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert shop.shelf("tea") == (100, 0, 0)


def test_an_order_cancelled_before_its_stock_is_held_gives_back_what_is_held_after_all(shop: Shop) -> None:
    shop.start_until("RESERVING")
    shop.system.down("inventory")
    assert shop.cancel() == "accepted"
    assert shop.status() == "COMPENSATING"
    shop.system.up("inventory")
    shop.system.run()
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert shop.shelf("tea") == (100, 0, 0)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_payment_whose_outcome_cannot_be_learned_needs_attention_and_is_settled_when_the_gateway_is_back(
    shop: Shop, cancelled: bool
) -> None:
    shop.start()
    shop.system.gateway.away = True
    shop.approve()
    shop.system.skip(60)
    assert shop.retries()[:4] == [1, 2, 4, 8]
    assert (shop.status(), shop.waiting_for()) == ("NEEDS_ATTENTION", "payment-outcome")
    shop.system.skip(600)
    if cancelled:
        assert shop.cancel() == "accepted"
    shop.system.gateway.away = False
    shop.system.skip(61)
    assert shop.ending() == (("CANCELLED", "customer-request") if cancelled else ("FAILED", "payment-failed"))
    assert attention(shop) == [("needed", "void-failing"), ("resolved", "void-failing")]
    assert shop.money() == []


def test_a_gateway_that_comes_back_in_time_is_asked_first_and_charges_once(shop: Shop) -> None:
    shop.start()
    shop.system.gateway.away = True
    shop.approve()
    shop.system.skip(4)
    assert shop.waiting_for() == "payment-outcome"
    shop.system.gateway.away = False
    shop.system.skip(10)
    assert shop.ending() == ("COMPLETED", None)
    assert shop.money() == [("charge", 500)]


def test_a_mail_waits_for_its_server_and_comes_once(shop: Shop) -> None:
    shop.system.mailbox.away = True
    shop.start()
    shop.approve()
    shop.system.skip(100)
    assert shop.mails() == []
    shop.system.mailbox.away = False
    shop.system.skip(100)
    assert shop.mails() == ["confirmation"]


def test_a_queue_of_commands_waits_for_the_service_and_is_decided_in_order(shop: Shop) -> None:
    system = shop.system
    system.down("orders")
    ids = [
        system.command("O", an_order()),
        system.command("O", AddLineItem(sku="mug", quantity=1)),
        system.command("O", ApprovePayment(approved_by="boss")),
        system.command("O", AddLineItem(sku="mug", quantity=1)),
        system.command("O", CancelOrder(reason="no")),
        system.command("O", ApprovePayment(approved_by="boss")),
    ]
    system.skip(5)
    system.up("orders")
    system.run()
    verdicts = [shop.verdict("O", command) for command in ids[:4]]
    assert verdicts[0] == "accepted"
    # How far the order is when its cancellation is read depends on the order of events; every verdict is one that fits.
    assert verdicts[1] in {"accepted", "too-late"}
    assert verdicts[2:] == ["accepted", "not-allowed"]
    assert shop.verdict("O", ids[4]) in {"accepted", "too-late"}


JOURNEYS = {
    "completed": (("pm_card_visa", "approve"), ("COMPLETED", None)),
    "answer-lost": (("pm_card_timeout", "approve"), ("COMPLETED", None)),
    "declined": (("pm_card_declined", "approve"), ("FAILED", "payment-declined")),
    "cancelled": (("pm_card_visa", "cancel"), ("CANCELLED", "customer-request")),
    "refunded": (("pm_refund_fails", "approve and cancel"), ("CANCELLED", "customer-request")),
}


def travel(method: str, what: str, crash_after: int | None, service: str) -> tuple[System, int]:
    """One order's journey; after so many steps the service's process dies and another one takes over."""
    shop = Shop(System(partitions=1)).open()
    system, before = shop.system, len(shop.system.trace)
    system.command("O", an_order(method=method), id="start")
    system.command("O", AddLineItem(sku="mug", quantity=1), id="add")

    def go(seconds: float) -> None:
        while system.step():
            if crash_after is not None and len(system.trace) - before == crash_after:
                system.crash(service)
        system.skip(seconds)

    go(0)
    if "approve" in what:
        system.command("O", ApprovePayment(approved_by="boss"), id="approve")
        go(0.5)
    if "cancel" in what:
        system.command("O", CancelOrder(reason="no"), id="cancel")
        go(0)
    system.finish()
    return system, len(system.trace) - before


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("journey", JOURNEYS)
def test_an_order_ends_the_same_wherever_a_process_dies(journey: str, service: str) -> None:
    (method, what), ending = JOURNEYS[journey]
    undisturbed, steps = travel(method, what, None, service)
    told = undisturbed.told("O")
    for crash_after in range(1, steps + 1):
        system, _ = travel(method, what, crash_after, service)
        order = system.order("O")
        assert (order["status"], order["reason"]) == ending, f"after {crash_after} steps"
        assert sorted(system.told("O")) == sorted(told)
        assert [m.kind for m in system.mails("O")] == [m.kind for m in undisturbed.mails("O")]
        promises.check(system)


def test_two_orders_that_want_the_last_piece_never_both_get_it() -> None:
    for seed in range(100):
        shop = Shop(System(seed=seed)).open()
        for order in ("first", "second"):
            shop.system.command(order, an_order((("last", 1),)))
            shop.system.command(order, ApprovePayment(approved_by="boss"))
        shop.system.finish()
        assert sorted(shop.ending(order) for order in ("first", "second")) == sorted(
            [("COMPLETED", None), ("FAILED", "out-of-stock")], key=str
        )
        promises.check(shop.system)
