"""What the gateway promises on every ledger, as checks that a test runs on each of them. Ids begin with the bench's prefix."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from services.payment.gateway import domain
from services.payment.gateway.ledger import LedgerStore
from services.payment.gateway.port import (
    CancelOutcome,
    ChargeOutcome,
    ChargeRequest,
    GatewayTimeout,
    RefundOutcome,
    RefundRequest,
)
from services.payment.gateway.simulated import SimulatedGateway

A = TypeVar("A")
DEADLINE_S: Final = 2.0


@dataclass(slots=True)
class ManualClock:
    """Time that passes only while somebody sleeps, or when it is told to."""

    time: datetime = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Bench:
    """A ledger, and gateways on it; every call of `gateway()` is a restarted process."""

    ledger: LedgerStore
    prefix: str
    clock: ManualClock = field(default_factory=ManualClock)

    def gateway(self, failure_rate: float = 0.0) -> SimulatedGateway:
        return SimulatedGateway(self.ledger, self.clock, failure_rate)

    def charge(
        self, method: str = domain.Method.VISA, amount_minor: int = 1_000, currency: str = "GBP"
    ) -> ChargeRequest:
        return ChargeRequest(f"{self.prefix}-charge", f"{self.prefix}-order", amount_minor, currency, str(method))

    def refund(self, amount_minor: int = 1_000, name: str = "refund", currency: str = "GBP") -> RefundRequest:
        ids = (f"{self.prefix}-{name}", f"{self.prefix}-charge", f"{self.prefix}-order")
        return RefundRequest(*ids, amount_minor, currency)

    async def moved(self) -> list[tuple[str, int, float]]:
        """The order's entries: kind, amount, and seconds since the beginning."""
        entries = await self.gateway().entries(f"{self.prefix}-order")
        start = ManualClock().time
        return [(entry.kind.value, entry.amount_minor, (entry.at - start).total_seconds()) for entry in entries]


async def unanswered(call: Awaitable[A]) -> None:
    """The call must run into its deadline."""
    try:
        answer = await call
    except GatewayTimeout:
        return
    raise AssertionError(f"answered {answer}")


async def a_charge_is_captured_once_however_often_it_is_asked_for(bench: Bench) -> None:
    for _ in range(3):
        answer = await bench.gateway().charge(bench.charge(), DEADLINE_S)
        assert answer.outcome is ChargeOutcome.CAPTURED, answer
        bench.clock.pass_time(1)
    assert (await bench.gateway().look_up(bench.charge().charge_id, DEADLINE_S)).outcome is ChargeOutcome.CAPTURED
    assert await bench.moved() == [("charge", 1_000, 0.0)]


async def the_same_key_with_other_content_is_a_conflict(bench: Bench) -> None:
    await bench.gateway().charge(bench.charge(), DEADLINE_S)
    for other in (bench.charge(amount_minor=1_001), bench.charge(currency="EUR"), bench.charge(domain.Method.LATE)):
        assert (await bench.gateway().charge(other, DEADLINE_S)).outcome is ChargeOutcome.CONFLICT
    assert await bench.moved() == [("charge", 1_000, 0.0)]


async def a_transient_failure_is_not_remembered_under_the_key(bench: Bench) -> None:
    failed = await bench.gateway(1.0).charge(bench.charge(amount_minor=900), DEADLINE_S)
    assert failed.outcome is ChargeOutcome.FAILED
    assert failed.message
    assert (await bench.gateway().look_up(bench.charge().charge_id, DEADLINE_S)).outcome is ChargeOutcome.NOT_FOUND
    assert await bench.moved() == []
    assert (await bench.gateway().charge(bench.charge(), DEADLINE_S)).outcome is ChargeOutcome.CAPTURED
    assert (await bench.gateway(1.0).charge(bench.charge(), DEADLINE_S)).outcome is ChargeOutcome.CAPTURED


async def the_number_of_the_call_outlives_a_restart(bench: Bench) -> None:
    request = bench.charge()
    rate = 0.9
    calls = 0
    while (await bench.gateway(rate).charge(request, DEADLINE_S)).outcome is ChargeOutcome.FAILED:
        calls += 1
        assert calls < 500
    assert all(domain.fails_transiently(request.charge_id, call, rate) for call in range(1, calls + 1))
    assert not domain.fails_transiently(request.charge_id, calls + 1, rate)


async def a_failed_charge_can_be_cancelled(bench: Bench) -> None:
    await bench.gateway(1.0).charge(bench.charge(), DEADLINE_S)
    assert (await bench.gateway().cancel(bench.charge().charge_id, DEADLINE_S)).outcome is CancelOutcome.CANCELLED
    assert (await bench.gateway().charge(bench.charge(), DEADLINE_S)).outcome is ChargeOutcome.CANCELLED


