"""The customer service on its tables: the same conversations with the tables in memory and with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from customer_bench import Bench, bench, completed, erase, names_on, new_database, reading
from prometheus_client import CollectorRegistry

from messaging.errors import StaleRowError
from messaging.http import make_app
from messaging.postgres import PostgresStore
from services.customer.queries import routes
from services.customer.store import CustomerStore, PostgresCustomers

__all__ = ["bench"]


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
    found = await bench.tables.load_customers(await reading(bench), [name])
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
    found = await bench.tables.load_customers(await reading(bench), [name])
    assert found[name].name == "Anna"


async def test_the_same_command_under_another_key_is_still_the_same_command(bench: Bench) -> None:
    (here,), (there,) = names_on(0, 1), names_on(1, 1)
    await bench.say(await bench.worker(0), bench.register(here))
    await bench.say(await bench.worker(1), bench.register(there))
    duplicate = bench.answers()[1]
    assert (duplicate["subject"], duplicate["data"]["customer_id"]) == (there, here)
    assert duplicate["data"]["duplicate"]
    assert await bench.tables.load_customers(await reading(bench), [there]) == {}


class Overtaken:
    """Tables that somebody else changes once, just after they were read."""

    def __init__(self, tables: CustomerStore, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self.load_customers = tables.load_customers
        self.load_completed = tables.load_completed
        self.load_counted = tables.load_counted
        self.stage = tables.stage
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
    assert await bench.tables.load_customers(await reading(bench), [here]) == {}


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
    assert (await bench.tables.load_customers(await reading(bench), [name]))[name].name == odd


async def test_a_customer_is_read_over_http(server_dsn: str) -> None:
    async with new_database(server_dsn) as dsn, asyncpg.create_pool(dsn, min_size=0, max_size=2) as pool:
        bench = Bench(lambda: PostgresStore(dsn), PostgresCustomers())
        (name,) = names_on(0, 1)
        worker = await bench.worker(0)
        await bench.say(worker, bench.register(name))
        app = make_app(routes(pool), CollectorRegistry(), _yes, lambda: True, {})
        async with TestClient(TestServer(app)) as client:
            found = await client.get(f"/customers/{name}")
            assert await found.json() == {
                "customer_id": name,
                "name": "Ann",
                "email": "ann@shop.example",
                "registered_at": "2026-03-01T12:00:00Z",
                "updated_at": "2026-03-01T12:00:00Z",
                "erased_at": None,
                "tier": "STANDARD",
                "completed_orders": 0,
            }
            orders = [bench.tell(order, completed(name)) for order in names_on(0, 5, "O")]
            await bench.say(worker, *orders, bench.tell(name, erase(name)))
            erased = await (await client.get(f"/customers/{name}")).json()
            assert (erased["name"], erased["email"], erased["erased_at"]) == ("", "", "2026-03-01T12:00:00Z")
            assert (erased["tier"], erased["completed_orders"]) == ("SILVER", 5)
            for unknown in ("nobody", "%00", "x" * 65, "%20a"):
                missing = await client.get(f"/customers/{unknown}")
                assert (missing.status, missing.content_type) == (404, "application/problem+json")
        for store in bench.stores:
            await store.close()


async def _yes() -> bool:
    return True
