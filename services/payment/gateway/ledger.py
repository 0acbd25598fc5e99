"""Where the gateway keeps its rows: the port that every ledger implements, and the ledger in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from services.payment.gateway.domain import ChargeRow, ChargeState, Decision, LedgerCall, RefundRow

A = TypeVar("A")


class EntryKind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Entry:
    """Money that moved. A charge has one entry at most, a refund too."""

    kind: EntryKind
    charge_id: str
    amount_minor: int
    currency: str
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """The entry as `GET /gateway/entries` shows it."""
        return {
            "kind": self.kind.value,
            "charge_id": self.charge_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "at": self.at.isoformat().replace("+00:00", "Z"),
        }


class LedgerStore(Protocol):
    """Decides calls one at a time per charge, and keeps the outcome before it tells it."""

    async def apply(self, call: LedgerCall[A], timeout_s: float) -> Decision[A]:
        """Decide `call` on its rows and make the new rows durable; calls on one charge never interleave.

        Raises `GatewayUnavailable` where that was not done, `GatewayTimeout` where that is not known within `timeout_s`.
        """

    async def entries(self, order_id: str | None, now: datetime) -> list[Entry]:
        """The money that had moved by `now`, for one order or for all, oldest first."""


class MemoryLedger:
    """A ledger for the simulation. It never suspends, so it needs no event loop: any scheduler may step the coroutine."""

    def __init__(self) -> None:
        self._charges: dict[str, ChargeRow] = {}
        self._refunds: dict[str, RefundRow] = {}

    async def apply(self, call: LedgerCall[A], timeout_s: float) -> Decision[A]:
        refund = None if call.refund_id is None else self._refunds.get(call.refund_id)
        decision = call.decide(self._charges.get(call.charge_id), refund)
        if decision.charge is not None:
            self._charges[call.charge_id] = decision.charge
        if call.refund_id is not None and decision.refund is not None:
            self._refunds[call.refund_id] = decision.refund
        return decision

    async def entries(self, order_id: str | None, now: datetime) -> list[Entry]:
        charges = [
            Entry(EntryKind.CHARGE, row.charge_id, row.request.amount_minor, row.request.currency, row.lands_at)
            for row in self._charges.values()
            if row.request is not None and row.lands_at is not None
            if row.state is ChargeState.CAPTURED or (row.state is ChargeState.UNDER_WAY and row.lands_at <= now)
            if order_id in (None, row.request.order_id)
        ]
        refunds = [
            Entry(
                EntryKind.REFUND, row.request.charge_id, row.request.amount_minor, row.request.currency, row.refunded_at
            )
            for row in self._refunds.values()
            if row.refunded_at is not None and order_id in (None, row.request.order_id)
        ]
        return sorted(charges + refunds, key=lambda entry: (entry.at, entry.kind, entry.charge_id))
