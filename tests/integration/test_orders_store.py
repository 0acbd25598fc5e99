"""What the orders' store promises, said once and asked of both: the one in memory and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from tally_world import RealClock
from workbench import fresh_database

from contracts.envelope import InvalidCommand
from contracts.orders import ApprovePayment, LineItemAdded, StartOrder
from contracts.registry import TYPE_OF
from contracts.values import Item
from messaging.decision import Message
from messaging.errors import PermanentStoreError, StaleRowError
from messaging.memory import MemoryDatabase, MemoryStore
from messaging.ports import Commit, Store
from messaging.postgres import PostgresStore
from messaging.stamp import Stamped
from services.orders.app import MIGRATIONS
from services.orders.domain import Order, Verdict, View, decide
from services.orders.domain.state import Command
from services.orders.handlers import OrdersHandler
from services.orders.memory import MemoryOrders
from services.orders.store import MOST_VERDICTS, Changes, OrdersStore, PostgresOrders

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = "O-1"
START = StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=2),))


def decided(view: View, data: Any) -> View:
    """The order after one more command."""
    return decide(view, Message("command", ORDER, data, f"cmd-{type(data).__name__}", "test", NOW, "uid"), NOW).state


def order_of(view: View) -> Order:
    """The order, which is there."""
    assert view.order is not None
    return view.order


STARTED = decided(View(), START)
APPROVED = decided(STARTED, ApprovePayment(approved_by="boss"))


class Desk:
    """The owner of a partition, who writes what he is told to."""

    def __init__(self, store: Store, orders: OrdersStore, epoch: int) -> None:
        self._store, self.orders, self._epoch = store, orders, epoch

    async def write(
        self,
        orders: Sequence[tuple[Order, int]] = (),
        verdicts: Sequence[Verdict] = (),
        history: Sequence[Stamped] = (),
    ) -> None:
        """One batch."""
        transaction = await self._store.begin()
        told = [(ORDER, verdict, None) for verdict in verdicts]
        try:
            self.orders.stage(transaction, Changes(orders, told, history, NOW))
            await transaction.commit(Commit(0, self._epoch, {}, {}, 1))
        finally:
            await self._store.rollback(transaction)

    async def read(self, *asked: tuple[str, str]) -> tuple[View, int]:
        """The order as it stands, with the verdicts on these commands at least, and its version."""
        transaction = await self._store.begin()
        try:
            kept = (await self.orders.load(transaction, {ORDER: asked, "another": ()}))[ORDER]
            return kept.view, kept.version
        finally:
            await self._store.rollback(transaction)

    async def hear(self, handler: OrdersHandler, *messages: Message) -> list[Any]:
        """What a worker says to these, in one batch."""
        transaction = await self._store.begin()
        try:
            batch = await handler.load(transaction, {0: messages})
            said = [one.data for message in messages for one in batch.decide(message, NOW).says]
            batch.stage(transaction, [])
            await transaction.commit(Commit(0, self._epoch, {}, {}, 1))
        finally:
            await self._store.rollback(transaction)
        batch.committed()
        return said


@pytest.fixture(params=["memory", "postgres"])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as running:
        store: Store
        orders: OrdersStore
        if request.param == "memory":
            store, orders = MemoryStore(MemoryDatabase(RealClock())), MemoryOrders()
        else:
            server = request.getfixturevalue("server_dsn")
            dsn = await running.enter_async_context(fresh_database(server, MIGRATIONS))
            store, orders = PostgresStore(dsn), PostgresOrders("order-worker-test")
        owned = await store.take_over(0, "test", ())
        yield Desk(store, orders, owned.epoch)
        await store.close()


async def test_an_order_is_read_as_it_was_written_with_all_its_verdicts(desk: Desk) -> None:
    await desk.write([(order_of(STARTED), 1)], STARTED.fresh)
    await desk.write([(order_of(APPROVED), 2)], APPROVED.fresh)
    view, version = await desk.read()
    assert (view.order, view.verdicts, version) == (APPROVED.order, APPROVED.verdicts, 2)


async def test_a_command_is_known_again_however_many_there_are_under_its_key(desk: Desk) -> None:
    def bad(number: int) -> Message:
        data = InvalidCommand(f"c{number}", "test", "t", ORDER, "no")
        return Message("t", ORDER, data, f"c{number}", "test", NOW, f"uid-{number}")

    handler = OrdersHandler(desk.orders)
    for first in range(0, MOST_VERDICTS + 100, 300):
        said = await desk.hear(handler, *map(bad, range(first, first + 300)))
        assert [one.duplicate for one in said] == [False] * 300
    said = await desk.hear(handler, bad(7), bad(1100), bad(5000), bad(5000))
    assert [(one.command_id, one.duplicate) for one in said] == [
        ("c7", True),
        ("c1100", True),
        ("c5000", False),
        ("c5000", True),
    ]
    said = await desk.hear(handler, bad(5000), bad(5001))
    assert [one.duplicate for one in said] == [True, False]


async def test_an_order_that_is_not_there_has_no_version(desk: Desk) -> None:
    assert await desk.read() == (View(), 0)


@pytest.mark.parametrize("version", [1, 2, 4])
async def test_an_order_that_is_not_as_it_was_read_is_not_written(desk: Desk, version: int) -> None:
    await desk.write([(order_of(STARTED), 1)])
    await desk.write([(order_of(APPROVED), 2)])
    other = replace(order_of(APPROVED), approved_by="somebody else")
    with pytest.raises(StaleRowError):
        await desk.write([(other, version)])
    assert await desk.read() == (View(APPROVED.order), 2)


async def test_a_verdict_is_settled_once_and_never_changed(desk: Desk) -> None:
    command = Command("test", "cmd-1", "orders.add-line-item.v1")
    await desk.write(verdicts=[Verdict(command, None)])
    await desk.write(verdicts=[Verdict(command, False, "out-of-stock", "sold out")])
    with pytest.raises(StaleRowError):
        await desk.write(verdicts=[Verdict(command, True)])
    assert (await desk.read())[0].verdicts == {("test", "cmd-1"): Verdict(command, False, "out-of-stock", "sold out")}


async def test_two_things_never_have_one_place_in_an_orders_history(desk: Desk) -> None:
    cause = Message("command", ORDER, START, "cmd", "test", NOW, "uid")
    said = Stamped(3, ORDER, "orders.noted", {"type": "x"}, NOW, "cmd", None, None, cause)
    await desk.write([(order_of(STARTED), 1)], history=[said, said._replace(seq=9)])
    with pytest.raises(PermanentStoreError):
        await desk.write([(order_of(APPROVED), 2)], history=[said._replace(cause="another")])
    assert await desk.read() == (View(STARTED.order), 1)
    await desk.write([(order_of(APPROVED), 2)], history=[said._replace(seq=5), said._replace(seq=3, key="O-2")])
    assert await desk.read() == (View(APPROVED.order), 2)


async def test_an_order_is_found_by_the_skus_that_it_began_with_and_by_those_that_were_added(server_dsn: str) -> None:
    added = LineItemAdded(
        reservation_id="r", sku="milk", quantity=1, unit_price_minor=90, total_minor=90, currency="GBP"
    )
    cause = Message("command", ORDER, START, "cmd", "test", NOW, "uid")
    said = Stamped(3, ORDER, TYPE_OF[LineItemAdded][1], added, NOW, "cmd", "e-3", None, cause)
    async with fresh_database(server_dsn, MIGRATIONS) as dsn:
        store, orders = PostgresStore(dsn), PostgresOrders("order-worker-test")
        epoch = (await store.take_over(0, "test", ())).epoch
        for version, history in ((1, ()), (2, (said,)), (3, (said._replace(seq=4),))):
            transaction = await store.begin()
            orders.stage(transaction, Changes([(order_of(STARTED), version)], (), history, NOW))
            await transaction.commit(Commit(0, epoch, {}, {}, 1))
        await store.close()
        connection = await asyncpg.connect(dsn)
        try:
            rows = await connection.fetch("SELECT sku, created_at, order_id FROM order_sku ORDER BY sku")
        finally:
            await connection.close()
    assert [tuple(row) for row in rows] == [(sku, order_of(STARTED).created_at, ORDER) for sku in ("milk", "tea")]
