"""Partitions that sell the same pieces at the same time, on a real PostgreSQL: no deadlock, nothing sold twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest
from inventory_bench import (
    PARTITIONS,
    Bench,
    PostgresBackend,
    completed,
    key_on,
    new_database,
    pieces,
    receive,
    release,
    reserve,
)

from contracts.inventory import AdjustStock, ReservationRefused, StockReserved
from messaging.worker import PartitionWorker

DEADLINE_S = 120

HELD_AND_SHIPPED_DISAGREE = """
SELECT s.sku FROM stock s LEFT JOIN (
    SELECT sku, sum(quantity) FILTER (WHERE state = 'held') AS held, sum(quantity) FILTER (WHERE state = 'shipped') AS shipped
    FROM reservation_line GROUP BY sku
) l USING (sku)
WHERE s.held <> coalesce(l.held, 0) OR s.shipped <> coalesce(l.shipped, 0)
    OR s.on_hand + s.held + s.shipped <> s.received + s.adjusted
"""


@pytest.fixture(params=[False, True], ids=["apart", "together"])
async def bench(server_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with new_database(server_dsn) as dsn:
        bench = Bench(PostgresBackend(dsn), request.param)
        await bench.start()
        yield bench
        await bench.stop()


async def all_at_once(bench: Bench, limit: int) -> None:
    """Every partition works through what it has, in batches of `limit`, beside the others. The first error ends it."""

    async def work(worker: PartitionWorker) -> None:
        while await bench.turn(worker, limit):
            pass

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        for worker in bench.workers:
            group.create_task(work(worker))


async def disagreements(bench: Bench) -> list[asyncpg.Record]:
    assert isinstance(bench.backend, PostgresBackend)
    return await bench.backend.fetch(HELD_AND_SHIPPED_DISAGREE)


async def test_the_last_pieces_are_sold_once_each(bench: Bench) -> None:
    skus = ["A", "B", "C", "D"]
    for sku in skus:
        await bench.ask(sku, receive(sku, 50))
    orders = [key_on(number % PARTITIONS, number // PARTITIONS) for number in range(400)]
    for number, order in enumerate(orders):
        # Every order wants all SKUs, in an order of its own.
        wanted = random.Random(number).sample(skus, len(skus))
        bench.send(order, reserve("r1", *[(sku, 1) for sku in wanted]))
    await all_at_once(bench, limit=3)
    said = bench.said()
    answers = Counter(type(answer) for order in orders for answer in said[order])
    assert answers == {StockReserved: 50, ReservationRefused: 350}
    assert all(len(said[order]) == 1 for order in orders)
    assert await bench.backend.stock() == {sku: pieces(50, held=50) for sku in skus}
    assert await disagreements(bench) == []


async def test_holds_releases_shipments_and_receipts_beside_each_other_lose_no_piece(bench: Bench) -> None:
    dice = random.Random(7)
    skus = [f"S{number}" for number in range(12)]
    for sku in skus:
        await bench.ask(sku, receive(sku, 40))
    orders = [key_on(number % PARTITIONS, number // PARTITIONS) for number in range(300)]
    for order in orders:
        wanted = [(sku, dice.randint(1, 4)) for sku in dice.choices(skus, k=dice.randint(1, 6))]
        bench.send(order, reserve("r1", *wanted))
        bench.send(order, reserve("r2", (dice.choice(skus), 1)))
        bench.send(order, release("r2"))
        if dice.random() < 0.4:
            bench.send(order, release("r1"))
        elif dice.random() < 0.5:
            bench.send(order, completed("r1"))
        sku = dice.choice(skus)
        bench.send(sku, receive(sku, 1, None))
        bench.send(sku, AdjustStock(sku=sku, delta=-1, reason="broken"))
    await all_at_once(bench, limit=7)
    assert await disagreements(bench) == []
    states = Counter((await bench.backend.states()).values())
    assert min(states[state] for state in ("held", "released", "shipped")) > 0


async def test_two_orders_for_the_last_piece_have_one_winner_a_hundred_times(bench: Bench) -> None:
    rounds = 100
    for number in range(rounds):
        bench.send(f"L{number}", receive(f"L{number}", 1))
    await bench.drain()
    pairs = [(key_on(0, number), key_on(1, number)) for number in range(rounds)]
    for number, pair in enumerate(pairs):
        for order in pair:
            bench.send(order, reserve("r1", (f"L{number}", 1)))
    await all_at_once(bench, limit=1)
    said = bench.said()
    for pair in pairs:
        assert Counter(type(said[order][0]) for order in pair) == {StockReserved: 1, ReservationRefused: 1}
