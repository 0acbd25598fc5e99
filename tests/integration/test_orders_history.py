"""An order's history in PostgreSQL: what caused each entry, what was asked with it, and where all of it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from conftest import NewDatabase
from tally_world import RealClock

from contracts.customer import CustomerFound
from contracts.envelope import encode, headers_for
from contracts.inventory import StockChecked, StockLevel
from contracts.orders import AddLineItem, CancelOrder, StartOrder
from contracts.recommendation import Recommended
from contracts.registry import TYPE_OF
from contracts.topics import (
    CUSTOMER_EVENTS,
    DEFAULT_PARTITIONS,
    INVENTORY_EVENTS,
    RECOMMENDATION_EVENTS,
    dead_letter_topic,
)
from contracts.values import CommandData, EventData, Item
from messaging.memory import MemoryBroker
from messaging.meters import Meters
from messaging.partitioner import partition_of
from messaging.ports import Record
from messaging.postgres import PostgresStore
from messaging.published import FetchOf
from messaging.worker import PartitionWorker
from services.orders.api.record import commands_of, history_of
from services.orders.app import MIGRATIONS
from services.orders.domain.state import business_id
from services.orders.handlers import OrdersHandler
from services.orders.store import PostgresOrders
from services.orders.tape.assemble import Facts, assemble

ORDER = "O-1"
PARTITION = partition_of(ORDER, DEFAULT_PARTITIONS)
ENRICHMENT = business_id("enr", ORDER)


class Desk:
    """The owner of the order's partition, on a real database and a broker in memory. `partition`: of another one."""

    def __init__(self, dsn: str, partition: int = PARTITION) -> None:
        self.broker = MemoryBroker(RealClock(), DEFAULT_PARTITIONS)
        handler = OrdersHandler(PostgresOrders("order-worker-test"))
        self.worker = PartitionWorker(
            handler, PostgresStore(dsn), partition, DEFAULT_PARTITIONS, "test", Meters("orders")
        )

    async def hear(self, data: CommandData | EventData, id: str, answers: str | None = None) -> Record:
        """A message comes and is decided, and what is said is published."""
        topic, named = TYPE_OF[type(data)]
        value = encode(
            id=id,
            source="test",
            type=named,
            subject=ORDER,
            data=data,
            time=datetime.now(UTC),
            correlationid=ORDER,
            causationid=answers,
        )
        record = self.broker.append(topic, ORDER.encode(), value, headers_for(named), self.worker.partition)
        self.worker.buffers.offer([record], self.worker.offsets)
        await self.worker.step(datetime.now(UTC), None)
        await self.worker.publish(self.broker)
        return record


@pytest.fixture
async def dsn(new_database: NewDatabase) -> str:
    return await new_database(MIGRATIONS)


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    made = Desk(dsn)
    await made.worker.take_over()
    yield made
    await made.worker._store.close()


def of(connection: asyncpg.Connection[asyncpg.Record]) -> FetchOf:
    """The one database that there is, whatever key is asked about."""
    return lambda key, query, *arguments: connection.fetch(query, *arguments)


async def history(dsn: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(dsn)
    try:
        return await history_of(of(connection), ORDER)
    finally:
        await connection.close()


async def test_an_entry_tells_what_and_where_its_cause_is_and_what_was_asked_with_it(desk: Desk, dsn: str) -> None:
    start = await desk.hear(StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=2),)), "cmd-1")
    accepted, started = await history(dsn)
    assert {name: accepted[name] for name in ("cause", "cause_type", "cause_topic", "cause_offset", "answers")} == {
        "cause": "cmd-1",
        "cause_type": "orders.start-order.v1",
        "cause_topic": "orders.commands.v1",
        "cause_offset": start.offset,
        "answers": None,
    }
    assert (accepted["cause_partition"], accepted["cause_at"]) == (PARTITION, start.timestamp)
    asked = ["customer.look-up-customer.v1", "inventory.check-stock.v1", "recommendation.recommend.v1"]
    assert (accepted["sent"], [request["type"] for request in started["sent"]]) == ([], asked)
    assert started["sent"][0]["data"] == {"request_id": ENRICHMENT, "customer_id": "ann"}


async def test_every_message_has_its_place_once_it_is_published_and_recorded(desk: Desk, dsn: str) -> None:
    await desk.hear(StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=2),)), "cmd-1")
    assert [entry["offset"] for entry in await history(dsn)] == [None, None]
    await desk.worker.tidy(datetime.now(UTC), 30)
    entries = await history(dsn)
    said = [*entries, *(request for entry in entries for request in entry["sent"])]
    for message in said:
        record = desk.broker.read(message["topic"], message["partition"], message["offset"], 1)[0]
        assert f'"id":"{message.get("event_id") or message["id"]}"'.encode() in (record.value or b"")
    assert len(said) == 5


