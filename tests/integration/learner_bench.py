"""The learner as a process of its own on a real broker, and what a test says to it and hears from it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer, TopicPartition
from waiting import until

from contracts.envelope import encode, headers_for
from contracts.orders import OrderCompleted
from contracts.topics import ORDERS_EVENTS, RECOMMENDATION_PAIRS
from contracts.values import PricedItem
from devstack.stack import Stack
from messaging.clients import make_producer, make_reader
from messaging.partitioner import partition_of
from services.recommendation.copy import PairsCopy
from services.recommendation.learner.app import COMPLETED

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
Orders = Sequence[tuple[str, Sequence[str]]]
Best = dict[str, tuple[tuple[str, int], ...]]


def computed(orders: Orders) -> Best:
    """What should be known after these orders, straight from what is asked: a plain count over pairs."""
    held = {order_id: sorted(set(skus)) for order_id, skus in orders}
    counts: dict[str, Counter[str]] = {}
    for skus in held.values():
        for sku in skus:
            counts.setdefault(sku, Counter()).update(other for other in skus if other != sku)
    return {
        sku: tuple(sorted(with_it.items(), key=lambda item: (-item[1], item[0]))[:5])
        for sku, with_it in counts.items()
        if with_it
    }


def completed(order_id: str, skus: Iterable[str], id: str = "") -> bytes:
    """The event that tells that this order completed."""
    data = OrderCompleted(
        items=tuple(PricedItem(sku=sku, quantity=1, unit_price_minor=1) for sku in skus),
        total_minor=1,
        currency="GBP",
        customer_id="C1",
        reservation_ids=(),
    )
    return encode(
        id=id or f"{order_id}-done",
        source="orders",
        type=COMPLETED,
        subject=order_id,
        data=data,
        time=datetime(2026, 3, 1, tzinfo=UTC),
        correlationid=order_id,
    )


class Bench:
    """One broker, and a producer on it."""

    def __init__(self, stack: Stack, producer: AIOKafkaProducer) -> None:
        self.stack = stack
        self.producer = producer
        self.bootstrap = stack.settings.bootstrap

    async def complete(self, orders: Orders, times: int = 1) -> None:
        """These orders complete; each is told so often."""
        everything = [order for _ in range(times) for order in orders]
        for first in range(0, len(everything), 100):  # more at once may make a batch that the broker refuses
            sends = [
                await self.producer.send(
                    ORDERS_EVENTS,
                    completed(order_id, skus),
                    order_id.encode(),
                    partition_of(order_id, PARTITIONS),
                    headers=headers_for(COMPLETED),
                )
                for order_id, skus in everything[first : first + 100]
            ]
            await asyncio.gather(*sends)

    async def put(self, key: bytes | None, value: bytes | None, named: str | None, partition: int = 0) -> None:
        """Any record at all on the orders' events."""
        headers = [] if named is None else headers_for(named)
        batch = self.producer.create_batch()  # unlike send(), it takes records without key and value
        batch.append(key=key, value=value, timestamp=None, headers=headers)
        await (await self.producer.send_batch(batch, ORDERS_EVENTS, partition=partition))

    async def read(self, topic: str) -> list[Any]:
        """Everything on a topic now."""
        reader = make_reader(self.bootstrap, "test")
        await reader.start()
        try:
            tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            reader.assign(tps)
            await reader.seek_to_beginning(*tps)
            ends = await reader.end_offsets(tps)
            found: list[Any] = []
            while any([await reader.position(tp) < ends[tp] for tp in tps]):
                for records in (await reader.getmany(timeout_ms=200)).values():
                    found += records
            return found
        finally:
            await reader.stop()

    async def told(self) -> Best:
        """What stands on the pairs' topic, the last record of each SKU."""
        copy = PairsCopy()
        for record in await self.read(RECOMMENDATION_PAIRS):
            copy.apply(record.key, record.value)
        assert copy.unreadable == 0
        return {sku: tuple((pair.sku, pair.count) for pair in best) for sku, best in copy.pairs.items()}

    async def knows(self, expected: Best, deadline_s: float = 120) -> None:
        """Wait until exactly this is told about these SKUs."""
        wrong: dict[str, Any] = {}

        async def known() -> bool:
            told = await self.told()
            wrong.clear()
            wrong.update({sku: (told.get(sku), best) for sku, best in expected.items() if told.get(sku) != best})
            return not wrong

        def what_is_wrong() -> str:
            return f"{len(wrong)} of {len(expected)} SKUs are told wrongly: {list(wrong.items())[:5]}"

        await until(known, what_is_wrong, deadline_s)


class LearnerProcess:
    """`python -m services.recommendation.learner`, as the stack runs it."""

    def __init__(self, bench: Bench, log: Path, queue: str = "test") -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KAFKA_BOOTSTRAP_SERVERS": bench.bootstrap,
            "TOPIC_PARTITIONS": str(PARTITIONS),
            "ORDER_TASK_QUEUE": queue,
            "HTTP_PORT": str(self.port),
        }
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.recommendation.learner"], cwd=ROOT, env=env, stdout=out, stderr=out
            )

    async def ready(self, deadline_s: float = 120) -> None:
        """Wait for `/readyz`."""
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                assert self.process.poll() is None, f"it ended with {self.process.poll()}:\n{self.tail()}"
                try:
                    async with session.get(f"{self.url}/readyz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await until(answers, lambda: f"ready\n{self.tail()}", deadline_s)

    async def metrics(self) -> str:
        """What `/metrics` says."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as answer:
            return await answer.text()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-3000:]

    def kill(self) -> None:
        """As the machine would: no word to anybody."""
        self.process.kill()
        self.process.wait(10)

    async def stop(self) -> float:
        """SIGTERM. Returns how long it took; the exit code must be 0."""
        began = monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, 15)
        assert code == 0, f"it ended with {code}:\n{self.tail()}"
        return monotonic() - began

    def end(self) -> None:
        """Whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()


@asynccontextmanager
async def bench_on(stack: Stack) -> AsyncIterator[Bench]:
    """A bench on this stack's broker."""
    producer = make_producer(stack.settings.bootstrap, "test")
    await producer.start()
    try:
        yield Bench(stack, producer)
    finally:
        await producer.stop()
