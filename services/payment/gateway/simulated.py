"""The gateway that the payment service talks to: deadlines, delays and lost answers around the decisions on a ledger."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TypeVar

from services.payment.gateway import domain
from services.payment.gateway.domain import LedgerCall
from services.payment.gateway.ledger import Entry, LedgerStore
from services.payment.gateway.port import (
    CancelAnswer,
    ChargeAnswer,
    ChargeRequest,
    Clock,
    GatewayTimeout,
    RefundAnswer,
    RefundRequest,
    check_text,
)

A = TypeVar("A")


class SystemClock:
    """The machine's time, and asyncio's sleep."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimulatedGateway:
    """Implements `port.Gateway`. It holds no state: any number of them, in any number of processes, may share a ledger.

    `failure_rate` is the share of `pm_card_visa` calls that fail transiently (`PAYMENT_FAILURE_RATE`).
    """

    def __init__(self, ledger: LedgerStore, clock: Clock, failure_rate: float = 0.0) -> None:
        if not 0.0 <= failure_rate <= 1.0:
            raise ValueError(f"PAYMENT_FAILURE_RATE must be from 0 to 1, not {failure_rate}")
        self._ledger = ledger
        self._clock = clock
        self._failure_rate = failure_rate

    async def charge(self, request: ChargeRequest, timeout_s: float) -> ChargeAnswer:
        def decide(row: domain.ChargeRow | None, _: domain.RefundRow | None) -> domain.Decision[ChargeAnswer]:
            fails = domain.fails_transiently(request.charge_id, domain.next_call(row), self._failure_rate)
            return domain.charge(row, request, self._clock.now(), fails=fails)

        return await self._call(LedgerCall("charge", request.charge_id, None, decide), timeout_s)

    async def look_up(self, charge_id: str, timeout_s: float) -> ChargeAnswer:
        def decide(row: domain.ChargeRow | None, _: domain.RefundRow | None) -> domain.Decision[ChargeAnswer]:
            return domain.look_up(row, charge_id, self._clock.now())

        return await self._call(LedgerCall("look_up", check_text("charge_id", charge_id), None, decide), timeout_s)

    async def cancel(self, charge_id: str, timeout_s: float) -> CancelAnswer:
        def decide(row: domain.ChargeRow | None, _: domain.RefundRow | None) -> domain.Decision[CancelAnswer]:
            return domain.cancel(row, charge_id, self._clock.now())

        return await self._call(LedgerCall("cancel", check_text("charge_id", charge_id), None, decide), timeout_s)

    async def refund(self, request: RefundRequest, timeout_s: float) -> RefundAnswer:
        def decide(row: domain.ChargeRow | None, kept: domain.RefundRow | None) -> domain.Decision[RefundAnswer]:
            return domain.refund(row, kept, request, self._clock.now())

        return await self._call(LedgerCall("refund", request.charge_id, request.refund_id, decide), timeout_s)

    async def entries(self, order_id: str | None = None) -> list[Entry]:
        """The money that has moved by now, for one order or for all, oldest first."""
        return await self._ledger.entries(order_id, self._clock.now())

    async def _call(self, call: LedgerCall[A], timeout_s: float) -> A:
        """The effect comes first and is durable; only then may the answer be slow or get lost."""
        started = self._clock.now()
        decision = await self._ledger.apply(call, timeout_s)
        elapsed_s = (self._clock.now() - started).total_seconds()
        left_s = min(max(timeout_s - elapsed_s, 0.0), timeout_s)
        if decision.lost or decision.delay_s > left_s:
            await self._clock.sleep(left_s)
            raise GatewayTimeout(call.operation, call.refund_id or call.charge_id, f"no answer within {timeout_s} s")
        if decision.delay_s > 0.0:
            await self._clock.sleep(decision.delay_s)
        return decision.answer