async def test_an_order_whose_places_were_forgotten_has_its_history_and_its_tape_without_them(
    desk: Desk, dsn: str
) -> None:
    await desk.hear(StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=2),)), "cmd-1")
    await desk.worker.tidy(datetime.now(UTC), 30)
    before = await history(dsn)
    connection = await asyncpg.connect(dsn)
    # 90 days on, but an hour, in which it is done.
    await connection.execute("select forget_places(now() + interval '2159 hours')")
    order = await connection.fetchrow("select * from every_order where order_id = $1", ORDER)
    await connection.close()
    after = await history(dsn)
    nowhere = {"topic": None, "partition": None, "offset": None}
    assert after == [
        {**entry, **nowhere, "sent": [{**request, **nowhere} for request in entry["sent"]]} for entry in before
    ]
    now = datetime.now(UTC)
    tapes = [assemble(Facts(order=dict(order), history=entries), now) for entries in (before, after)]
    told, told_after = ([{**item, "message": None} for item in tape] for tape in tapes)
    assert told_after == told
    out = [item["message"] for item in tapes[1] if (item["message"] or {}).get("direction") == "out"]
    assert [message["offset"] for message in out] == [None] * 5


async def test_an_answer_is_told_even_if_nothing_follows_from_it_yet(desk: Desk, dsn: str) -> None:
    await desk.hear(StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=2),)), "cmd-1")
    question = (await history(dsn))[-1]["sent"][0]["id"]
    answer = CustomerFound(request_id=ENRICHMENT, customer_id="ann", tier="STANDARD")
    record = await desk.hear(answer, "answer-1", answers=question)
    level = StockLevel(sku="tea", on_hand=3, unit_price_minor=250, currency="GBP")
    await desk.hear(StockChecked(request_id=ENRICHMENT, levels=(level,)), "answer-2")
    noted = (await history(dsn))[-2:]
    assert [(entry["type"], entry["event_id"], entry["cause"], entry["cause_topic"]) for entry in noted] == [
        ("orders.noted", None, "answer-1", CUSTOMER_EVENTS),
        ("orders.noted", None, "answer-2", INVENTORY_EVENTS),
    ]
    assert (noted[0]["answers"], noted[0]["cause_offset"]) == (question, record.offset)
    assert noted[0]["data"] == {"type": "customer.customer-found.v1"}


async def test_what_a_command_asked_is_kept_with_its_verdict_also_where_an_answer_settles_it(
    desk: Desk, dsn: str
) -> None:
    await desk.hear(StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=2),)), "cmd-1")
    await desk.hear(AddLineItem(sku="milk", quantity=1), "cmd-2")
    await desk.hear(CancelOrder(reason="found it cheaper"), "cmd-3")
    connection = await asyncpg.connect(dsn)
    try:
        told = {row["id"]: (row["accepted"], row["data"]) for row in await commands_of(of(connection), ORDER)}
    finally:
        await connection.close()
    assert told == {
        "cmd-1": (True, {"customer_id": "ann", "items": [{"sku": "tea", "quantity": 2}]}),
        "cmd-2": (False, {"sku": "milk", "quantity": 1}),
        "cmd-3": (True, {"reason": "found it cheaper"}),
    }


async def test_an_event_on_a_foreign_partition_takes_no_number_that_the_orders_owner_will_give(
    desk: Desk, dsn: str
) -> None:
    foreign = Desk(dsn, (PARTITION + 1) % DEFAULT_PARTITIONS)
    await foreign.worker.take_over()
    await desk.hear(StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=2),)), "cmd-1")
    await foreign.hear(StockChecked(request_id="whatever", levels=()), "forged")
    await desk.hear(CustomerFound(request_id=ENRICHMENT, customer_id="ann", tier="STANDARD"), "answer-1")
    level = StockLevel(sku="tea", on_hand=3, unit_price_minor=250, currency="GBP")
    await desk.hear(StockChecked(request_id=ENRICHMENT, levels=(level,)), "answer-2")
    await desk.hear(Recommended(request_id=ENRICHMENT, skus=()), "answer-3")
    letters = foreign.broker.all_records(dead_letter_topic(INVENTORY_EVENTS, "orders"))
    assert [dict(letter.headers)["dlq-reason"] for letter in letters] == [b"foreign-partition"]
    assert desk.broker.all_records(dead_letter_topic(RECOMMENDATION_EVENTS, "orders")) == []
    assert [entry["cause"] for entry in await history(dsn)] == ["cmd-1", "cmd-1", "answer-1", "answer-2", "answer-3"]
    await foreign.worker._store.close()
