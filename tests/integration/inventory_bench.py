"""The stock room on the real runtime: partition workers over a store (memory or PostgreSQL), records from an in-memory broker."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import asyncpg
from workbench import NOW, HandClock, fresh_database, put

from contracts.envelope import decode_event, event_type
from contracts.inventory import CheckStock, ExtendReservation, ReceiveStock, ReleaseStock, ReserveStock
from contracts.orders import OrderCompleted
from contracts.topics import INVENTORY_EVENTS
from contracts.values import CommandData, EventData, Item, PricedItem
from messaging.memory import MemoryBroker, MemoryDatabase, MemoryStore
from messaging.meters import Meters
from messaging.partitioner import partition_of
from messaging.postgres import PostgresStore
from messaging.schedule import Barrier
from messaging.together import Together
from messaging.worker import PartitionWorker
from services.inventory.app import MIGRATIONS
from services.inventory.handlers import InventoryHandler
from services.inventory.memory import MemoryInventory, MemoryTables
from services.inventory.store import PostgresInventory

PARTITIONS = 4


class Backend(Protocol):
    """What a test may ask of either store."""

    def store(self) -> Any: ...
    def inventory(self) -> Any: ...
    async def stock(self) -> dict[str, dict[str, int]]: ...
    async def states(self) -> dict[tuple[str, str], str]: ...
    async def irregularities(self) -> set[tuple[str, str, str, str]]: ...
    async def timers(self) -> list[datetime]: ...


@dataclass
class MemoryBackend:
    database: MemoryDatabase = field(default_factory=lambda: MemoryDatabase(HandClock()))
    tables: MemoryTables = field(default_factory=MemoryTables)

    def store(self) -> MemoryStore:
        return MemoryStore(self.database)

    def inventory(self) -> MemoryInventory:
        return MemoryInventory(self.tables)

    async def stock(self) -> dict[str, dict[str, int]]:
        names = ("received", "adjusted", "on_hand", "held", "shipped")
        return {sku: {name: getattr(row, name) for name in names} for sku, row in self.tables.stock.items()}

    async def states(self) -> dict[tuple[str, str], str]:
        return {key: row.state for key, row in self.tables.reservations.items()}

    async def irregularities(self) -> set[tuple[str, str, str, str]]:
        found = self.tables.irregularities.values()
        return {(i.order_id, i.reservation_id, i.kind, i.state) for i in found}

    async def timers(self) -> list[datetime]:
        return sorted(timer.due_at for timer in self.database.timers.values())


@dataclass
class PostgresBackend:
    dsn: str

    def store(self) -> PostgresStore:
        return PostgresStore(self.dsn, locking=True)

    def inventory(self) -> PostgresInventory:
        return PostgresInventory()

    async def fetch(self, query: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    async def stock(self) -> dict[str, dict[str, int]]:
        rows = await self.fetch("select sku, received, adjusted, on_hand, held, shipped from stock")
        return {row["sku"]: dict(list(row.items())[1:]) for row in rows}

    async def states(self) -> dict[tuple[str, str], str]:
        rows = await self.fetch("select order_id, reservation_id, state from reservation")
        return {(row["order_id"], row["reservation_id"]): row["state"] for row in rows}

    async def irregularities(self) -> set[tuple[str, str, str, str]]:
        return {
            tuple(row) for row in await self.fetch("select order_id, reservation_id, kind, state from irregularity")
        }

    async def timers(self) -> list[datetime]:
        return [row["due_at"] for row in await self.fetch("select due_at from timer order by due_at")]


def new_database(server_dsn: str) -> AbstractAsyncContextManager[str]:
    """A database of one test's own."""
    return fresh_database(server_dsn, MIGRATIONS)


