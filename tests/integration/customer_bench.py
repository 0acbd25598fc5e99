"""The customer service on the real runtime: partition workers over a store (memory or PostgreSQL), records from an in-memory
broker."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, cast

import pytest
from workbench import NOW, HandClock, fresh_database, put

from contracts.customer import EraseCustomer, LookUpCustomer
from contracts.envelope import encode, headers_for
from contracts.orders import OrderCompleted
from contracts.topics import CUSTOMER_COMMANDS, CUSTOMER_EVENTS
from contracts.values import CommandData, EventData, PricedItem
from messaging.memory import MemoryBroker, MemoryDatabase, MemoryStore
from messaging.meters import Meters
from messaging.partitioner import partition_of
from messaging.ports import Store
from messaging.postgres import PostgresStore
from messaging.worker import PartitionWorker
from services.customer.app import MIGRATIONS
from services.customer.handlers import CustomerHandler
from services.customer.memory import MemoryCustomers
from services.customer.store import CustomerStore, PostgresCustomers

PARTITIONS = 2


def ticking() -> HandClock:
    """A clock that goes on a little each time it is read: whatever is appended first is handled first, on whatever topic."""
    return HandClock(tick=timedelta(milliseconds=1))


class Bench:
    """Workers on one database, and a broker for what goes in and what comes out."""

    def __init__(self, make_store: Any, tables: CustomerStore) -> None:
        self.broker = MemoryBroker(ticking(), PARTITIONS)
        self.tables = tables
        self._make_store = make_store
        self.stores: list[Store] = []

    async def worker(self, partition: int, tables: CustomerStore | None = None) -> PartitionWorker:
        store = self._make_store()
        self.stores.append(store)
        handler = CustomerHandler(tables or self.tables)
        worker = PartitionWorker(handler, store, partition, PARTITIONS, "test", Meters("customer"))
        await worker.take_over()
        return worker

    async def say(self, worker: PartitionWorker, *records: Any) -> None:
        """Bring the records to the worker as one batch."""
        worker.buffers.offer(records, worker.offsets)
        await worker.step(NOW, None)
        await worker.publish(self.broker)

    def register(self, key: str, id: str = "1", **data: Any) -> Any:
        """A registration on its topic; `data` over what is valid."""
        plain = {"customer_id": key, "name": "Ann", "email": "ann@shop.example"}
        named = "customer.register-customer.v1"
        value = encode(
            id=id,
            source="shop",
            type=named,
            subject=key,
            data=cast(Any, {**plain, **data}),
            time=NOW,
            correlationid=key,
        )
        return self.broker.append(CUSTOMER_COMMANDS, key.encode(), value, headers_for(named))

    def tell(self, key: str, data: CommandData | EventData, id: str | None = None) -> Any:
        """A message on its topic, under this key."""
        return put(self.broker, key, data, id=id)

    def answers(self) -> list[dict[str, Any]]:
        """What was said, in order for each partition."""
        return [json.loads(record.value or b"") for record in self.broker.all_records(CUSTOMER_EVENTS)]


def names_on(partition: int, count: int, head: str = "C") -> list[str]:
    """Customers (or orders) whose messages stand on this partition."""
    names = (f"{head}{number}" for number in range(1000))
    return [name for name in names if partition_of(name, PARTITIONS) == partition][:count]


def new_database(server_dsn: str) -> AbstractAsyncContextManager[str]:
    """A database of one test's own."""
    return fresh_database(server_dsn, MIGRATIONS)


@pytest.fixture(params=["memory", "postgres"])
async def bench(request: pytest.FixtureRequest, server_dsn: str) -> AsyncIterator[Bench]:
    if request.param == "memory":
        database = MemoryDatabase(ticking())
        yield Bench(lambda: MemoryStore(database), MemoryCustomers())
        return
    async with new_database(server_dsn) as dsn:
        found = Bench(lambda: PostgresStore(dsn), PostgresCustomers())
        yield found
        for store in found.stores:
            await store.close()


async def reading(bench: Bench) -> Any:
    """A transaction to read with."""
    return await bench.stores[0].begin()


def look_up(customer_id: str) -> LookUpCustomer:
    return LookUpCustomer(request_id="enr-1", customer_id=customer_id)


def erase(customer_id: str) -> EraseCustomer:
    return EraseCustomer(customer_id=customer_id, operator="op", reason="asked us to")


def completed(customer_id: str) -> OrderCompleted:
    line = PricedItem(sku="A", quantity=1, unit_price_minor=5)
    return OrderCompleted(
        items=(line,), total_minor=5, currency="GBP", customer_id=customer_id, reservation_ids=("r1",)
    )
