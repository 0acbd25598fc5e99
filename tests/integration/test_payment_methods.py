"""Every payment method, from the command to the money that moved: in memory and on PostgreSQL."""

from __future__ import annotations

import pytest
from payment_backends import Backend, backend
from payment_bench import Shop, charge, refund, settled, shop, void

__all__ = ["backend", "shop"]


async def test_visa_is_charged_once_and_refunded_once(shop: Shop) -> None:
    assert await shop.ask(charge()) == ["charge-captured 1"]
    assert await shop.ask(charge(), charge(), void()) == ["charge-captured 1"] * 3
    await settled(shop, "captured", 1_000, 0)
    assert await shop.ask(refund()) == ["refunded 1"]
    assert await shop.ask(refund(), refund(attempt=2)) == ["refunded 1", "refunded 2"]
    await settled(shop, "captured", 1_000, 1_000)
    assert await shop.moved() == [("charge", 1_000), ("refund", 1_000)]


async def test_visa_that_fails_is_charged_by_a_later_attempt(backend: Backend) -> None:
    shop = Shop(backend, failure_rate=1.0)
    await shop.start()
    assert await shop.ask(charge(attempt=1)) == ["charge-failed 1"]
    assert await shop.ask(charge(attempt=1)) == ["charge-failed 1"]
    assert await shop.ask(charge(attempt=2)) == ["charge-failed 2"]
    await settled(shop, "failed", 0, 0)
    shop.failure_rate = 0.0
    await shop.crash()
    assert await shop.ask(charge(attempt=3)) == ["charge-captured 3"]
    await settled(shop, "captured", 1_000, 0)
    await shop.stop()


async def test_a_failed_charge_can_be_voided_and_is_refused_then(backend: Backend) -> None:
    shop = Shop(backend, failure_rate=1.0)
    await shop.start()
    assert await shop.ask(charge()) == ["charge-failed 1"]
    assert await shop.ask(void()) == ["charge-voided 1"]
    assert await shop.ask(charge(attempt=2)) == ["charge-voided 2"]
    await settled(shop, "voided", 0, 0)
    await shop.stop()


@pytest.mark.parametrize("method", ["pm_card_declined", "pm_shells"])
async def test_declined_and_unknown_methods_are_declined_for_good(shop: Shop, method: str) -> None:
    assert await shop.ask(charge(method)) == ["charge-declined 1"]
    assert await shop.ask(charge(method, attempt=2)) == ["charge-declined 2"]
    assert await shop.ask(void()) == ["charge-voided 1"]
    assert await shop.moved() == []
    await settled(shop, "declined", 0, 0)


async def test_timeout_is_charged_once_and_found_by_asking(shop: Shop) -> None:
    assert await shop.ask(charge("pm_card_timeout")) == ["charge-unknown 1"]
    await settled(shop, "unknown", 0, 0)
    assert await shop.ask(charge("pm_card_timeout", attempt=2)) == ["charge-captured 2"]
    assert await shop.moved() == [("charge", 1_000)]
    await settled(shop, "captured", 1_000, 0)


async def test_timeout_that_is_voided_turns_out_to_be_captured(shop: Shop) -> None:
    assert await shop.ask(charge("pm_card_timeout")) == ["charge-unknown 1"]
    assert await shop.ask(void()) == ["charge-captured 1"]
    assert await shop.ask(refund()) == ["refunded 1"]
    await settled(shop, "captured", 1_000, 1_000)


async def test_late_is_unknown_until_it_lands(shop: Shop) -> None:
    assert await shop.ask(charge("pm_card_late")) == ["charge-unknown 1"]
    assert await shop.ask(charge("pm_card_late", attempt=2)) == ["charge-unknown 2"]
    shop.clock.pass_time(2.1)
    assert await shop.ask(charge("pm_card_late", attempt=3)) == ["charge-captured 3"]
    assert await shop.moved() == [("charge", 1_000)]
    await settled(shop, "captured", 1_000, 0)


async def test_late_that_is_voided_in_time_never_lands(shop: Shop) -> None:
    assert await shop.ask(charge("pm_card_late")) == ["charge-unknown 1"]
    assert await shop.ask(void()) == ["charge-voided 1"]
    shop.clock.pass_time(60)
    assert await shop.ask(charge("pm_card_late", attempt=2)) == ["charge-voided 2"]
    assert await shop.moved() == []
    await settled(shop, "voided", 0, 0)


async def test_late_and_its_void_in_flight_together_agree(shop: Shop) -> None:
    assert sorted(await shop.ask(charge("pm_card_late"), void())) == ["charge-unknown 1", "charge-voided 1"]
    shop.clock.pass_time(60)
    assert await shop.ask(void(2)) == ["charge-voided 2"]
    assert await shop.moved() == []
    await settled(shop, "voided", 0, 0)


async def test_refund_fails_takes_four_attempts_under_one_id(shop: Shop) -> None:
    assert await shop.ask(charge("pm_refund_fails")) == ["charge-captured 1"]
    for attempt in (1, 2, 3):
        assert await shop.ask(refund(attempt)) == [f"refund-failed {attempt}"]
        assert await shop.ask(refund(attempt)) == [f"refund-failed {attempt}"]
    assert await shop.ask(refund(4)) == ["refunded 4"]
    assert await shop.moved() == [("charge", 1_000), ("refund", 1_000)]
    await settled(shop, "captured", 1_000, 1_000)


async def test_a_void_that_comes_before_its_charge_leaves_a_tombstone(shop: Shop) -> None:
    assert await shop.ask(void()) == ["charge-voided 1"]
    await shop.crash()
    assert await shop.ask(charge()) == ["charge-voided 1"]
    assert await shop.moved() == []
    await settled(shop, "voided", 0, 0)
