"""A service on a broker in memory that can be broken and mended: recommendation, which needs no rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orderctl_shop import PARTITIONS, MemoryTransport, WallClock

from contracts.envelope import encode, headers_for
from contracts.recommendation import Recommend
from contracts.topics import RECOMMENDATION_COMMANDS, dead_letter_topic
from messaging.decision import Message
from messaging.handler import Parts
from messaging.memory import MemoryBroker, MemoryDatabase, MemoryStore
from messaging.meters import Meters
from messaging.partitioner import partition_of
from messaging.ports import Record
from messaging.schedule import Barrier
from messaging.worker import PartitionWorker
from services.recommendation.handlers import SERVICE, RecommendationBatch, RecommendationHandler
from simulation.clock import finish

DEAD = dead_letter_topic(RECOMMENDATION_COMMANDS, SERVICE)


class Fragile(RecommendationHandler):
    """Cannot decide anything about the SKUs in `broken`."""

    def __init__(self) -> None:
        super().__init__({})
        self.broken: set[str] = set()

    async def load(self, transaction: Any, parts: Parts) -> RecommendationBatch:
        batch = await super().load(transaction, parts)
        decide = batch.decide

        def fragile(message: Message, now: datetime) -> Any:
            if self.broken & set(getattr(message.data, "skus", ())):
                raise ValueError("broken for now")
            return decide(message, now)

        batch.decide = fragile  # type: ignore[method-assign]
        return batch


class Service:
    """The service, its broker and the client's way to it. While it is `away` nothing is handled."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(WallClock(), PARTITIONS)
        self.transport = MemoryTransport(self.broker, lambda record: self.work())
        self.handler = Fragile()
        self.away = False
        store, meters = MemoryStore(MemoryDatabase(WallClock())), Meters(SERVICE)
        self.workers = [
            PartitionWorker(self.handler, store, partition, PARTITIONS, "test", meters)
            for partition in range(PARTITIONS)
        ]
        for worker in self.workers:
            finish(worker.take_over())

    def ask(self, key: str, sku: str, number: int) -> Record:
        """Send a question about a SKU under the key."""
        data = Recommend(request_id=f"{key}-{number}", skus=(sku,))
        now = datetime.now(UTC)
        value = encode(
            id=f"{key}-{number}",
            source="test",
            type="recommendation.recommend.v1",
            subject=key,
            data=data,
            time=now,
            correlationid=key,
        )
        headers = [*headers_for("recommendation.recommend.v1"), ("x-mine", b"\xff")]
        return self.broker.append(RECOMMENDATION_COMMANDS, key.encode(), value, headers, partition_of(key, PARTITIONS))

    def work(self) -> None:
        """Handle and publish everything that is there."""
        if self.away:
            return
        for worker in self.workers:
            handled = 1
            while handled:
                offset = worker.offsets[RECOMMENDATION_COMMANDS]
                worker.buffers.offer(
                    self.broker.read(RECOMMENDATION_COMMANDS, worker.partition, offset), worker.offsets
                )
                ends = {RECOMMENDATION_COMMANDS: self.broker.end(RECOMMENDATION_COMMANDS, worker.partition)}
                now = datetime.now(UTC)
                handled = finish(worker.step(now, Barrier(now, ends)))
                finish(worker.publish(self.broker))

    def answered(self) -> list[str]:
        """The requests that were answered, in order for each key."""
        from pydantic_core import from_json

        found = self.broker.all_records("recommendation.events.v1")
        return [from_json(record.value or b"")["data"]["request_id"] for record in found]

    def sent(self) -> int:
        """How many records stand on the command topic."""
        return len(self.broker.all_records(RECOMMENDATION_COMMANDS))

    @property
    def lanes(self) -> dict[str, int]:
        """The keys that wait, each with how many wait behind its head."""
        return {lane.key: lane.records - 1 for worker in self.workers for lane in worker.lanes}
