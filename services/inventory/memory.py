"""The stock room's tables in memory, for tests and the simulation. It keeps what PostgreSQL keeps."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakKeyDictionary

from messaging.errors import StaleRowError
from messaging.memory import MemoryTransaction
from services.inventory.ledger import CommandKey, Reservation, ReservationKey, ShopAnswer, Stock
from services.inventory.store import Irregularity, Writes


@dataclass(slots=True)
class MemoryTables:
    """What the database would hold. It outlives the stores that work on it, as a database does."""

    stock: dict[str, Stock] = field(default_factory=dict)
    reservations: dict[ReservationKey, Reservation] = field(default_factory=dict)
    answers: dict[CommandKey, ShopAnswer] = field(default_factory=dict)
    irregularities: dict[tuple[str, str, str], Irregularity] = field(default_factory=dict)


class MemoryInventory:
    """See `InventoryStore`. There are no locks: a row that somebody else has changed meanwhile is a `StaleRowError`."""

    def __init__(self, tables: MemoryTables) -> None:
        self.tables = tables
        self._read: WeakKeyDictionary[MemoryTransaction, dict[str, Stock]] = WeakKeyDictionary()

    async def reservations(
        self, transaction: MemoryTransaction, keys: Collection[ReservationKey]
    ) -> dict[ReservationKey, Reservation]:
        """See `InventoryStore.reservations`."""
        return {key: self.tables.reservations[key] for key in keys if key in self.tables.reservations}

    async def answers(
        self, transaction: MemoryTransaction, keys: Collection[CommandKey]
    ) -> dict[CommandKey, ShopAnswer]:
        """See `InventoryStore.answers`."""
        return {key: self.tables.answers[key] for key in keys if key in self.tables.answers}

    async def locked_stock(self, transaction: MemoryTransaction, skus: Collection[str]) -> dict[str, Stock]:
        """See `InventoryStore.locked_stock`."""
        read = {sku: self.tables.stock[sku] for sku in skus if sku in self.tables.stock}
        self._read[transaction] = dict(read)
        return read

    async def seen_stock(self, transaction: MemoryTransaction, skus: Collection[str]) -> dict[str, Stock]:
        """See `InventoryStore.seen_stock`."""
        return {sku: self.tables.stock[sku] for sku in skus if sku in self.tables.stock}

    async def holds_due(
        self, transaction: MemoryTransaction, partition: int, until: datetime, limit: int
    ) -> dict[ReservationKey, Reservation]:
        """See `InventoryStore.holds_due`."""
        found = sorted((at, row.key) for at, row in self._announced_in(partition) if at <= until)
        return {key: self.tables.reservations[key] for _, key in found[:limit]}

    async def next_announcement(
        self, transaction: MemoryTransaction, partition: int, after: datetime | None
    ) -> datetime | None:
        """See `InventoryStore.next_announcement`."""
        return min((at for at, _ in self._announced_in(partition) if after is None or at > after), default=None)

    def _announced_in(self, partition: int) -> Iterator[tuple[datetime, Reservation]]:
        for row in self.tables.reservations.values():
            if row.partition == partition and row.state == "held" and row.announce_at is not None:
                yield row.announce_at, row

    def stage(self, transaction: MemoryTransaction, writes: Writes) -> None:
        """See `InventoryStore.stage`."""
        read = self._read.pop(transaction, {})

        def write() -> None:
            self._check(writes, read)
            tables = self.tables
            tables.stock.update({row.sku: row for row in (*writes.new_stock, *writes.changed_stock)})
            changed = (*writes.new_reservations, *writes.changed_reservations)
            tables.reservations.update({row.key: row for row in changed})
            tables.answers.update({key: answer for key, answer, _ in writes.answers})
            for found in writes.irregularities:
                tables.irregularities.setdefault((found.order_id, found.reservation_id, found.kind), found)

        transaction.stage(write)

    def _check(self, writes: Writes, read: dict[str, Stock]) -> None:
        tables = self.tables
        stale = any(tables.stock.get(row.sku) is not read[row.sku] for row in writes.changed_stock)
        stale = stale or any(row.sku in tables.stock for row in writes.new_stock)
        stale = stale or any(row.key in tables.reservations for row in writes.new_reservations)
        stale = stale or any(tables.reservations[row.key].state != "held" for row in writes.changed_reservations)
        if stale:
            raise StaleRowError("the stock or a reservation is not as it was read")
