"""Erasing name and address, with the tables in memory and with a real PostgreSQL."""

from __future__ import annotations

import asyncpg
import pytest
from customer_bench import (
    Bench,
    bench,
    completed,
    erase,
    look_up,
    names_on,
    new_database,
    reading,
)
from workbench import NOW

from messaging.postgres import PostgresStore
from services.customer.domain import Customer
from services.customer.store import PostgresCustomers

__all__ = ["bench"]


def told(bench: Bench) -> list[tuple[str, bool]]:
    return [(answer["type"].split(".")[1], answer["data"]["duplicate"]) for answer in bench.answers()]


@pytest.mark.parametrize("together", [True, False])
async def test_an_erased_customer_has_neither_name_nor_address_and_no_old_answer_tells_them(
    bench: Bench, together: bool
) -> None:
    (name,) = names_on(0, 1)
    worker = await bench.worker(0)
    records = [bench.register(name), bench.register(name, "2", name="Anna"), bench.tell(name, erase(name), "e")]
    records += [bench.register(name), bench.register(name, "2")]
    for batch in [records] if together else [[record] for record in records]:
        await bench.say(worker, *batch)
    assert told(bench) == [
        ("customer-registered", False),
        ("customer-registered", False),
        ("customer-erased", False),
        ("customer-erased", True),
        ("customer-erased", True),
    ]
    assert [answer["data"]["command_id"] for answer in bench.answers()] == ["1", "2", "e", "1", "2"]
    found = await bench.tables.load_customers(await reading(bench), [name])
    assert found == {name: Customer(name, "", "", NOW, NOW, erased_at=NOW)}


@pytest.mark.parametrize("together", [True, False])
async def test_registering_again_is_a_new_beginning_that_the_old_commands_do_not_touch(
    bench: Bench, together: bool
) -> None:
    (name,) = names_on(0, 1)
    worker = await bench.worker(0)
    records = [bench.register(name), bench.tell(name, erase(name), "e"), bench.register(name, "2", name="Anna")]
    records += [bench.register(name), bench.tell(name, erase(name), "e"), bench.register(name, "2")]
    for batch in [records] if together else [[record] for record in records]:
        await bench.say(worker, *batch)
    assert told(bench)[2:] == [
        ("customer-registered", False),
        ("customer-erased", True),
        ("customer-erased", True),
        ("customer-registered", True),
    ]
    found = (await bench.tables.load_customers(await reading(bench), [name]))[name]
    assert (found.name, found.email, found.erased_at) == ("Anna", "ann@shop.example", None)


async def test_only_the_erased_customers_answers_are_forgotten(bench: Bench) -> None:
    ann, bob = names_on(0, 2)
    worker = await bench.worker(0)
    await bench.say(worker, bench.register(ann), bench.register(bob, "2", name="Bob"))
    await bench.say(worker, bench.tell(ann, erase(ann)), bench.register(bob, "2"))
    assert bench.answers()[-1]["data"]["name"] == "Bob"
    await bench.say(worker, bench.register(bob, "2"))
    assert bench.answers()[-1]["data"]["name"] == "Bob"
    assert (await bench.tables.load_customers(await reading(bench), [bob]))[bob].name == "Bob"


async def test_an_erased_customer_is_still_known_to_orders_and_keeps_the_tier(bench: Bench) -> None:
    (name,), orders = names_on(0, 1), names_on(0, 5, "O")
    worker = await bench.worker(0)
    await bench.say(worker, bench.register(name), *(bench.tell(order, completed(name)) for order in orders))
    await bench.say(worker, bench.tell(name, erase(name)))
    await bench.say(worker, bench.tell(orders[0], look_up(name)))
    assert bench.answers()[-1]["type"] == "customer.customer-found.v1"
    assert bench.answers()[-1]["data"]["tier"] == "SILVER"


async def test_erasing_nobody_is_rejected_and_its_repeat_too(bench: Bench) -> None:
    (name,) = names_on(0, 1)
    worker = await bench.worker(0)
    await bench.say(worker, bench.tell(name, erase(name), "e"))
    await bench.say(worker, bench.register(name), bench.tell(name, erase(name), "e"))
    assert told(bench) == [("command-rejected", False), ("customer-registered", False), ("command-rejected", True)]
    assert bench.answers()[0]["data"]["reason"] == "unknown-customer"
    assert (await bench.tables.load_customers(await reading(bench), [name]))[name].name == "Ann"


async def test_nothing_of_the_name_or_the_address_is_left_in_the_database(server_dsn: str) -> None:
    async with new_database(server_dsn) as dsn:
        bench = Bench(lambda: PostgresStore(dsn), PostgresCustomers())
        (name,) = names_on(0, 1)
        worker = await bench.worker(0)
        canary = {"name": "Canary Bird", "email": "canary@shop.example"}
        await bench.say(worker, bench.register(name, **canary), bench.register(name, "2", **canary))
        await bench.say(worker, bench.tell(name, erase(name), "e"), bench.register(name, "2", **canary))
        connection = await asyncpg.connect(dsn)
        try:
            tables = await connection.fetch(
                # What is published waits in the outbox for its grace period, and goes.
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'outbox%'"
            )
            for table in tables:
                rows = await connection.fetch(f"SELECT t::text AS row FROM {table[0]} t")
                assert not [row for row in rows if "anary" in row["row"]], table[0]
            (kept,) = await connection.fetch("SELECT * FROM erasure")
        finally:
            await connection.close()
        assert tuple(kept) == ("test", "e", name, "op", "asked us to", NOW)
        for store in bench.stores:
            await store.close()