class Bench:
    """Workers for all partitions, and what was said on the inventory's topic. `together`: those of one process, whose small batches
    are common transactions."""

    def __init__(self, backend: Backend, together: bool = False) -> None:
        self.backend = backend
        self.together = together
        self.clock = HandClock()
        self.broker = MemoryBroker(self.clock, PARTITIONS)
        self.stores: list[Any] = []
        self.workers: list[PartitionWorker] = []
        self.sent = 0

    async def start(self) -> None:
        """Take over all partitions, as a process that just started does."""
        meters = Meters("inventory")
        self.stores = [self.backend.store() for _ in range(PARTITIONS + self.together)]
        handler = InventoryHandler(self.backend.inventory(), "GBP")
        common = Together(handler, self.stores[-1], meters) if self.together else None
        self.workers = [
            PartitionWorker(handler, self.stores[p], p, PARTITIONS, "me", meters, together=common)
            for p in range(PARTITIONS)
        ]
        for worker in self.workers:
            await worker.take_over()

    async def stop(self) -> None:
        """Leave in peace: what is published is recorded, so that a successor does not publish it again."""
        for worker in self.workers:
            await worker.tidy(self.clock.time, 30)
        for store in self.stores:
            await store.close()

    def send(self, key: str, data: CommandData | EventData, id: str | None = None, source: str = "test") -> None:
        """Append a message to its topic."""
        self.sent += 1
        put(self.broker, key, data, id=id or f"m{self.sent}", source=source)

    def send_raw(self, topic: str, key: str, document: dict[str, Any]) -> None:
        self.broker.append(topic, key.encode(), json.dumps(document).encode())

    async def turn(self, worker: PartitionWorker, limit: int = 500) -> int:
        """One batch of one partition, of at most `limit` records a topic."""
        for topic in InventoryHandler.topics:
            worker.buffers.offer(
                self.broker.read(topic, worker.partition, worker.offsets[topic], limit), worker.offsets
            )
        ends = {topic: self.broker.end(topic, worker.partition) for topic in InventoryHandler.topics}
        done = await worker.step(self.clock.time, Barrier(self.clock.time, ends))
        await worker.publish(self.broker)
        return done

    async def drain(self, limit: int = 500) -> None:
        """Until there is nothing left to do on any partition."""
        while sum([await self.turn(worker, limit) for worker in self.workers]):
            pass

    async def pass_to(self, at: datetime) -> None:
        """Time passes to this moment, and whatever is due by then happens when it is due."""
        while True:
            due = min((w.next_due for w in self.workers if w.next_due is not None and w.next_due < at), default=None)
            # A timer fires just after its moment, when nothing that was appended before can still come.
            self.clock.time = at if due is None else max(self.clock.time, due) + timedelta(microseconds=1)
            await self.drain()
            if due is None:
                return

    async def ask(self, key: str, data: CommandData | EventData, id: str | None = None) -> list[EventData]:
        """Send one message; what is answered under its key."""
        before = len(self.said()[key])
        self.send(key, data, id)
        await self.drain()
        return self.said()[key][before:]

    def said(self) -> dict[str, list[EventData]]:
        """The inventory's events by key, in order."""
        found: dict[str, list[EventData]] = defaultdict(list)
        for record in self.broker.all_records(INVENTORY_EVENTS):
            envelope = decode_event(event_type(record.value, record.headers), record.value)
            assert record.key is not None
            found[record.key.decode()].append(envelope.data)
        return found


def key_on(partition: int, number: int, prefix: str = "order") -> str:
    """The `number`th key with that prefix that lives on the partition."""
    seen = -1
    candidate = 0
    while True:
        key = f"{prefix}-{candidate}"
        if partition_of(key, PARTITIONS) == partition:
            seen += 1
            if seen == number:
                return key
        candidate += 1


def receive(sku: str, quantity: int, price: int | None = 100) -> ReceiveStock:
    return ReceiveStock(sku=sku, quantity=quantity, unit_price_minor=price)


def reserve(rid: str, *items: tuple[str, int], for_s: float | None = None) -> ReserveStock:
    lines = tuple(Item(sku=sku, quantity=n) for sku, n in items)
    return ReserveStock(reservation_id=rid, items=lines, expires_at=None if for_s is None else after(for_s))


def extend(rid: str, for_s: float) -> ExtendReservation:
    return ExtendReservation(reservation_id=rid, expires_at=after(for_s))


def after(seconds: float) -> datetime:
    """So many seconds after the beginning."""
    return NOW + timedelta(seconds=seconds)


def release(rid: str) -> ReleaseStock:
    return ReleaseStock(reservation_id=rid)


def check(request_id: str, *skus: str) -> CheckStock:
    return CheckStock(request_id=request_id, skus=skus)


def completed(*rids: str) -> OrderCompleted:
    line = PricedItem(sku="A", quantity=1, unit_price_minor=100)
    return OrderCompleted(items=(line,), total_minor=100, currency="GBP", customer_id="c", reservation_ids=rids)


def pieces(received: int, held: int = 0, shipped: int = 0, adjusted: int = 0) -> dict[str, int]:
    on_hand = received + adjusted - held - shipped
    return {"received": received, "adjusted": adjusted, "on_hand": on_hand, "held": held, "shipped": shipped}
