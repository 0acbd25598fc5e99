"""Payment on the real runtime: partition workers over a store, the simulated gateway, time told to pass."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from payment_backends import Backend
from workbench import put

from contracts import payment as words
from contracts.envelope import Envelope, decode_event
from contracts.topics import PAYMENT_COMMANDS, PAYMENT_EVENTS
from contracts.values import CommandData, EventData
from messaging.decision import Effect, Message
from messaging.memory import MemoryBroker
from messaging.meters import Meters
from messaging.partitioner import partition_of
from messaging.ports import PendingEffect
from messaging.schedule import Barrier
from messaging.worker import PartitionWorker
from services.payment.gateway.simulated import SimulatedGateway
from services.payment.handlers import PaymentHandler
from services.payment.performer import GatewayPerformer

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
            put(self.broker, order_id, command, id=f"command-{self._asked}", source="orders", at=self.clock.now())

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


@pytest.fixture
async def shop(backend: Backend) -> AsyncIterator[Shop]:
    shop = Shop(backend)
    await shop.start()
    yield shop
    await shop.stop()


async def settled(shop: Shop, status: str, captured: int, refunded: int) -> None:
    """The rows say so, and nothing is under way."""
    assert await shop.backend.rows() == {CHARGE: (status, captured, refunded)}
    assert await shop.backend.pending() == 0