async def a_decline_is_for_good(bench: Bench) -> None:
    for _ in range(2):
        answer = await bench.gateway().charge(bench.charge(domain.Method.DECLINED), DEADLINE_S)
        assert answer.outcome is ChargeOutcome.DECLINED
        assert answer.message
    assert (await bench.gateway().charge(bench.charge(), DEADLINE_S)).outcome is ChargeOutcome.CONFLICT
    assert (await bench.gateway().look_up(bench.charge().charge_id, DEADLINE_S)).outcome is ChargeOutcome.DECLINED
    assert (await bench.gateway().cancel(bench.charge().charge_id, DEADLINE_S)).outcome is CancelOutcome.DECLINED
    assert (await bench.gateway().refund(bench.refund(), DEADLINE_S)).outcome is RefundOutcome.REFUSED
    assert await bench.moved() == []


async def an_unknown_method_is_declined(bench: Bench) -> None:
    answer = await bench.gateway(1.0).charge(bench.charge("pm_shells"), DEADLINE_S)
    assert answer.outcome is ChargeOutcome.INVALID
    assert "not known" in answer.message


async def the_answer_of_a_timeout_charge_is_lost_but_the_money_is_taken(bench: Bench) -> None:
    request = bench.charge(domain.Method.TIMEOUT)
    await unanswered(bench.gateway().charge(request, DEADLINE_S))
    assert bench.clock.now() == ManualClock().time + timedelta(seconds=DEADLINE_S)
    assert (await bench.gateway().look_up(request.charge_id, DEADLINE_S)).outcome is ChargeOutcome.CAPTURED
    assert (await bench.gateway().charge(request, DEADLINE_S)).outcome is ChargeOutcome.CAPTURED
    assert (await bench.gateway().cancel(request.charge_id, DEADLINE_S)).outcome is CancelOutcome.CAPTURED
    assert await bench.moved() == [("charge", 1_000, 0.0)]


async def a_late_charge_lands_after_4_s_by_itself(bench: Bench) -> None:
    request = bench.charge(domain.Method.LATE)
    await unanswered(bench.gateway().charge(request, DEADLINE_S))
    await unanswered(bench.gateway().charge(request, 1.9))
    assert (await bench.gateway().look_up(request.charge_id, DEADLINE_S)).outcome is ChargeOutcome.PENDING
    assert (await bench.gateway().refund(bench.refund(), DEADLINE_S)).outcome is RefundOutcome.FAILED
    assert await bench.moved() == []
    bench.clock.pass_time(0.1)
    assert await bench.moved() == [("charge", 1_000, 4.0)]
    assert (await bench.gateway().charge(request, DEADLINE_S)).outcome is ChargeOutcome.CAPTURED
    assert (await bench.gateway().cancel(request.charge_id, DEADLINE_S)).outcome is CancelOutcome.CAPTURED
    assert (await bench.gateway().refund(bench.refund(), DEADLINE_S)).outcome is RefundOutcome.REFUNDED
    assert await bench.moved() == [("charge", 1_000, 4.0), ("refund", 1_000, 4.0)]


async def a_late_charge_that_was_cancelled_in_time_never_lands(bench: Bench) -> None:
    request = bench.charge(domain.Method.LATE)
    await unanswered(bench.gateway().charge(request, DEADLINE_S))
    for _ in range(2):
        assert (await bench.gateway().cancel(request.charge_id, DEADLINE_S)).outcome is CancelOutcome.CANCELLED
        bench.clock.pass_time(10)
    assert (await bench.gateway().look_up(request.charge_id, DEADLINE_S)).outcome is ChargeOutcome.CANCELLED
    assert (await bench.gateway().charge(request, DEADLINE_S)).outcome is ChargeOutcome.CANCELLED
    assert (await bench.gateway().refund(bench.refund(), DEADLINE_S)).outcome is RefundOutcome.REFUSED
    assert await bench.moved() == []


async def what_was_told_captured_is_never_cancelled_even_by_a_clock_that_is_behind(bench: Bench) -> None:
    request = bench.charge(domain.Method.LATE)
    await unanswered(bench.gateway().charge(request, DEADLINE_S))
    bench.clock.pass_time(2)
    assert (await bench.gateway().look_up(request.charge_id, DEADLINE_S)).outcome is ChargeOutcome.CAPTURED
    bench.clock.pass_time(-3)
    assert (await bench.gateway().cancel(request.charge_id, DEADLINE_S)).outcome is CancelOutcome.CAPTURED


async def a_cancel_that_comes_first_refuses_the_charge_for_ever(bench: Bench) -> None:
    assert (await bench.gateway().look_up(bench.charge().charge_id, DEADLINE_S)).outcome is ChargeOutcome.NOT_FOUND
    assert (await bench.gateway().cancel(bench.charge().charge_id, DEADLINE_S)).outcome is CancelOutcome.CANCELLED
    for method in domain.Method:
        assert (await bench.gateway().charge(bench.charge(method), DEADLINE_S)).outcome is ChargeOutcome.CANCELLED
    assert (await bench.gateway().look_up(bench.charge().charge_id, DEADLINE_S)).outcome is ChargeOutcome.CANCELLED
    assert (await bench.gateway().refund(bench.refund(), DEADLINE_S)).outcome is RefundOutcome.REFUSED


