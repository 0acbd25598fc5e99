"""A partition goes to another process and comes back: nothing is decided by what was in memory when it went.

The services' own handlers, on the runtime, in memory. A process keeps its handler as long as it lives, whatever it owns.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from contracts import inventory, orders, payment
from contracts.envelope import encode, headers_for
from contracts.registry import TYPE_OF
from contracts.values import CommandData, EventData, Item
from messaging.handler import Handler
from messaging.memory import MemoryBroker, MemoryDatabase, MemoryStore
from messaging.meters import Meters
from messaging.partitioner import partition_of
from messaging.schedule import Barrier
from messaging.worker import PartitionWorker
from services.inventory.handlers import InventoryHandler
from services.inventory.memory import MemoryInventory, MemoryTables
from services.orders.handlers import OrdersHandler
from services.orders.memory import MemoryOrders
from services.payment.handlers import PaymentHandler
from services.payment.memory import MemoryCharges
from services.payment.state import End, Outcome
from simulation.clock import VirtualClock, finish

ORDER, PARTITIONS = "O-1", 1


class Rooms:
    """A service's database and topics, and the processes that take turns on its one partition."""

    def __init__(self, topics: tuple[str, ...]) -> None:
        self.clock = VirtualClock()
        self.broker = MemoryBroker(self.clock, PARTITIONS)
        self.database = MemoryDatabase(self.clock)
        self._topics = topics
        self._sent = self._told = 0
        self.worker: PartitionWorker

    def owned_by(self, handler: Handler) -> None:
        """The process with this handler takes the partition over."""
        self.worker = PartitionWorker(
            handler, MemoryStore(self.database), 0, PARTITIONS, "process", Meters(handler.name)
        )
        finish(self.worker.take_over())

    def hear(self, data: CommandData | EventData, key: str = ORDER) -> list[str]:
        """A message comes; the types of what is told."""
        self._sent += 1
        topic, named = TYPE_OF[type(data)]
        value = encode(
            id=f"m{self._sent}",
            source="test",
            type=named,
            subject=key,
            data=data,
            time=self.clock.now(),
            correlationid=key,
        )
        record = self.broker.append(topic, key.encode(), value, headers_for(named), partition_of(key, PARTITIONS))
        self.worker.buffers.offer([record], self.worker.offsets)
        return self.step()

    def step(self, *outcomes: Any) -> list[str]:
        """Whatever can be handled now; the types of what is told that was not told before."""
        ends = {topic: self.broker.end(topic, 0) for topic in self._topics}
        finish(self.worker.step(self.clock.now(), Barrier(self.clock.now(), ends), outcomes))
        told = [wire for wire in self.worker.unpublished if wire.seq > self._told]
        finish(self.worker.publish(self.broker))
        self._told = max([self._told, *(wire.seq for wire in told)])
        return [wire.type for wire in told]

    def skip(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))


def test_orders_that_another_process_has_gone_on_with_are_read_anew() -> None:
    tables = MemoryOrders()
    one, other = OrdersHandler(tables), OrdersHandler(tables)
    rooms = Rooms(one.topics)
    rooms.owned_by(one)
    rooms.hear(orders.StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=1),), workflow_version=1))
    rooms.owned_by(other)
    rooms.hear(orders.CancelOrder(reason="no"))
    rooms.owned_by(one)
    assert rooms.hear(orders.ApprovePayment(approved_by="boss")) == ["orders.command-rejected.v1"]


def test_a_charge_that_has_ended_at_another_process_is_told_as_it_ended() -> None:
    tables = MemoryCharges()
    one, other = PaymentHandler(tables), PaymentHandler(tables)
    rooms = Rooms(one.topics)
    asked = payment.Charge(charge_id="ch", amount_minor=500, currency="GBP", payment_method="pm_card_visa", attempt=1)
    rooms.owned_by(one)
    assert rooms.hear(asked) == []
    (call,) = rooms.worker.launch
    rooms.owned_by(other)
    done = rooms.worker.outcome(call, Outcome(End.CAPTURED), rooms.clock.now())
    assert rooms.step(done) == ["payment.charge-captured.v1"]
    rooms.owned_by(one)
    assert rooms.hear(asked) == ["payment.charge-captured.v1"]


def test_a_hold_is_announced_in_time_although_another_process_has_swept_meanwhile() -> None:
    tables = MemoryTables()
    one, other = (InventoryHandler(MemoryInventory(tables), "GBP") for _ in range(2))
    rooms = Rooms(one.topics)
    rooms.owned_by(one)
    rooms.hear(inventory.ReceiveStock(sku="tea", quantity=9, unit_price_minor=250), key="tea")
    rooms.hear(_held_for(rooms, "first", 20))
    rooms.owned_by(other)
    rooms.skip(21)
    assert rooms.step() == ["inventory.reservation-expired.v1"]
    rooms.owned_by(one)
    rooms.hear(_held_for(rooms, "second", 20))
    rooms.skip(21)
    assert rooms.step() == ["inventory.reservation-expired.v1"]


def _held_for(rooms: Rooms, reservation_id: str, seconds: float) -> inventory.ReserveStock:
    until = rooms.clock.now() + timedelta(seconds=seconds)
    return inventory.ReserveStock(
        reservation_id=reservation_id, items=(Item(sku="tea", quantity=1),), currency="GBP", expires_at=until
    )
