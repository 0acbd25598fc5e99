"""Charges and refunds in memory, for the simulation and the tests."""

from __future__ import annotations

from collections.abc import Sequence

from messaging.errors import StaleRowError
from messaging.memory import MemoryTransaction
from services.payment.state import Charge
from services.payment.store import Change


class MemoryCharges:
    """Implements `ChargeStore`. It outlives the handlers that work on it, as a database does."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Charge]] = {}

    async def load(self, transaction: MemoryTransaction, order_ids: Sequence[str]) -> list[Charge]:
        """See `ChargeStore.load`."""
        return [charge for order_id in order_ids for charge in self.of_order(order_id)]

    def stage(self, transaction: MemoryTransaction, changes: Sequence[Change]) -> None:
        """See `ChargeStore.stage`."""
        if changes:
            transaction.stage(lambda: self._write(changes))

    def of_order(self, order_id: str) -> list[Charge]:
        """The charges of an order."""
        return list(self._rows.get(order_id, {}).values())

    def all(self) -> list[Charge]:
        """Every charge, in the order in which they were first seen within their orders."""
        return [charge for charges in self._rows.values() for charge in charges.values()]

    def _write(self, changes: Sequence[Change]) -> None:
        for change in changes:
            known = self._rows.get(change.charge.order_id, {}).get(change.charge.charge_id)
            if (0 if known is None else known.version) != change.charge.version - 1:
                raise StaleRowError(f"charge {change.charge.charge_id} is not as it was read")
        for change in changes:
            self._rows.setdefault(change.charge.order_id, {})[change.charge.charge_id] = change.charge
