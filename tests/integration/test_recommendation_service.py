"""The answering service as a process, on a real broker and a real database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest
from learner_bench import PARTITIONS, ROOT, Bench, bench_on
from waiting import until

from contracts.envelope import encode, headers_for
from contracts.recommendation import Recommend
from contracts.topics import RECOMMENDATION_COMMANDS, RECOMMENDATION_EVENTS, RECOMMENDATION_PAIRS
from devstack.ports import free_offset
from devstack.settings import DATABASES
from devstack.stack import Stack
from devstack.topics import ensure_topics
from messaging.partitioner import partition_of
from messaging.settings import load_settings
from services.recommendation import pairs
from services.recommendation.copy import CopyReader, PairsCopy
from services.recommendation.pairs import BoughtTogether, Pair


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


async def tell(bench: Bench, sku: str, **counts: int) -> None:
    best = tuple(Pair(sku=other, count=count) for other, count in counts.items())
    value = BoughtTogether(sku=sku, orders=1, best=best).encode()
    partition = partition_of(sku, PARTITIONS)
    await bench.producer.send_and_wait(
        RECOMMENDATION_PAIRS, value, sku.encode(), partition=partition, headers=pairs.headers()
    )


async def ask(bench: Bench, order_id: str, *skus: str) -> list[str]:
    """Ask, and wait for the answer."""
    data = Recommend(request_id=f"r-{order_id}", skus=skus)
    named = "recommendation.recommend.v1"
    told = encode(
        id=f"q-{order_id}",
        source="orders",
        type=named,
        subject=order_id,
        data=data,
        time=datetime.now(UTC),
        correlationid=order_id,
    )
    key, partition = order_id.encode(), partition_of(order_id, PARTITIONS)
    await bench.producer.send_and_wait(RECOMMENDATION_COMMANDS, told, key, partition, headers=headers_for(named))

    async def answered() -> dict[str, Any] | None:
        told = [record.value for record in await bench.read(RECOMMENDATION_EVENTS) if record.key == key]
        return json.loads(told[0])["data"] if told else None

    answer = await until(answered, f"an answer about {order_id}", 20)
    assert answer["request_id"] == f"r-{order_id}"
    return list(answer["skus"])


def start(env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "services.recommendation"], cwd=ROOT, env=env, stdout=out, stderr=out
        )


async def test_once_ready_it_answers_from_all_that_was_known_and_then_from_what_is_new(
    bench: Bench, tmp_path: Path
) -> None:
    for number in range(50):
        await tell(bench, f"S{number}", X=number + 1, Y=1)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = {**os.environ, **bench.stack.environment(), "PYTHONPATH": str(ROOT), "HTTP_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    process = start(env, tmp_path / "service.log")
    try:
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                assert process.poll() is None, (tmp_path / "service.log").read_text()[-3000:]
                try:
                    async with session.get(f"{url}/readyz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await until(ready, "the service is ready", 30)
            async with session.get(f"{url}/pairs/S9") as answer:
                assert await answer.json() == {
                    "sku": "S9",
                    "best": [{"sku": "X", "count": 10}, {"sku": "Y", "count": 1}],
                }
            assert await ask(bench, "O1", "S1", "S2") == ["X", "Y"]
            assert await ask(bench, "O2", "nobody-knows") == []
            await tell(bench, "S1", NEW=100)

            async def new() -> bool:
                async with session.get(f"{url}/pairs/S1") as answer:
                    return bool((await answer.json())["best"][0]["sku"] == "NEW")

            await until(new, "what is new is known", 30)
            assert await ask(bench, "O3", "S1") == ["NEW"]
        began = monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0
        assert monotonic() - began < 10
    finally:
        if process.poll() is None:
            process.kill()


async def test_the_copy_outlives_the_broker_and_reads_on_when_it_is_back(bench: Bench) -> None:
    await tell(bench, "T1", A=1)
    settings = load_settings(
        "recommendation", env={"KAFKA_BOOTSTRAP_SERVERS": bench.bootstrap, "TOPIC_PARTITIONS": str(PARTITIONS)}
    )
    copy = PairsCopy()
    reader = CopyReader(settings, copy)
    reader.start()
    try:
        assert await reader.wait_loaded(20)
        assert copy.pairs["T1"] == (Pair(sku="A", count=1),)
        bench.stack.kill("kafka")
        assert copy.pairs["T1"] == (Pair(sku="A", count=1),)
        await asyncio.to_thread(bench.stack.wait_until_ready, 60)
        await ensure_topics(bench.bootstrap, PARTITIONS)
        async with bench_on(bench.stack) as again:
            await tell(again, "T1", B=2)

        async def told() -> bool:
            return copy.pairs["T1"] == (Pair(sku="B", count=2),)

        await until(told, "the copy is up to date", 30)
    finally:
        await reader.close()
