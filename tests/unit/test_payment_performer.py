"""The calls of the gateway: what is asked, in which order, and what its answers mean."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.payment.gateway.domain import LedgerCall, Method
from services.payment.gateway.ledger import MemoryLedger
from services.payment.gateway.port import CancelOutcome, ChargeOutcome, GatewayUnavailable, RefundOutcome
from services.payment.gateway.simulated import SimulatedGateway, SystemClock
from services.payment.gateway.suite import ManualClock
from services.payment.performer import CANCEL_ENDS, CHARGE_ENDS, MAX_MESSAGE, REFUND_ENDS, GatewayPerformer
from services.payment.state import ChargeCall, End, Outcome, RefundCall, VoidCall

CHARGE = "charge-1"


class Diary(MemoryLedger):
    """A ledger that remembers which operations it saw; it can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.away = False

    async def apply(self, call: LedgerCall[Any], timeout_s: float) -> Any:
        self.seen.append(call.operation)
        if self.away:
            raise GatewayUnavailable(call.operation, call.charge_id, "x" * 10_000)
        return await super().apply(call, timeout_s)


class Desk:
    def __init__(self, failure_rate: float = 0.0) -> None:
        self.ledger = Diary()
        self.clock = ManualClock()
        self.performer = GatewayPerformer(SimulatedGateway(self.ledger, self.clock, failure_rate))

    async def charge(self, method: str = "pm_card_visa", ask_first: bool = False, resumed: bool = False) -> End:
        return (await self.charged(method, ask_first, resumed)).end

    async def charged(self, method: str, ask_first: bool = False, resumed: bool = False) -> Outcome:
        request = ChargeCall(
            order_id="o",
            charge_id=CHARGE,
            attempt=1,
            amount_minor=100,
            currency="GBP",
            payment_method=method,
            ask_first=ask_first,
        )
        outcome = await self.performer.perform("charge", request, resumed)
        assert len(outcome.message) <= MAX_MESSAGE
        assert (outcome.message == "") == (outcome.failure is None) == (outcome.end is End.CAPTURED)
        return outcome

    async def void(self) -> End:
        return (await self.performer.perform("void", VoidCall(order_id="o", charge_id=CHARGE, attempt=1), False)).end

    async def refund(self, amount: int = 100) -> End:
        request = RefundCall(
            order_id="o", charge_id=CHARGE, attempt=1, refund_id="r", amount_minor=amount, currency="GBP"
        )
        return (await self.performer.perform("refund", request, False)).end


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_every_answer_of_the_gateway_has_its_meaning() -> None:
    assert (set(CHARGE_ENDS), set(CANCEL_ENDS), set(REFUND_ENDS)) == (
        set(ChargeOutcome),
        set(CancelOutcome),
        set(RefundOutcome),
    )


async def test_a_first_charge_is_one_call(desk: Desk) -> None:
    assert await desk.charge() is End.CAPTURED
    assert desk.ledger.seen == ["charge"]


@pytest.mark.parametrize(("ask_first", "resumed"), [(True, False), (False, True), (True, True)])
async def test_what_may_have_been_done_is_looked_up_and_charged_only_if_the_gateway_knows_nothing(
    desk: Desk, ask_first: bool, resumed: bool
) -> None:
    assert await desk.charge(ask_first=ask_first, resumed=resumed) is End.CAPTURED
    assert desk.ledger.seen == ["look_up", "charge"]
    assert await desk.charge(ask_first=ask_first, resumed=resumed) is End.CAPTURED
    assert desk.ledger.seen == ["look_up", "charge", "look_up"]


async def test_no_answer_in_time_is_unknown_and_so_is_a_charge_that_is_pending(desk: Desk) -> None:
    assert await desk.charge(Method.LATE) is End.UNKNOWN
    assert await desk.charge(Method.LATE, ask_first=True) is End.UNKNOWN
    assert desk.ledger.seen == ["charge", "look_up"]
    desk.clock.pass_time(2)
    assert await desk.charge(Method.LATE, ask_first=True) is End.CAPTURED


