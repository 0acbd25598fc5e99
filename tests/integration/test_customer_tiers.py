"""Looking customers up and counting their orders, with the tables in memory and with a real PostgreSQL."""

from __future__ import annotations

import asyncio
import random

import pytest
from customer_bench import (
    PARTITIONS,
    Bench,
    bench,
    completed,
    erase,
    look_up,
    names_on,
    new_database,
    reading,
)

from contracts.envelope import encode, headers_for
from contracts.orders import OrderCancelled
from contracts.topics import ORDERS_EVENTS
from messaging.errors import FenceLostError
from messaging.postgres import PostgresStore
from messaging.worker import PartitionWorker
from services.customer.store import PostgresCustomers

__all__ = ["bench"]

DEADLINE_S = 120


async def completed_of(bench: Bench, name: str) -> int:
    return (await bench.tables.load_completed(await reading(bench), [name])).get(name, 0)


async def test_a_look_up_is_answered_under_the_orders_id_and_anew_each_time(bench: Bench) -> None:
    (name,), (order, *others) = names_on(1, 1), names_on(0, 6, "O")
    await bench.say(await bench.worker(1), bench.register(name))
    worker = await bench.worker(0)
    await bench.say(worker, bench.tell(order, look_up(name), "q"), bench.tell(order, look_up("nobody"), "q2"))
    await bench.say(worker, *(bench.tell(other, completed(name)) for other in others))
    await bench.say(worker, bench.tell(order, look_up(name), "q"))
    told = [answer for answer in bench.answers() if answer["subject"] == order]
    assert [answer["type"].split(".")[1] for answer in told] == ["customer-found", "customer-unknown", "customer-found"]
    assert [answer["data"].get("tier") for answer in told] == ["STANDARD", None, "SILVER"]
    assert {answer["data"]["request_id"] for answer in told} == {"enr-1"}
    assert told[1]["data"]["customer_id"] == "nobody"
    assert await bench.tables.load_answers(await reading(bench), [("test", "q")]) == {}


async def test_a_look_up_is_not_about_a_customer_who_is_called_like_the_order(bench: Bench) -> None:
    (name,) = names_on(0, 1)
    worker = await bench.worker(0)
    await bench.say(worker, bench.register(name), bench.tell(name, look_up("nobody")))
    assert [answer["type"].split(".")[1] for answer in bench.answers()] == ["customer-registered", "customer-unknown"]


async def test_a_look_up_sees_what_its_own_batch_has_changed_so_far(bench: Bench) -> None:
    (name,), orders = names_on(0, 1), names_on(0, 5, "O")
    worker = await bench.worker(0)
    records = [bench.tell(orders[0], look_up(name)), bench.register(name)]
    records += [bench.tell(order, completed(name)) for order in orders]
    records += [
        bench.tell(orders[0], look_up(name)),
        bench.tell(name, erase(name)),
        bench.tell(orders[0], look_up(name)),
    ]
    await bench.say(worker, *records)
    told = [(a["type"].split(".")[1], a["data"].get("tier")) for a in bench.answers() if a["subject"] == orders[0]]
    assert told == [("customer-unknown", None), ("customer-found", "SILVER"), ("customer-found", "SILVER")]
    assert await completed_of(bench, name) == 5


async def test_a_completed_order_counts_once_whatever_is_delivered_again(bench: Bench) -> None:
    first, second, third = names_on(0, 3, "O")
    worker = await bench.worker(0)
    # The same order twice in one batch, in the next one, and by a process that took over.
    await bench.say(worker, *(bench.tell(order, completed("c")) for order in (first, second, first)))
    await bench.say(worker, *(bench.tell(order, completed("c")) for order in (first, third)))
    worker = await bench.worker(0)
    await bench.say(worker, bench.tell(second, completed("c")))
    assert await completed_of(bench, "c") == 3
    assert bench.answers() == []


async def test_the_count_of_a_customer_is_shared_by_all_partitions(bench: Bench) -> None:
    for partition in range(PARTITIONS):
        orders = names_on(partition, 3, "O")
        await bench.say(await bench.worker(partition), *(bench.tell(order, completed("c")) for order in orders))
    assert await completed_of(bench, "c") == 3 * PARTITIONS


async def test_an_owner_who_lost_the_partition_counts_nothing(bench: Bench) -> None:
    order, other = names_on(0, 2, "O")
    old = await bench.worker(0)
    new = await bench.worker(0)
    records = [bench.tell(order, completed("c")), bench.tell(other, completed("c"))]
    await bench.say(new, *records)
    with pytest.raises(FenceLostError):
        await bench.say(old, *records)
    assert await completed_of(bench, "c") == 2


async def test_only_completed_orders_count_and_a_bad_event_stops_nobody(bench: Bench) -> None:
    first, second = names_on(0, 2, "O")
    worker = await bench.worker(0)
    cancelled = bench.tell(first, OrderCancelled(reason="customer-request", customer_id="c"))
    named = "orders.order-completed.v1"
    value = encode(
        id="e",
        source="orders",
        type=named,
        subject=first,
        data=completed("c"),
        time=cancelled.timestamp,
        correlationid="x",
    )
    bad = bench.broker.append(ORDERS_EVENTS, first.encode(), value.replace(b'"c"', b'"\\u0000"'), headers_for(named))
    await bench.say(worker, cancelled, bad, bench.tell(second, completed("c")))
    assert await completed_of(bench, "c") == 1
    assert len(bench.broker.all_records(f"{ORDERS_EVENTS}.customer.dlq")) == 1


async def test_partitions_that_count_the_same_customers_at_once_neither_deadlock_nor_lose_a_count(
    server_dsn: str,
) -> None:
    async with new_database(server_dsn) as dsn:
        bench = Bench(lambda: PostgresStore(dsn), PostgresCustomers())
        customers = [f"c{number}" for number in range(20)]
        batches = 15

        async def work(worker: PartitionWorker, orders: list[str]) -> None:
            for number in range(batches):
                chosen = orders[number * 20 : number * 20 + 20]
                # Every batch names all customers, in an order of its own.
                mixed = random.Random(f"{worker.partition}/{number}").sample(customers, len(customers))
                records = [bench.tell(order, completed(name)) for order, name in zip(chosen, mixed, strict=True)]
                await bench.say(worker, *records)

        workers = [await bench.worker(partition) for partition in range(PARTITIONS)]
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(work(worker, names_on(worker.partition, batches * 20, "O")))
        found = await bench.tables.load_completed(await reading(bench), customers)
        assert found == dict.fromkeys(customers, PARTITIONS * batches)
        for store in bench.stores:
            await store.close()
