"""Who is measured through Kafka: this system, and whoever takes the same commands and tells the same events."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.fleet import Fleet
from benchmarks.measure import AllSent, Outcome, Run
from messaging.ports import Wire
from orderctl.events import RawRecord
from orderctl.load import LoadPlan, Target, run_load
from orderctl.load.plan import scripts
from orderctl.load.run import kafka_transport
from orderctl.transport import Transport

SKUS: Final = 50
CUSTOMERS: Final = 10
#: Enough for all runs: none of them has to fill the shop.
STOCK_PER_SKU: Final = 1_000_000
#: Of a burst all orders begin before the first one ends: the wait for the ends is for all of them.
LEAST_WAIT_S: Final = 120.0
SLOWEST_PER_S: Final = 50
_UNLIMITED: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class OnKafka:
    """Driven by `orderctl`'s load generator. `prefix` stands before the names of all its topics. `shop`: it takes stock and
    customers as commands; else it has its own. `skus`, `customers`: of how many an order takes one."""

    name: str
    fleet: Fleet
    prefix: str = ""
    shop: bool = True
    workflow_version: int | None = None
    skus: int = SKUS
    customers: int = CUSTOMERS

    async def drive(self, run: Run, all_sent: AllSent | None) -> Outcome:
        """See `Contender.drive`."""
        plan = LoadPlan(
            run_id=f"bench-{time.time_ns():x}",
            orders=run.orders,
            rate_per_s=run.rate_per_s,
            max_open=_UNLIMITED if run.burst else run.max_open,
            skus=self.skus,
            customers=self.customers,
            timeout_s=LEAST_WAIT_S + run.orders / SLOWEST_PER_S,
            workflow_version=self.workflow_version,
            setup=self.shop and run.warm_up,
            stock_per_sku=STOCK_PER_SKU,
            target=Target(os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["ORDERS_API_URL"]),
        )
        way = kafka_transport(plan.target)
        result = await run_load(plan, transport=Prefixed(way, self.prefix) if self.prefix else way, all_sent=all_sent)
        last_due_s = max(script.due_s for script in scripts(plan)) if run.rate_per_s else None
        return Outcome(
            completed=result.outcomes.get("completed", 0),
            elapsed_s=result.elapsed_s,
            latency=result.latency,
            phases=result.phases,
            sending_s=last_due_s,
            problem="" if result.finished else f"{len(result.unfinished)} unfinished, {dict(result.reasons)}",
        )


class Prefixed:
    """A transport to topics of other names."""

    def __init__(self, way: Transport, prefix: str) -> None:
        self._way = way
        self._prefix = prefix

    async def listen(self, topics: Sequence[str]) -> None:
        """See `Transport`."""
        await self._way.listen([self._prefix + topic for topic in topics])

    async def read(self, timeout_s: float) -> Sequence[RawRecord]:
        """See `Transport`."""
        return await self._way.read(timeout_s)

    async def read_all(self, topics: Sequence[str]) -> Sequence[RawRecord]:
        """See `Transport`."""
        return await self._way.read_all([self._prefix + topic for topic in topics])

    async def partitions_of(self, topic: str) -> int:
        """See `Transport`."""
        return await self._way.partitions_of(self._prefix + topic)

    async def publish(self, wires: Sequence[Wire], give_up_after_s: float) -> None:
        """See `Transport`."""
        await self._way.publish([wire._replace(topic=self._prefix + wire.topic) for wire in wires], give_up_after_s)

    async def close(self) -> None:
        """See `Transport`."""
        await self._way.close()
