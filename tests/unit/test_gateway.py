"""The simulated gateway on its ledger in memory."""

from __future__ import annotations

import heapq
import types
from collections.abc import Coroutine, Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.payment.gateway import domain, suite
from services.payment.gateway.ledger import MemoryLedger
from services.payment.gateway.port import CancelOutcome, ChargeOutcome, ChargeRequest, GatewayTimeout, RefundRequest
from services.payment.gateway.simulated import SimulatedGateway, SystemClock
from services.payment.gateway.suite import CHECKS, DEADLINE_S, Bench

START = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("check", CHECKS)
async def test_in_memory(check: str) -> None:
    await CHECKS[check](Bench(MemoryLedger(), check))


def test_the_suite_is_not_empty() -> None:
    assert len(CHECKS) > 15
    assert set(CHECKS) <= set(dir(suite))


class SteppedClock:
    """A scheduler without an event loop: coroutines are stepped by hand, in the order of their wake-up times."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    @types.coroutine
    def sleep(self, seconds: float) -> Generator[float, None, None]:
        yield seconds

    def run(self, *tasks: tuple[float, Coroutine[Any, Any, Any]]) -> list[Any]:
        """Start each coroutine after its delay, run all to the end, return their results in order."""
        results: list[Any] = [None] * len(tasks)
        due = [(START + timedelta(seconds=delay), number, task) for number, (delay, task) in enumerate(tasks)]
        heapq.heapify(due)
        while due:
            self.time, number, task = heapq.heappop(due)
            try:
                seconds = task.send(None)
            except StopIteration as end:
                results[number] = end.value
            except GatewayTimeout as error:
                results[number] = error
            else:
                heapq.heappush(due, (self.time + timedelta(seconds=seconds), number, task))
        return results


def charge_of(method: domain.Method) -> ChargeRequest:
    return ChargeRequest("charge", "order", 100, "GBP", method.value)


def test_it_runs_without_an_event_loop() -> None:
    clock = SteppedClock()
    gateway = SimulatedGateway(MemoryLedger(), clock)
    slow, early, late = clock.run(
        (0.0, gateway.charge(charge_of(domain.Method.REFUND_FAILS), DEADLINE_S)),
        (0.5, gateway.cancel("charge", DEADLINE_S)),
        (1.5, gateway.cancel("charge", DEADLINE_S)),
    )
    assert slow.outcome is ChargeOutcome.CAPTURED
    assert (early.outcome, late.outcome) == (CancelOutcome.UNDER_WAY, CancelOutcome.CAPTURED)


def test_a_cancel_during_a_late_call_wins_and_the_call_is_never_answered() -> None:
    clock = SteppedClock()
    gateway = SimulatedGateway(MemoryLedger(), clock)
    charge, cancel, look_up = clock.run(
        (0.0, gateway.charge(charge_of(domain.Method.LATE), 60.0)),
        (3.9, gateway.cancel("charge", DEADLINE_S)),
        (5.0, gateway.look_up("charge", DEADLINE_S)),
    )
    assert isinstance(charge, GatewayTimeout)
    assert charge.key == "charge"
    assert (cancel.outcome, look_up.outcome) == (CancelOutcome.CANCELLED, ChargeOutcome.CANCELLED)


def test_a_share_of_the_calls_fails_and_the_same_ones_in_every_run() -> None:
    failing = [number for number in range(10_000) if domain.fails_transiently(f"charge-{number}", 1, 0.2)]
    assert 1_800 < len(failing) < 2_200
    assert failing == [number for number in range(10_000) if domain.fails_transiently(f"charge-{number}", 1, 0.2)]
    assert not any(domain.fails_transiently(f"charge-{number}", 1, 0.0) for number in range(100))
    assert all(domain.fails_transiently(f"charge-{number}", 1, 1.0) for number in range(100))


@pytest.mark.parametrize("method", [method for method in domain.Method if method is not domain.Method.VISA])
def test_only_visa_fails_transiently(method: domain.Method) -> None:
    row = domain.charge(None, charge_of(method), START, fails=True).charge
    assert row is not None
    assert row.state is not domain.ChargeState.ATTEMPTED


@pytest.mark.parametrize("amount", [0, -1, 2**63])
def test_an_impossible_amount_is_refused_at_the_door(amount: int) -> None:
    with pytest.raises(ValueError, match="amount_minor"):
        ChargeRequest("charge", "order", amount, "GBP", "pm_card_visa")
    with pytest.raises(ValueError, match="amount_minor"):
        RefundRequest("refund", "charge", "order", amount, "GBP")


@pytest.mark.parametrize("key", ["", "a\x00b", "\ud800", "x" * 1_001])
async def test_a_key_that_no_ledger_can_keep_is_refused_at_the_door(key: str) -> None:
    gateway = SimulatedGateway(MemoryLedger(), SystemClock())
    with pytest.raises(ValueError):
        ChargeRequest(key, "order", 1, "GBP", "pm_card_visa")
    with pytest.raises(ValueError):
        await gateway.look_up(key, DEADLINE_S)
    with pytest.raises(ValueError):
        await gateway.cancel(key, DEADLINE_S)


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_an_impossible_failure_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="PAYMENT_FAILURE_RATE"):
        SimulatedGateway(MemoryLedger(), SystemClock(), rate)
