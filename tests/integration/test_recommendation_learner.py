"""The learner on a real broker: what it learns stays right whatever is thrown at it. Each test uses SKUs of its own."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from learner_bench import PARTITIONS, Bench, LearnerProcess, bench_on, computed
from waiting import until

from audit.watcher.watcher import Settings as WatcherSettings
from audit.watcher.watcher import Watcher
from contracts.topics import (
    ORDERS_EVENTS,
    RECOMMENDATION_BASKETS,
    RECOMMENDATION_CHANGELOG,
    RECOMMENDATION_LEARNER,
    RECOMMENDATION_PAIRS,
)
from devstack.ports import free_offset
from devstack.settings import DATABASES
from devstack.stack import Stack
from devstack.topics import ensure_topics
from messaging.partitioner import partition_of
from orderctl.importer import make_plan, read_rows
from services.recommendation.learner.app import COMPLETED, DEAD_LETTERS

FILE = Path(__file__).parents[2].parent / "shared" / "data" / "online_retail.csv"
Start = Callable[..., LearnerProcess]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    patch = pytest.MonkeyPatch()
    for name in ("KAFKA_BOOTSTRAP_SERVERS", *(f"{name.upper()}_DATABASE_URL" for name in DATABASES)):
        patch.delenv(name, raising=False)
    patch.setenv("TOPIC_PARTITIONS", str(PARTITIONS))
    with Stack(home=tmp_path_factory.mktemp("stack"), offset=free_offset()) as running:
        yield running
    patch.undo()


@pytest.fixture
async def bench(stack: Stack) -> AsyncIterator[Bench]:
    async with bench_on(stack) as found:
        yield found


@pytest.fixture
def start(bench: Bench, tmp_path: Path) -> Iterator[Start]:
    started: list[LearnerProcess] = []

    def one(queue: str = "test") -> LearnerProcess:
        learner = LearnerProcess(bench, tmp_path / f"learner-{len(started)}.log", queue)
        started.append(learner)
        return learner

    yield one
    for learner in started:
        learner.end()


def some_orders(prefix: str, count: int, seed: int = 1) -> list[tuple[str, list[str]]]:
    chance = random.Random(seed)
    skus = [f"{prefix}{number}" for number in range(12)]
    return [(f"{prefix}-{number}", chance.choices(skus, k=chance.randint(1, 6))) for number in range(count)]


async def test_it_learns_from_completed_orders_each_once_and_stops_in_time(bench: Bench, start: Start) -> None:
    learner = start()
    await learner.ready()
    orders = some_orders("A", 60)
    await bench.complete(orders, times=2)
    await bench.knows(computed(orders))
    await bench.complete(orders[:20])
    more = some_orders("A", 80)
    await bench.complete(more[60:])
    await bench.knows(computed(more))
    assert await learner.stop() < 10


async def test_a_poisoned_record_is_set_aside_and_stops_nothing(bench: Bench, start: Start) -> None:
    learner = start()
    await bench.put(b"P-bad", b"\xff{not json", COMPLETED)
    await bench.put(None, None, COMPLETED)
    await bench.put(b"P-bad", b'{"specversion":"1.0","type":"orders.order-completed.v1"}', COMPLETED)
    await bench.put(b"P-other", b"\xff not parsed", "orders.order-started.v1")
    await bench.put(b"P-bare", b"\xff not parsed either", None)
    await bench.producer.send_and_wait(RECOMMENDATION_BASKETS, b"no basket", b"\xff", 1)
    orders = [(order_id, ["P1", "P2"]) for order_id in (f"P-{number}" for number in range(40))]
    assert {partition_of(order_id, PARTITIONS) for order_id, _ in orders} == set(range(PARTITIONS))
    await bench.complete(orders)
    await bench.knows(computed(orders))
    letters = await bench.read(DEAD_LETTERS)
    told = {(dict(letter.headers)["dlq-topic"], dict(letter.headers)["dlq-reason"], letter.value) for letter in letters}
    assert {(topic, reason) for topic, reason, _ in told} == {
        (ORDERS_EVENTS.encode(), b"invalid-event"),
        (ORDERS_EVENTS.encode(), b"empty"),
        (RECOMMENDATION_BASKETS.encode(), b"invalid-basket"),
    }
    assert b"\xff{not json" in {value for _, _, value in told}
    assert 'dead_letters_total{reason="empty",topic="orders.events.v1"} 1.0' in await learner.metrics()


async def test_the_watcher_sees_how_far_it_is_behind_and_that_it_stands_still(bench: Bench, start: Start) -> None:
    watcher = Watcher(WatcherSettings(bench.bootstrap, {}, PARTITIONS, task_queue="test"))

    async def told() -> tuple[float | None, float | None, float | None]:
        await watcher.look()
        value = watcher.registry.get_sample_value
        return (
            value("watch_up", {"source": "kafka"}),
            value("consumer_lag_records", {"service": RECOMMENDATION_LEARNER, "topic": ORDERS_EVENTS}),
            value("consumer_still_seconds", {"service": RECOMMENDATION_LEARNER}),
        )

    async def caught_up() -> bool:
        return await told() == (1, 0, 0)

    try:
        learner = start()
        await learner.ready()
        orders = some_orders("W", 12)
        await bench.complete(orders)
        await bench.knows(computed(orders))
        await until(caught_up, lambda: f"the learner caught up\n{learner.tail()}", 60)
        await learner.stop()
        await bench.complete(some_orders("W", 17)[12:])
        up, lag, before_s = await told()
        assert (up, lag) == (1, 5)
        assert before_s is not None
        await told()
        up, lag, still_s = await told()
        assert (up, lag) == (1, 5)
        assert still_s is not None
        assert still_s > before_s
        learner = start()
        await until(caught_up, lambda: f"the learner caught up\n{learner.tail()}", 120)
    finally:
        await watcher.close()


@pytest.mark.proof
async def test_a_learner_killed_again_and_again_counts_each_order_once(bench: Bench, start: Start) -> None:
    orders = some_orders("K", 240)
    for first in range(0, 240, 80):
        learner = start()
        await learner.ready()
        sending = asyncio.create_task(bench.complete(orders[first : first + 80], times=2))
        await asyncio.sleep(random.Random(first).uniform(0.1, 0.9))  # anywhere in its work, on purpose
        learner.kill()
        await sending
    last = start()
    await bench.knows(computed(orders))
    assert await last.stop() < 10


async def test_partitions_that_come_and_go_lose_and_double_nothing(bench: Bench, start: Start) -> None:
    first = start()
    await first.ready()
    orders = some_orders("R", 160)
    await bench.complete(orders[:60])
    second = start()
    await bench.complete(orders[60:120], times=2)
    await second.ready()
    await bench.complete(orders[120:])
    assert await first.stop() < 10
    await bench.knows(computed(orders))


async def test_a_process_that_was_frozen_spoils_nothing_and_ends_for_a_new_start(bench: Bench, start: Start) -> None:
    first, second = start(), start()
    await first.ready()
    await second.ready()
    orders = some_orders("F", 150)
    await bench.complete(orders[:50])
    first.process.send_signal(
        signal.SIGSTOP
    )  # for longer than its membership lasts: the other one takes everything over
    await bench.complete(orders[50:100])
    await bench.knows(computed(orders[:100]))
    first.process.send_signal(signal.SIGCONT)
    assert await asyncio.to_thread(first.process.wait, 30) == 1
    again = start()
    await bench.complete(orders[100:], times=2)
    await bench.knows(computed(orders))
    await again.ready()
    assert await second.stop() < 10
    await bench.complete([("F-last", ["F1", "F2"])])
    await bench.knows(computed([*orders, ("F-last", ["F1", "F2"])]))


async def test_a_lost_state_is_read_back_and_rebuilt_from_the_topic_it_is_the_same(bench: Bench, start: Start) -> None:
    learner = start()
    orders = some_orders("L", 100)
    await bench.complete(orders)
    await bench.knows(computed(orders))
    await learner.stop()
    before = await bench.told()
    # From the changelog: the memory went with the process, and what it told is gone too.
    await renew(bench, RECOMMENDATION_PAIRS)
    learner = start()
    await bench.knows(before)
    await learner.stop()
    # From the topic: the changelog, the baskets and the group's offsets are gone.
    await renew(bench, RECOMMENDATION_PAIRS, RECOMMENDATION_CHANGELOG, RECOMMENDATION_BASKETS)
    start(queue="another")
    await bench.knows(before)
    assert await bench.told() == before


async def test_what_is_no_row_on_the_changelog_is_told_and_keeps_no_learner_from_starting(
    bench: Bench, start: Start
) -> None:
    learner = start()
    orders = some_orders("C", 30)
    await bench.complete(orders)
    await bench.knows(computed(orders))
    await learner.stop()
    for key, value in ((b"no row", b"[]"), (b'["C1","C-1"]', b"\xff"), (b"\xff", b'["C1"]')):
        await bench.producer.send_and_wait(RECOMMENDATION_CHANGELOG, value, key, 1)
    learner = start()
    await learner.ready()
    assert 'recommendation_learner_state{what="unreadable"} 3.0' in await learner.metrics()
    more = [*orders, ("C-last", ["C1", "C2"])]
    await bench.complete(more[-1:])
    await bench.knows(computed(more))


async def renew(bench: Bench, *topics: str) -> None:
    """The topics, empty."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(list(topics))

        async def gone() -> bool:
            return not set(topics) & set(await admin.list_topics())

        await until(gone, f"{topics} are gone", 20)
    finally:
        await admin.close()
    await ensure_topics(bench.bootstrap, PARTITIONS)


@pytest.mark.skipif(not FILE.is_file(), reason=f"the real file is not there: {FILE.name}")
async def test_the_pairs_of_the_real_invoices_are_those_that_a_plain_count_finds(bench: Bench, start: Start) -> None:
    plan = make_plan(read_rows(FILE))
    orders = [(order.order_id, [sku for sku, _ in order.items]) for order in plan.orders]
    expected = computed(orders)
    assert len(expected) > 1_000
    start(queue="real")
    await bench.complete(orders, times=2)
    await bench.knows(expected, deadline_s=180)
