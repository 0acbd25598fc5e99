"""One run: drive the system as a client does, count every order to its end, and read the accounts before and after."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.cpu import Usage, spent, usages
from orderctl.load import LoadPlan, Target, run_load

LOAD: Final = "load generator"
#: Stands for the mail servers of the world, as the payment gateway's bank would: listed, but no part of the system's cost.
OUTSIDE: Final = "smtp-sink"
#: Without work the processes of a stack take about a quarter of a core together.
AT_REST: Final = 0.5
REST_WITHIN_S: Final = 120


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be measured. `rate_per_s` 0: a closed loop with `max_open` orders under way."""

    name: str
    orders: int
    rate_per_s: float
    max_open: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What came out. Latency counts from the moment an order was meant to be sent to its completion, with immediate approval."""

    name: str
    orders: int
    completed: int
    elapsed_s: float
    orders_per_s: float
    p50_s: float | None
    p99_s: float | None
    max_s: float | None
    cpu_ms_per_order: float
    cpu_ms: Mapping[str, float]
    rss_mb: Mapping[str, float]


async def usages_at_rest(pids: Mapping[str, int]) -> dict[str, Usage]:
    """The accounts, once those who follow have caught up: together they take less than `AT_REST` of a core. Raises `RuntimeError`
    where they do not come to rest."""
    before = usages(pids)
    for _ in range(REST_WITHIN_S):
        await asyncio.sleep(1)
        after = usages(pids)
        if sum(spent(before, after).values()) < AT_REST:
            return after
        before = after
    raise RuntimeError(f"The system does not come to rest within {REST_WITHIN_S} s.")


async def measure(run: Run, pids: Mapping[str, int], workflow_version: int | None = None) -> Measurement:
    """Raises `RuntimeError` where an order did not complete: a figure over lost orders is worth nothing."""
    everyone = {**pids, LOAD: os.getpid()}
    target = Target(os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["ORDERS_API_URL"])
    plan = LoadPlan(
        run_id=f"bench-{time.time_ns():x}",
        orders=run.orders,
        rate_per_s=run.rate_per_s,
        max_open=run.max_open,
        skus=50,
        timeout_s=120,
        workflow_version=workflow_version,
        target=target,
    )
    # Shipping, tiers, mails and recommendations follow when the orders are complete: what is left of the run before would slow this
    # one down, and what this one leaves is its own cost.
    before = await usages_at_rest(everyone)
    result = await run_load(plan)
    after = await usages_at_rest(everyone)
    completed = result.outcomes.get("completed", 0)
    if completed != run.orders or not result.finished:
        raise RuntimeError(f"{run.name}: {completed} of {run.orders} completed; {dict(result.reasons)}")
    cpu_ms = {name: seconds * 1000 / completed for name, seconds in spent(before, after).items()}
    return Measurement(
        name=run.name,
        orders=run.orders,
        completed=completed,
        elapsed_s=result.elapsed_s,
        orders_per_s=result.completed_per_s,
        p50_s=result.latency.p50_s,
        p99_s=result.latency.p99_s,
        max_s=result.latency.max_s,
        cpu_ms_per_order=sum(cost for name, cost in cpu_ms.items() if name != OUTSIDE),
        cpu_ms=cpu_ms,
        rss_mb={name: usage.rss_mb for name, usage in after.items()},
    )
