"""Holds know the order: inventory announces what is over, the order decides, and nothing that may be paid for is given back."""

from __future__ import annotations

from datetime import datetime

import promises
import pytest
from conversation import Shop, an_order

from contracts.inventory import ReservationExpired
from contracts.orders import ApprovePayment
from contracts.topics import INVENTORY_EVENTS
from simulation import System


def announced(shop: Shop, order: str = "O") -> list[datetime]:
    """The expiries that were announced, in order; a repeat counts again."""
    told = [event.data for event in shop.system.events(order, INVENTORY_EVENTS)]
    return [data.expired_at for data in told if isinstance(data, ReservationExpired)]


def extensions(shop: Shop, order: str = "O") -> list[str]:
    """What the order was waiting for each time it extended a hold."""
    entries = shop.system.history(order)
    return [entry["data"]["waiting_for"] for entry in entries if entry["type"] == "orders.hold-extended"]


def test_an_order_on_its_plain_way_hears_of_no_expiry(shop: Shop) -> None:
    shop.start()
    shop.approve()
    shop.system.skip(3_600)
    assert shop.ending() == ("COMPLETED", None)
    assert announced(shop) == []


def test_the_time_for_approval_is_over_before_the_hold_is(shop: Shop) -> None:
    shop.start(timeout_s=5)
    shop.system.skip(5.1)
    assert shop.ending() == ("CANCELLED", "approval-timeout")
    shop.system.skip(3_600)
    assert announced(shop) == []


def test_what_a_dead_order_gives_back_is_the_next_orders_at_once(shop: Shop) -> None:
    shop.start("first", items=(("last", 1),), timeout_s=60)
    shop.start("too-early", items=(("last", 1),))
    assert shop.ending("too-early") == ("FAILED", "out-of-stock")
    shop.system.skip(61)
    shop.start("next", items=(("last", 1),))
    assert shop.approve("next") == "accepted"
    assert [shop.ending(order)[0] for order in ("first", "next")] == ["CANCELLED", "COMPLETED"]


def test_a_hold_that_was_long_in_coming_is_extended_to_the_end_of_the_time_for_approval(shop: Shop) -> None:
    shop.start_until("RESERVING")
    shop.system.down("inventory")
    shop.system.skip(1_200)
    shop.system.up("inventory")
    shop.system.skip(890)
    assert shop.status() == "AWAITING_APPROVAL"
    assert len(announced(shop)) == 1
    assert extensions(shop) == ["approval"]
    assert shop.approve() == "accepted"
    assert shop.ending() == ("COMPLETED", None)


def test_a_hold_is_kept_while_the_order_is_being_paid(shop: Shop) -> None:
    shop.start()
    shop.system.down("payment")
    shop.approve()
    shop.system.skip(2_000)
    assert shop.shelf("tea") == (98, 2, 0)
    expiries = announced(shop)
    assert len(expiries) == len(set(expiries)) == 4  # after 960 s, and every five minutes
    assert set(extensions(shop)) == {"payment"}
    shop.system.up("payment")
    shop.system.run()
    assert shop.ending() == ("COMPLETED", None)
    assert shop.shelf("tea") == (98, 0, 2)


def test_a_hold_is_kept_while_nobody_knows_whether_the_charge_was_taken(shop: Shop) -> None:
    shop.start(timeout_s=60)
    shop.system.gateway.away = True
    shop.approve()
    shop.system.skip(1_000)
    assert (shop.status(), shop.waiting_for()) == ("NEEDS_ATTENTION", "payment-outcome")
    assert shop.shelf("tea") == (98, 2, 0)
    assert set(extensions(shop)) == {"payment-outcome"}
    shop.system.gateway.away = False
    shop.system.skip(61)
    assert shop.ending() == ("FAILED", "payment-failed")
    assert shop.shelf("tea") == (100, 0, 0)


def test_a_paused_orders_hold_is_kept_with_fewer_words_the_longer_it_lasts(shop: Shop) -> None:
    shop.start()
    shop.pause()
    shop.system.skip(100_000)
    assert shop.shelf("tea") == (98, 2, 0)
    assert set(extensions(shop)) == {"operator"}
    assert len(extensions(shop)) < 10
    assert shop.resume() == "accepted"
    assert shop.approve() == "accepted"
    assert shop.ending() == ("COMPLETED", None)