async def a_slow_charge_takes_1_s_and_cannot_be_cancelled_meanwhile(bench: Bench) -> None:
    request = bench.charge(domain.Method.REFUND_FAILS)
    await unanswered(bench.gateway().charge(request, 0.4))
    assert (await bench.gateway().cancel(request.charge_id, DEADLINE_S)).outcome is CancelOutcome.UNDER_WAY
    assert (await bench.gateway().look_up(request.charge_id, DEADLINE_S)).outcome is ChargeOutcome.PENDING
    assert (await bench.gateway().charge(request, DEADLINE_S)).outcome is ChargeOutcome.CAPTURED
    assert bench.clock.now() == ManualClock().time + timedelta(seconds=1)
    assert (await bench.gateway().cancel(request.charge_id, DEADLINE_S)).outcome is CancelOutcome.CAPTURED
    assert await bench.moved() == [("charge", 1_000, 1.0)]


async def its_refund_fails_three_times_then_works_once(bench: Bench) -> None:
    await bench.gateway().charge(bench.charge(domain.Method.REFUND_FAILS), DEADLINE_S)
    outcomes = [(await bench.gateway().refund(bench.refund(), DEADLINE_S)).outcome for _ in range(6)]
    assert outcomes == [RefundOutcome.FAILED] * 3 + [RefundOutcome.REFUNDED] * 3
    assert await bench.moved() == [("charge", 1_000, 1.0), ("refund", 1_000, 1.0)]


async def a_part_that_was_given_back_is_told_again_and_not_given_again(bench: Bench) -> None:
    await bench.gateway().charge(bench.charge(), DEADLINE_S)
    for _ in range(3):
        assert (await bench.gateway().refund(bench.refund(300), DEADLINE_S)).outcome is RefundOutcome.REFUNDED
    assert (await bench.gateway().refund(bench.refund(700, "rest"), DEADLINE_S)).outcome is RefundOutcome.REFUNDED
    assert [entry[:2] for entry in await bench.moved()] == [("charge", 1_000), ("refund", 300), ("refund", 700)]


async def refunds_never_exceed_what_was_captured(bench: Bench) -> None:
    gateway = bench.gateway()
    await gateway.charge(bench.charge(), DEADLINE_S)
    asked = [("a", 1_001), ("b", 600), ("c", 401), ("d", 400), ("e", 1)]
    outcomes = [(await gateway.refund(bench.refund(amount, name), DEADLINE_S)).outcome for name, amount in asked]
    refused, refunded = RefundOutcome.REFUSED, RefundOutcome.REFUNDED
    assert outcomes == [refused, refunded, refused, refunded, refused]
    assert [entry[:2] for entry in await bench.moved()] == [("charge", 1_000), ("refund", 600), ("refund", 400)]


async def a_refund_in_another_currency_is_refused_and_with_other_content_a_conflict(bench: Bench) -> None:
    gateway = bench.gateway()
    await gateway.charge(bench.charge(), DEADLINE_S)
    assert (await gateway.refund(bench.refund(currency="EUR"), DEADLINE_S)).outcome is RefundOutcome.REFUSED
    assert (await gateway.refund(bench.refund(300), DEADLINE_S)).outcome is RefundOutcome.REFUNDED
    assert (await gateway.refund(bench.refund(301), DEADLINE_S)).outcome is RefundOutcome.CONFLICT
    twin = Bench(bench.ledger, f"{bench.prefix}-twin", bench.clock)
    await gateway.charge(twin.charge(), DEADLINE_S)
    stolen = RefundRequest(bench.refund().refund_id, twin.charge().charge_id, twin.charge().order_id, 300, "GBP")
    assert (await gateway.refund(stolen, DEADLINE_S)).outcome is RefundOutcome.CONFLICT


async def entries_of_all_orders_come_oldest_first(bench: Bench) -> None:
    twin = Bench(bench.ledger, f"{bench.prefix}-twin", bench.clock)
    for each in (bench, twin):
        await each.gateway().charge(each.charge(), DEADLINE_S)
        bench.clock.pass_time(1)
    await bench.gateway().refund(bench.refund(), DEADLINE_S)
    entries = [entry for entry in await bench.gateway().entries() if entry.charge_id.startswith(bench.prefix)]
    assert [entry.as_json() for entry in entries] == [
        {
            "kind": kind,
            "charge_id": of.charge().charge_id,
            "amount_minor": 1_000,
            "currency": "GBP",
            "at": f"2030-01-01T00:00:0{s}Z",
        }
        for kind, of, s in (("charge", bench, 0), ("charge", twin, 1), ("refund", bench, 2))
    ]


CHECKS: Final[dict[str, Callable[[Bench], Awaitable[None]]]] = {
    name: check
    for name, check in inspect.getmembers(sys.modules[__name__], inspect.iscoroutinefunction)
    if list(inspect.signature(check).parameters) == ["bench"]
}