async def test_a_decline_a_failure_and_a_cancelled_charge_are_told_apart(desk: Desk) -> None:
    assert await Desk().charge(Method.DECLINED) is End.DECLINED
    assert await Desk().charge("pm_shells") is End.DECLINED
    assert await Desk(failure_rate=1.0).charge() is End.FAILED
    assert await desk.void() is End.VOIDED
    assert await desk.charge() is End.VOIDED
    assert await desk.charge(resumed=True) is End.VOIDED


@pytest.mark.parametrize(
    ("method", "failure_rate", "kind"),
    [
        (Method.VISA, 0.0, None),
        (Method.VISA, 1.0, "transient"),
        (Method.DECLINED, 0.0, "permanent"),
        ("pm_shells", 0.0, "validation"),
        (Method.TIMEOUT, 0.0, "unknown"),
    ],
)
async def test_the_gateways_outcome_says_of_which_kind_a_failure_is(
    method: str, failure_rate: float, kind: str | None
) -> None:
    assert (await Desk(failure_rate).charged(method)).failure == kind


async def test_a_void_tells_a_capture_a_decline_and_a_charge_that_is_under_way(desk: Desk) -> None:
    await desk.charge()
    assert await desk.void() is End.CAPTURED
    declined = Desk()
    await declined.charge(Method.DECLINED)
    assert await declined.void() is End.DECLINED
    slow = Desk()
    slow.performer._timeout_s = 0.5
    assert await slow.charge(Method.REFUND_FAILS) is End.UNKNOWN
    assert await slow.void() is End.FAILED


async def test_refunds_work_fail_or_are_refused(desk: Desk) -> None:
    await desk.charge()
    assert await desk.refund(101) is End.REFUSED
    assert await desk.refund() is End.REFUNDED
    assert await desk.refund(99) is End.REFUSED
    failing = Desk()
    await failing.charge(Method.REFUND_FAILS)
    assert await failing.refund() is End.FAILED


async def test_a_gateway_that_is_away_is_an_outcome(desk: Desk) -> None:
    desk.ledger.away = True
    assert await desk.charge() is End.UNKNOWN
    assert await desk.charge(resumed=True) is End.UNKNOWN
    assert await desk.void() is End.FAILED
    assert await desk.refund() is End.FAILED
    assert desk.ledger.seen == ["charge", "look_up", "cancel", "refund"]


def test_a_request_reads_back_from_its_stored_form(desk: Desk) -> None:
    for kind, request in {
        "void": VoidCall(order_id="o", charge_id=CHARGE, attempt=1),
        "refund": RefundCall(
            order_id="o", charge_id=CHARGE, attempt=2, refund_id="r", amount_minor=10**15, currency="GBP"
        ),
    }.items():
        assert desk.performer.read(kind, request.model_dump_json().encode()) == request


async def test_no_more_calls_than_allowed_are_under_way_at_once() -> None:
    class Gate(MemoryLedger):
        def __init__(self) -> None:
            super().__init__()
            self.open = asyncio.Event()
            self.full = asyncio.Event()
            self.inside = self.most = 0

        async def apply(self, call: LedgerCall[Any], timeout_s: float) -> Any:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside == 3:
                self.full.set()
            await self.open.wait()
            self.inside -= 1
            return await super().apply(call, timeout_s)

    gate = Gate()
    performer = GatewayPerformer(SimulatedGateway(gate, SystemClock()), concurrency=3)
    voids = [VoidCall(order_id="o", charge_id=f"charge-{n}", attempt=1) for n in range(10)]
    calls = [asyncio.ensure_future(performer.perform("void", void, False)) for void in voids]
    async with asyncio.timeout(5):
        await gate.full.wait()
        gate.open.set()
        outcomes = await asyncio.gather(*calls)
    assert {outcome.end for outcome in outcomes} == {End.VOIDED}
    assert gate.most == 3
