"""The stock room on the runtime, with its tables in memory and in a real PostgreSQL: both keep the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
from inventory_bench import (
    PARTITIONS,
    Bench,
    MemoryBackend,
    PostgresBackend,
    check,
    completed,
    new_database,
    pieces,
    receive,
    release,
    reserve,
)

from contracts.inventory import (
    AdjustStock,
    CommandRejected,
    ReservationRefused,
    StockAdjusted,
    StockChecked,
    StockLevel,
    StockReceived,
    StockReleased,
    StockReserved,
    StockShipped,
)
from contracts.orders import OrderCancelled
from contracts.topics import INVENTORY_COMMANDS, ORDERS_EVENTS, dead_letter_topic
from contracts.values import Item, PricedItem
from messaging.errors import StaleRowError
from messaging.partitioner import partition_of
from services.inventory.store import Writes


@pytest.fixture(params=["memory", "postgres"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "memory":
        bench = Bench(MemoryBackend())
        await bench.start()
        yield bench
        return
    async with new_database(request.getfixturevalue("server_dsn")) as dsn:
        bench = Bench(PostgresBackend(dsn))
        await bench.start()
        yield bench
        await bench.stop()


async def test_stock_is_received_held_released_and_shipped(bench: Bench) -> None:
    assert await bench.ask("A", receive("A", 10), id="c1") == [
        StockReceived(
            command_id="c1", sku="A", quantity=10, on_hand=10, unit_price_minor=100, currency="GBP", duplicate=False
        )
    ]
    await bench.ask("B", receive("B", 5, 50))
    assert await bench.ask("o1", reserve("r1", ("B", 2), ("A", 1), ("B", 1))) == [
        StockReserved(
            reservation_id="r1",
            items=(
                PricedItem(sku="B", quantity=2, unit_price_minor=50),
                PricedItem(sku="A", quantity=1, unit_price_minor=100),
                PricedItem(sku="B", quantity=1, unit_price_minor=50),
            ),
            currency="GBP",
        )
    ]
    await bench.ask("o2", reserve("r2", ("A", 4)))
    assert await bench.ask("o2", release("r2")) == [
        StockReleased(reservation_id="r2", items=(Item(sku="A", quantity=4),))
    ]
    (shipped,) = await bench.ask("o1", completed("r1"))
    assert isinstance(shipped, StockShipped)
    assert await bench.backend.stock() == {"A": pieces(10, shipped=1), "B": pieces(5, shipped=3)}
    assert await bench.backend.states() == {("o1", "r1"): "shipped", ("o2", "r2"): "released"}


async def test_every_repeat_gets_its_recorded_answer_also_from_a_new_process(bench: Bench) -> None:
    await bench.ask("A", receive("A", 3), id="c1")
    await bench.ask("A", AdjustStock(sku="A", delta=-9, reason="lost"), id="c2")
    held = await bench.ask("o1", reserve("r1", ("A", 2)))
    refused = await bench.ask("o2", reserve("r2", ("A", 2)))
    unknown = await bench.ask("o3", reserve("r3", ("A", 1), ("Z", 1)))
    buried = await bench.ask("o4", release("r4"))
    await bench.stop()
    await bench.start()
    assert await bench.ask("o1", reserve("r1", ("A", 1))) == held
    assert await bench.ask("o2", reserve("r2", ("A", 1))) == refused
    assert await bench.ask("o3", reserve("r3", ("A", 1))) == unknown
    assert await bench.ask("o4", release("r4")) == buried == [StockReleased(reservation_id="r4", items=())]
    (late,) = await bench.ask("o4", reserve("r4", ("A", 1)))
    assert isinstance(late, ReservationRefused)
    assert late.reason == "released"
    (received,) = await bench.ask("A", receive("A", 3), id="c1")
    (rejected,) = await bench.ask("A", AdjustStock(sku="A", delta=-9, reason="lost"), id="c2")
    assert isinstance(received, StockReceived)
    assert isinstance(rejected, CommandRejected)
    assert (received.on_hand, received.duplicate) == (3, True)
    assert (rejected.reason, rejected.duplicate) == ("not-allowed", True)
    assert await bench.backend.stock() == {"A": pieces(3, held=2)}


async def test_a_whole_life_fits_into_one_batch(bench: Bench) -> None:
    bench.send("o1", release("early"))
    bench.send("o1", reserve("early", ("A", 1)))
    for key in ("A", "A", "B"):
        bench.send(key, receive(key, 5), id="same")
    await bench.drain()
    bench.send("o1", reserve("r1", ("A", 2), ("B", 1)))
    bench.send("o1", reserve("r1", ("A", 5)))
    bench.send("o1", reserve("r2", ("A", 2)))
    bench.send("o1", release("r2"))
    bench.send("o1", completed("r1", "r2"))
    bench.send("o1", completed("r1"))
    await bench.drain()
    assert [type(said).__name__ for said in bench.said()["o1"]] == [
        "StockReleased",
        "ReservationRefused",
        "StockReserved",
        "StockReserved",
        "StockReserved",
        "StockReleased",
        "StockShipped",
    ]
    assert await bench.backend.stock() == {"A": pieces(5, shipped=2), "B": pieces(5, shipped=1)}
    assert await bench.backend.irregularities() == {("o1", "r2", "shipping-not-held", "released")}


async def test_what_should_never_happen_is_kept_for_the_audit_once(bench: Bench) -> None:
    await bench.ask("A", receive("A", 5))
    await bench.ask("o1", reserve("r1", ("A", 1)))
    for shipped in ([StockShipped(reservation_id="r1", items=(Item(sku="A", quantity=1),))], []):
        assert await bench.ask("o1", completed("r1", "ghost")) == shipped
        assert await bench.ask("o1", release("r1")) == [StockReleased(reservation_id="r1", items=())]
    assert await bench.backend.irregularities() == {
        ("o1", "ghost", "shipping-not-held", "unknown"),
        ("o1", "r1", "release-after-shipping", "shipped"),
    }
    assert await bench.backend.stock() == {"A": pieces(5, shipped=1)}


async def test_what_is_not_held_any_more_is_not_moved_once_more(bench: Bench) -> None:
    await bench.ask("A", receive("A", 5))
    await bench.ask("o1", reserve("r1", ("A", 2)))
    await bench.ask("o1", release("r1"))
    partition, inventory = partition_of("o1", PARTITIONS), bench.backend.inventory()
    transaction = await bench.stores[partition].begin()
    (row,) = (await inventory.reservations(transaction, {("o1", "r1")})).values()
    inventory.stage(transaction, Writes(changed_reservations=[replace(row, state="shipped")]))
    with pytest.raises(StaleRowError):
        await transaction.commit(bench.workers[partition]._new_commit())
    await bench.stores[partition].rollback(transaction)
    assert await bench.backend.states() == {("o1", "r1"): "released"}


async def test_adjustments_add_up(bench: Bench) -> None:
    await bench.ask("A", receive("A", 5))
    await bench.ask("A", AdjustStock(sku="A", delta=-2, reason="broken"))
    (answer,) = await bench.ask("A", AdjustStock(sku="A", delta=4, reason="found"), id="c9")
    assert answer == StockAdjusted(command_id="c9", sku="A", delta=4, on_hand=7, duplicate=False)
    assert await bench.backend.stock() == {"A": pieces(5, adjusted=2)}


async def test_an_invalid_command_is_rejected_and_its_repeat_too(bench: Bench) -> None:
    command = {"specversion": "1.0", "id": "c1", "source": "s", "type": "inventory.reserve-stock.v1", "subject": "o1"}
    for _ in range(2):
        bench.send_raw(INVENTORY_COMMANDS, "o1", {**command, "data": {"reservation_id": "r1", "items": []}})
    await bench.drain()
    bench.send_raw(INVENTORY_COMMANDS, "o1", {**command, "data": {}})
    await bench.drain()
    answers = bench.said()["o1"]
    assert all(isinstance(a, CommandRejected) and a.reason == "invalid" for a in answers)
    assert [a.duplicate for a in answers if isinstance(a, CommandRejected)] == [False, True, True]
    assert await bench.backend.states() == {}


async def test_hostile_texts_are_kept_as_they_are(bench: Bench) -> None:
    sku = "sku 'ü\"; drop table stock; -- 日本 \\u0000 {}"
    await bench.ask(sku, receive(sku, 5))
    await bench.ask(sku, reserve(sku, (sku, 2)))
    assert await bench.backend.stock() == {sku: pieces(5, held=2)}
    assert await bench.backend.states() == {(sku, sku): "held"}
    again = await bench.ask(sku, reserve(sku, (sku, 1)))
    assert isinstance(again[0], StockReserved)
    assert again[0].items == (PricedItem(sku=sku, quantity=2, unit_price_minor=100),)


async def test_an_event_that_no_database_can_hold_is_set_aside_at_the_door_and_nobody_waits_behind_it(
    bench: Bench,
) -> None:
    await bench.ask("A", receive("A", 5))
    for order_id, reservation_id in (("o1", "r1"), ("o2", "r2")):
        bench.send(order_id, reserve(reservation_id, ("A", 1)))
    bench.send("o1", completed("r\x00"))
    bench.send("o1", completed("r1"))
    bench.send("o2", completed("r2"))
    await bench.drain()
    assert await bench.backend.stock() == {"A": pieces(5, shipped=2)}
    assert len(bench.broker.all_records(dead_letter_topic(ORDERS_EVENTS, "inventory"))) == 1


async def test_events_that_move_no_stock_are_passed_over(bench: Bench) -> None:
    await bench.ask("A", receive("A", 5))
    await bench.ask("o1", reserve("r1", ("A", 1)))
    assert await bench.ask("o1", OrderCancelled(reason="customer-request", customer_id="c")) == []
    assert await bench.backend.stock() == {"A": pieces(5, held=1)}


async def test_a_thousand_lines_are_one_reservation(bench: Bench) -> None:
    skus = [f"S{number}" for number in range(250)]
    for sku in skus:
        bench.send(sku, receive(sku, 4))
    await bench.drain()
    (answer,) = await bench.ask("o1", reserve("r1", *[(sku, 1) for sku in skus * 4]))
    assert isinstance(answer, StockReserved)
    assert [item.sku for item in answer.items] == skus * 4
    (answer,) = await bench.ask("o2", reserve("r2", *[(sku, 1) for sku in skus]))
    assert isinstance(answer, ReservationRefused)
    assert all(row == pieces(4, held=4) for row in (await bench.backend.stock()).values())


async def test_a_check_tells_the_stock_and_what_its_own_batch_has_changed_so_far(bench: Bench) -> None:
    await bench.ask("A", receive("A", 5))
    await bench.ask("o9", reserve("r9", ("A", 1)))
    known = StockLevel(sku="A", on_hand=4, unit_price_minor=100, currency="GBP")
    unknown = StockLevel(sku="Z", on_hand=0)
    assert await bench.ask("o1", check("c1", "Z", "A"), id="m") == [
        StockChecked(request_id="c1", levels=(unknown, known))
    ]
    for question in (check("c2", "A"), reserve("r1", ("A", 3)), check("c3", "A"), release("r1"), check("c4", "A")):
        bench.send("o1", question, id="m")
    await bench.drain()
    told = [said for said in bench.said()["o1"][1:] if isinstance(said, StockChecked)]
    assert [(said.request_id, said.levels[0].on_hand) for said in told] == [("c2", 4), ("c3", 1), ("c4", 4)]
    assert await bench.backend.stock() == {"A": pieces(5, held=1)}
    assert await bench.backend.states() == {("o9", "r9"): "held", ("o1", "r1"): "released"}


async def test_a_check_finds_a_sku_that_is_new_in_its_batch(bench: Bench) -> None:
    bench.send("A", receive("A", 5))
    bench.send("A", check("c1", "A", "B"))
    await bench.drain()
    (told,) = [said for said in bench.said()["A"] if isinstance(said, StockChecked)]
    assert [row.on_hand for row in told.levels] == [5, 0]


async def test_a_check_waits_for_nobody_who_holds_the_stock_and_keeps_nobody_waiting(bench: Bench) -> None:
    if isinstance(bench.backend, MemoryBackend):
        pytest.skip("memory has no locks")
    assert isinstance(bench.backend, PostgresBackend)
    await bench.ask("A", receive("A", 5))
    other = await asyncpg.connect(bench.backend.dsn)
    async with asyncio.timeout(90), other.transaction():
        await other.execute("UPDATE stock SET received = 9 WHERE sku = 'A'")
        (told,) = await bench.ask("o1", check("c1", "A"))
    assert isinstance(told, StockChecked)
    assert told.levels[0].on_hand == 5
    store = bench.backend.store()
    transaction = await store.begin()
    assert (await bench.backend.inventory().seen_stock(transaction, ["A"]))["A"].on_hand == 9
    async with asyncio.timeout(90):
        await other.execute("UPDATE stock SET received = 8 WHERE sku = 'A'")
    await store.rollback(transaction)
    await store.close()
    await other.close()
