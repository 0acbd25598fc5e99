"""Whatever is called, in whatever order: money is conserved and answers are kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.payment.gateway.domain import Method
from services.payment.gateway.ledger import Entry, EntryKind, MemoryLedger
from services.payment.gateway.port import (
    CancelOutcome,
    ChargeOutcome,
    ChargeRequest,
    GatewayTimeout,
    RefundOutcome,
    RefundRequest,
)
from services.payment.gateway.simulated import SimulatedGateway
from services.payment.gateway.suite import ManualClock

CHARGES = st.sampled_from(["c1", "c2"])
AMOUNTS = st.sampled_from([1, 50, 100])
DEADLINES = st.sampled_from([0.0, 0.4, 2.0, 5.0])
# Mostly one method per charge, so that a run gets past conflicts; the second one is there to provoke them.
METHODS = st.sampled_from([method.value for method in Method] + ["pm_unknown"])

CALLS = st.one_of(
    st.tuples(st.just("charge"), CHARGES, st.sampled_from([0, 0, 0, 1]), DEADLINES),
    st.tuples(st.just("look_up"), CHARGES, DEADLINES),
    st.tuples(st.just("cancel"), CHARGES, DEADLINES),
    st.tuples(st.just("refund"), CHARGES, st.sampled_from(["r1", "r2", "r3"]), AMOUNTS, DEADLINES),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 4.0])),
)


@dataclass
class Run:
    """A gateway under test, and what it has told so far."""

    methods: tuple[str, str]
    failure_rate: float
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    clock: ManualClock = field(default_factory=ManualClock)
    captured: set[str] = field(default_factory=set)
    never: set[str] = field(default_factory=set)
    refunded: dict[str, int] = field(default_factory=dict)

    async def step(self, call: tuple[Any, ...]) -> None:
        gateway = SimulatedGateway(self.ledger, self.clock, self.failure_rate)  # a new process for every call
        match call:
            case ("wait", seconds):
                self.clock.pass_time(seconds)
            case ("charge", charge, method, deadline):
                request = ChargeRequest(charge, f"o-{charge}", 100, "GBP", self.methods[method])
                self.note(charge, (await gateway.charge(request, deadline)).outcome)
            case ("look_up", charge, deadline):
                self.note(charge, (await gateway.look_up(charge, deadline)).outcome)
            case ("cancel", charge, deadline):
                self.note(charge, (await gateway.cancel(charge, deadline)).outcome)
            case ("refund", charge, refund, amount, deadline):
                answer = await gateway.refund(RefundRequest(refund, charge, f"o-{charge}", amount, "GBP"), deadline)
                if answer.outcome is RefundOutcome.REFUNDED:
                    assert self.refunded.setdefault(refund, amount) == amount

    def note(self, charge: str, outcome: ChargeOutcome | CancelOutcome) -> None:
        if outcome in (ChargeOutcome.CAPTURED, CancelOutcome.CAPTURED):
            self.captured.add(charge)
        if outcome in (
            ChargeOutcome.CANCELLED,
            CancelOutcome.CANCELLED,
            ChargeOutcome.DECLINED,
            CancelOutcome.DECLINED,
        ):
            self.never.add(charge)

    def check(self, before: list[Entry], after: list[Entry]) -> None:
        assert set(before) <= set(after), "an entry was taken back"
        charged = Counter(entry.charge_id for entry in after if entry.kind is EntryKind.CHARGE)
        assert set(charged.values()) <= {1}, "charged twice"
        assert self.captured <= set(charged), "told captured, but nothing was taken"
        assert not self.never & set(charged), "charged after it was told that it never would be"
        for charge in charged:
            assert sum(e.amount_minor for e in after if e.charge_id == charge and e.kind is EntryKind.REFUND) <= 100
        refunds = [entry for entry in after if entry.kind is EntryKind.REFUND]
        assert {entry.charge_id for entry in refunds} <= set(charged), "refunded what was never taken"
        assert sum(entry.amount_minor for entry in refunds) >= sum(self.refunded.values())


async def play(run: Run, calls: list[tuple[Any, ...]]) -> None:
    before: list[Entry] = []
    for call in [*calls, ("wait", 10.0)]:
        with suppress(GatewayTimeout):  # the outcome is unknown: nothing was told
            await run.step(call)
        after = await run.ledger.entries(None, run.clock.now())
        run.check(before, after)
        before = after


@settings(max_examples=300, deadline=None)
@given(st.tuples(METHODS, METHODS), st.sampled_from([0.0, 0.5]), st.lists(CALLS, max_size=25))
def test_money_is_conserved_and_answers_are_kept(
    methods: tuple[str, str], failure_rate: float, calls: list[tuple[Any, ...]]
) -> None:
    asyncio.run(play(Run(methods, failure_rate), calls))
