"""Payment dies at the worst moments and meets a gateway that contradicts itself: in memory and on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from payment_backends import backend
from payment_bench import CHARGE, Process, Shop, charge, refund, settled, shop, void

from messaging.errors import FenceLostError
from services.payment.state import End, Outcome

__all__ = ["backend", "shop"]


# --- crashes ---------------------------------------------------------------------------------------------------------


async def test_a_call_is_made_only_after_its_intent_is_committed(shop: Shop) -> None:
    shop.send(charge())
    await shop.process.read()
    assert await shop.backend.pending() == 1
    assert await shop.moved() == []
    assert shop.heard() == []
    assert await shop.backend.rows() == {CHARGE: ("calling", 0, 0)}


@pytest.mark.parametrize("method", ["pm_card_visa", "pm_card_timeout"])
@pytest.mark.parametrize("called", [False, True])
async def test_a_crash_around_the_call_charges_once(shop: Shop, method: str, called: bool) -> None:
    shop.send(charge(method))
    await shop.process.read()
    if called:
        await shop.process.call_next()
    await shop.crash()
    told = await shop.ask()
    if told == ["charge-unknown 1"]:
        told = await shop.ask(charge(method, attempt=2))
    assert told[0].startswith("charge-captured")
    assert await shop.moved() == [("charge", 1_000)]
    await settled(shop, "captured", 1_000, 0)


@pytest.mark.parametrize("called", [0, 1, 2])
async def test_a_crash_around_a_void_in_flight_ends_without_money_or_with_a_capture_that_was_told(
    shop: Shop, called: int
) -> None:
    shop.send(charge("pm_card_late"), void())
    await shop.process.read()
    for _ in range(called):
        await shop.process.call_next()
    await shop.crash()
    told = await shop.ask()
    shop.clock.pass_time(60)
    assert "charge-voided 1" in told
    assert await shop.moved() == []
    await settled(shop, "voided", 0, 0)


async def test_a_crash_after_the_refund_gives_back_once(shop: Shop) -> None:
    await shop.ask(charge())
    shop.send(refund())
    await shop.process.read()
    await shop.process.call_next()
    await shop.crash()
    assert await shop.ask() == ["refunded 1"]
    assert await shop.moved() == [("charge", 1_000), ("refund", 1_000)]
    await settled(shop, "captured", 1_000, 1_000)


async def test_a_process_that_lost_the_fence_changes_nothing(shop: Shop) -> None:
    rival = Process(shop.backend, shop.broker, 0.0)
    await rival.start()
    shop.send(charge())
    with pytest.raises(FenceLostError):
        await shop.process.run()
    assert await shop.backend.rows() == {}
    await rival.run()
    assert shop.heard() == ["charge-captured 1"]
    await rival.close()


# --- late success ----------------------------------------------------------------------------------------------------


async def test_money_that_turns_up_after_voided_was_told_is_given_back_by_a_timer_until_it_works(shop: Shop) -> None:
    """The gateway's cancel and its charge contradict each other here: the worst that a gateway can do."""
    shop.send(charge("pm_refund_fails"))
    await shop.process.read()
    await shop.process.call_next()
    late = {p: list(outcomes) for p, outcomes in shop.process.outcomes.items()}
    shop.process.outcomes = {p: [] for p in late}
    shop.process.performer = _Voids(shop.process.performer)  # type: ignore[assignment]
    assert await shop.ask(void()) == ["charge-voided 1"]
    assert shop.process.handler._kept, "the charge is still under way"
    shop.process.outcomes = late
    assert await shop.ask() == ["charge-voided 1"]
    waited = []
    while await shop.backend.rows() == {CHARGE: ("returning", 1_000, 0)}:
        due = shop.process.workers[shop.partition()].next_due
        assert due is not None
        waited.append((due - shop.clock.now()).total_seconds())
        shop.clock.pass_time(waited[-1])
        assert await shop.ask() == []
        if len(waited) == 2:
            await shop.crash()
    assert waited == [1, 2, 4]
    assert await shop.moved() == [("charge", 1_000), ("refund", 1_000)]
    await settled(shop, "returned", 1_000, 1_000)


class _Voids:
    """A performer whose void always works, whatever the gateway says."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def read(self, kind: str, request: bytes) -> Any:
        return self._real.read(kind, request)

    async def perform(self, kind: str, request: Any, resumed: bool) -> Any:
        return Outcome(End.VOIDED) if kind == "void" else await self._real.perform(kind, request, resumed)
