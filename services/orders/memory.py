"""Orders in memory, for the simulation, the test kit and the system tests; state goes through JSON as in the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from messaging.errors import PermanentStoreError, StaleRowError
from messaging.memory import MemoryTransaction
from services.orders.domain import Verdict, View
from services.orders.history import Entry, entries
from services.orders.store import Changes, Kept, Named, dump_asked, dump_order, parse_order


@dataclass(slots=True)
class MemoryOrders:
    """See `OrdersStore`."""

    states: dict[str, tuple[str, int]] = field(default_factory=dict)
    verdicts: dict[str, dict[tuple[str, str], Verdict]] = field(default_factory=dict)
    asked: dict[tuple[str, str, str], str] = field(default_factory=dict)
    history: dict[str, list[Entry]] = field(default_factory=dict)

    async def load(self, transaction: MemoryTransaction, asked: Mapping[str, Collection[Named]]) -> Mapping[str, Kept]:
        """See `OrdersStore.load`."""
        return {key: self._kept(key) for key in asked}

    def _kept(self, key: str) -> Kept:
        state, version = self.states.get(key, (None, 0))
        return Kept(View(None if state is None else parse_order(state), dict(self.verdicts.get(key, {}))), version)

    def stage(self, transaction: MemoryTransaction, changes: Changes) -> None:
        """See `OrdersStore.stage`."""
        transaction.stage(lambda: self._apply(changes))

    def _apply(self, changes: Changes) -> None:
        for order, version in changes.orders:
            found = self.states.get(order.order_id, (None, 0))[1]
            if found != version - 1:
                raise StaleRowError(f"order row has version {found}, not {version - 1}")
        for key, verdict, _ in changes.verdicts:
            known = self.verdicts.get(key, {}).get((verdict.command.source, verdict.command.id))
            if known is not None and known.accepted is not None:
                raise StaleRowError(f"the verdict on {verdict.command.id} is settled")
        added = entries(changes.history)
        for entry in added:
            if any(entry.said.seq == one.said.seq for one in self.history.get(entry.said.key, ())):
                raise PermanentStoreError(f"something stands at {entry.said.seq} in the history of {entry.said.key}")
        for order, version in changes.orders:
            self.states[order.order_id] = (dump_order(order), version)
        for key, verdict, asked in changes.verdicts:
            told, command = self.verdicts.setdefault(key, {}), verdict.command
            told[command.source, command.id] = verdict
            if asked is not None:
                self.asked.setdefault((key, command.source, command.id), dump_asked(asked))
        for entry in added:
            self.history.setdefault(entry.said.key, []).append(entry)
