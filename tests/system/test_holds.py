"""Holds know the order: inventory announces what is over, the order decides, and nothing that may be paid for is given back."""

from __future__ import annotations

from datetime import datetime

import pytest

from contracts.inventory import ReservationExpired
from simulation import System
from simulation.kit import ORDER, Shop, add_line, approve, cancel, pause, resume, start_order


def announced(shop: Shop) -> list[datetime]:
    """The expiries that were announced, in order; a repeat counts again."""
    return [expired.expired_at for expired in shop.heard(ReservationExpired)]


def extensions(shop: Shop) -> list[str]:
    """What the order was waiting for each time it extended a hold."""
    entries = shop.system.history(ORDER)
    return [entry["data"]["waiting_for"] for entry in entries if entry["type"] == "orders.hold-extended"]


def test_an_order_on_its_plain_way_hears_of_no_expiry(shop: Shop) -> None:
    shop.given_order()
    shop.when(approve())
    shop.skip(seconds=3_600)
    shop.expect_outcome("COMPLETED")
    assert announced(shop) == []


def test_the_time_for_approval_is_over_before_the_hold_is(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=5)
    shop.skip(seconds=5.1)
    shop.expect_outcome("CANCELLED", "approval-timeout")
    shop.skip(seconds=3_600)
    assert announced(shop) == []


def test_what_a_dead_order_gives_back_is_the_next_orders_at_once(shop: Shop) -> None:
    shop.given_order("first", items={"last": 1}, approval_timeout_s=60)
    shop.given_order("too-early", items={"last": 1})
    shop.expect_outcome("FAILED", "out-of-stock", order="too-early")
    shop.skip(seconds=61)
    shop.given_order("next", items={"last": 1})
    shop.when(approve(), order="next").expect("accepted")
    shop.expect_outcome("CANCELLED", "approval-timeout", order="first")
    shop.expect_outcome("COMPLETED", order="next")


def test_a_hold_that_was_long_in_coming_is_extended_to_the_end_of_the_time_for_approval(shop: Shop) -> None:
    shop.given_order(until="RESERVING")
    shop.down("inventory")
    shop.skip(seconds=1_200)
    shop.up("inventory")
    shop.skip(seconds=890)
    shop.expect_status("AWAITING_APPROVAL")
    assert len(announced(shop)) == 1
    assert extensions(shop) == ["approval"]
    shop.when(approve()).expect("accepted")
    shop.expect_outcome("COMPLETED")


def test_a_hold_is_kept_while_the_order_is_being_paid(shop: Shop) -> None:
    shop.given_order()
    shop.down("payment")
    shop.when(approve())
    shop.skip(seconds=2_000)
    shop.expect_stock("tea", on_hand=98, held=2)
    expiries = announced(shop)
    assert len(expiries) == len(set(expiries)) == 4  # after 960 s, and every five minutes
    assert set(extensions(shop)) == {"payment"}
    shop.up("payment")
    shop.expect_outcome("COMPLETED")
    shop.expect_stock("tea", on_hand=98, shipped=2)


def test_a_hold_is_kept_while_nobody_knows_whether_the_charge_was_taken(shop: Shop) -> None:
    shop.given_order(approval_timeout_s=60)
    shop.down("gateway")
    shop.when(approve())
    shop.skip(seconds=1_000)
    shop.expect_status("NEEDS_ATTENTION", "payment-outcome")
    shop.expect_stock("tea", on_hand=98, held=2)
    assert set(extensions(shop)) == {"payment-outcome"}
    shop.up("gateway")
    shop.skip(seconds=61)
    shop.expect_outcome("FAILED", "payment-failed")
    shop.expect_stock("tea", on_hand=100)


def test_a_paused_orders_hold_is_kept_with_fewer_words_the_longer_it_lasts(shop: Shop) -> None:
    shop.given_order()
    shop.when(pause())
    shop.skip(seconds=100_000)
    shop.expect_stock("tea", on_hand=98, held=2)
    assert set(extensions(shop)) == {"operator"}
    assert len(extensions(shop)) < 10
    shop.when(resume()).expect("accepted")
    shop.when(approve()).expect("accepted")
    shop.expect_outcome("COMPLETED")


def test_an_added_lines_hold_is_kept_like_the_others(shop: Shop) -> None:
    shop.given_order()
    shop.skip(seconds=500)
    shop.when(add_line()).expect("accepted")
    shop.down("payment")
    shop.when(approve())
    shop.skip(seconds=1_000)
    assert len(announced(shop)) == len(extensions(shop)) >= 2
    shop.expect_stock("tea", on_hand=98, held=2)
    shop.expect_stock("mug", on_hand=9, held=1)
    shop.up("payment")
    shop.expect_outcome("COMPLETED")
    shop.expect_stock("tea", on_hand=98, shipped=2)
    shop.expect_stock("mug", on_hand=9, shipped=1)


def test_an_announcement_is_repeated_at_growing_intervals_until_the_orders_service_is_back(shop: Shop) -> None:
    shop.given_order()
    shop.skip(seconds=100)
    shop.down("orders")
    shop.skip(seconds=10_000)
    expiries = announced(shop)
    assert len(set(expiries)) == 1
    assert 5 <= len(expiries) <= 8
    shop.expect_stock("tea", on_hand=98, held=2)
    shop.up("orders")
    shop.expect_outcome("CANCELLED", "approval-timeout")
    shop.expect_stock("tea", on_hand=100)


def test_an_order_whose_own_timer_is_late_ends_all_the_same(shop: Shop) -> None:
    shop.given_order()
    shop.down("orders")  # its timer stands for an earlier moment than the end of the time for approval
    shop.skip(seconds=1_000)
    shop.up("orders")
    ending = shop.order()["status"], shop.order()["reason"]
    assert ending in {("FAILED", "reservation-timeout"), ("CANCELLED", "approval-timeout")}
    shop.expect_stock("tea", on_hand=100)


@pytest.mark.parametrize("since_s", [0, 100])
def test_an_approval_in_time_never_loses_to_an_expiry(shop: Shop, since_s: float) -> None:
    shop.given_order()
    shop.skip(seconds=since_s)
    shop.down("orders")
    approval = shop.when(approve())
    shop.skip(seconds=5_000)
    assert announced(shop)
    shop.up("orders")
    approval.expect("accepted")
    shop.expect_outcome("COMPLETED")


def test_the_release_of_a_dead_order_is_waited_for_and_nothing_else_is_asked(shop: Shop) -> None:
    shop.given_order(payment_method="pm_refund_fails")
    shop.when(approve())
    shop.skip(seconds=0.5)
    shop.down("payment")
    shop.when(cancel())
    shop.skip(seconds=2_000)
    assert announced(shop)
    assert extensions(shop) == []
    shop.expect_stock("tea", on_hand=98, held=2)
    shop.up("payment")
    shop.skip(seconds=60)
    shop.expect_outcome("CANCELLED", "customer-request")
    shop.expect_stock("tea", on_hand=100)


@pytest.mark.parametrize("service", ["inventory", "orders"])
def test_an_expiry_is_announced_once_wherever_a_process_dies(service: str) -> None:
    def journey(crash_after: int | None) -> tuple[Shop, int]:
        shop = Shop(System(partitions=1))
        system = shop.system
        shop.send(start_order())
        shop.send(approve())
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
        shop.close()
        shop.expect_outcome("COMPLETED")