def test_an_added_lines_hold_is_kept_like_the_others(shop: Shop) -> None:
    shop.start()
    shop.system.skip(500)
    assert shop.add("O", "mug", 1) == "accepted"
    shop.system.down("payment")
    shop.approve()
    shop.system.skip(1_000)
    assert len(announced(shop)) == len(extensions(shop)) >= 2
    assert (shop.shelf("tea"), shop.shelf("mug")) == ((98, 2, 0), (9, 1, 0))
    shop.system.up("payment")
    shop.system.run()
    assert shop.ending() == ("COMPLETED", None)
    assert (shop.shelf("tea"), shop.shelf("mug")) == ((98, 0, 2), (9, 0, 1))


def test_an_announcement_is_repeated_at_growing_intervals_until_the_orders_service_is_back(shop: Shop) -> None:
    shop.start()
    shop.system.skip(100)
    shop.system.down("orders")
    shop.system.skip(10_000)
    expiries = announced(shop)
    assert len(set(expiries)) == 1
    assert 5 <= len(expiries) <= 8
    assert shop.shelf("tea") == (98, 2, 0)
    shop.system.up("orders")
    shop.system.run()
    assert shop.ending() == ("CANCELLED", "approval-timeout")
    assert shop.shelf("tea") == (100, 0, 0)


def test_an_order_whose_own_timer_is_late_ends_all_the_same(shop: Shop) -> None:
    shop.start()
    shop.system.down("orders")  # its timer stands for an earlier moment than the end of the time for approval
    shop.system.skip(1_000)
    shop.system.up("orders")
    shop.system.run()
    assert shop.ending() in {("FAILED", "reservation-timeout"), ("CANCELLED", "approval-timeout")}
    assert shop.shelf("tea") == (100, 0, 0)


@pytest.mark.parametrize("since_s", [0, 100])
def test_an_approval_in_time_never_loses_to_an_expiry(shop: Shop, since_s: float) -> None:
    shop.start()
    shop.system.skip(since_s)
    shop.system.down("orders")
    command = shop.system.command("O", ApprovePayment(approved_by="boss"))
    shop.system.skip(5_000)
    assert announced(shop)
    shop.system.up("orders")
    shop.system.run()
    assert shop.verdict("O", command) == "accepted"
    assert shop.ending() == ("COMPLETED", None)


def test_the_release_of_a_dead_order_is_waited_for_and_nothing_else_is_asked(shop: Shop) -> None:
    shop.start(method="pm_refund_fails")
    shop.approve()
    shop.system.skip(0.5)
    shop.system.down("payment")
    shop.cancel()
    shop.system.skip(2_000)
    assert announced(shop)
    assert extensions(shop) == []
    assert shop.shelf("tea") == (98, 2, 0)
    shop.system.up("payment")
    shop.system.skip(60)
    assert shop.ending() == ("CANCELLED", "customer-request")
    assert shop.shelf("tea") == (100, 0, 0)


@pytest.mark.parametrize("service", ["inventory", "orders"])
def test_an_expiry_is_announced_once_wherever_a_process_dies(service: str) -> None:
    def journey(crash_after: int | None) -> tuple[Shop, int]:
        shop = Shop(System(partitions=1)).open()
        system = shop.system
        system.command("O", an_order())
        system.command("O", ApprovePayment(approved_by="boss"))
        system.down("payment")
        system.skip(959)
        before = len(system.trace)
        while len(announced(shop)) < 2:
            while system.step():
                if len(system.trace) - before == crash_after:
                    system.crash(service)
            system.skip(1)
        return shop, len(system.trace) - before

    _, steps = journey(None)
    for crash_after in range(1, steps + 1):
        shop, _ = journey(crash_after)
        assert len(announced(shop)) == len(set(announced(shop))) == 2
        shop.system.up("payment")
        shop.system.finish()
        assert shop.ending() == ("COMPLETED", None)
        promises.check(shop.system)
