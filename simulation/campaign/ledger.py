"""The gateway in bad weather: away, slow, silent, late, or a bank that gives nothing back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from services.payment.gateway.domain import Decision, LedgerCall
from services.payment.gateway.port import GatewayTimeout, GatewayUnavailable, RefundAnswer, RefundOutcome
from simulation.clock import finish
from simulation.parts import OpenLedger

if TYPE_CHECKING:
    from simulation.campaign.faults import Faults

A = TypeVar("A")


class StormyLedger(OpenLedger):
    """See `OpenLedger`. `late`: requests that nobody waits for any more and that will still get here, and when."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.late: list[tuple[datetime, LedgerCall[Any]]] = []
        self._faults = faults

    async def apply(self, call: LedgerCall[A], timeout_s: float) -> Decision[A]:
        """See `LedgerStore.apply`."""
        faults, clock = self._faults, self._faults.system.clock
        if faults.is_armed("gateway-late", "payment"):
            self.late.append((clock.now() + timedelta(seconds=faults.take("gateway-late", "payment")), call))
            await clock.sleep(timeout_s)
            raise GatewayTimeout(call.operation, call.refund_id or call.charge_id, "it is still on its way")
        try:
            decision = await super().apply(call, timeout_s)
        except GatewayUnavailable:
            faults.happened("gateway-down")
            raise
        if decision.charge is not None and decision.charge.request is not None:
            faults.touched["payment"][decision.charge.request.order_id] = None
        if faults.takes("gateway-answer-lost", "payment"):
            return replace(decision, lost=True)
        if faults.is_armed("gateway-slow", "payment"):
            return replace(decision, delay_s=decision.delay_s + faults.take("gateway-slow", "payment"))
        return decision

    def decide(self, call: LedgerCall[A]) -> Decision[A]:
        """See `OpenLedger.decide`."""
        faults = self._faults
        if call.operation == "refund" and faults.is_armed("refund-fails", "payment"):
            charge, refund = self.rows(call)
            decision = call.decide(charge, refund)
            answer: Any = decision.answer
            if refund is None or refund.refunded_at is None:
                faults.take("refund-fails", "payment")
                failed: Any = RefundAnswer(
                    answer.refund_id, answer.charge_id, RefundOutcome.FAILED, "the bank is closed"
                )
                return Decision(failed, charge, refund)
        return call.decide(*self.rows(call))

    def next_late(self) -> datetime | None:
        """When the next one of the late requests gets here."""
        return min((at for at, _ in self.late), default=None)

    def arrive(self, now: datetime) -> None:
        """The late requests that are due by now get here."""
        for at, call in [found for found in self.late if found[0] <= now]:
            self.late.remove((at, call))
            finish(OpenLedger.apply(self, call, 0.0)) if not self.away else None
