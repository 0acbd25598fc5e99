"""One run: drive a contender as a client does, count every order to its end, and read the accounts before and after."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from benchmarks.counters import Work, bytes_on_topics, read_counters, work_between
from benchmarks.cpu import Usage, spent, usages
from benchmarks.errors import NotMeasuredError
from benchmarks.fleet import Fleet
from benchmarks.instructions import counted_instructions
from benchmarks.place import Place
from benchmarks.statements import counted_statements, per_order
from orderctl.load.statistics import LatencySummary

LOAD: Final = "load generator"
#: Stands for the mail servers of the world, as the payment gateway's bank would: listed, but no part of the system's cost.
OUTSIDE: Final = "smtp-sink"
#: Without work the processes of a stack take about a quarter of a core together.
AT_REST: Final = 0.5
REST_WITHIN_S: Final = 120
#: An open loop keeps up when its last orders end so soon after they were sent, whatever the queue's length in between.
KEPT_UP_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be measured. `rate_per_s` 0: a closed loop with `max_open` orders under way. `burst`: all commands stand on their
    topic before the orders service starts. `statements`: they are counted too, which takes time; such a run is not for its speed.
    `warm_up`: the contender's first run, which fills its shop as well; nobody looks at its figures."""

    name: str
    orders: int
    rate_per_s: float = 0.0
    max_open: int = 1_000
    burst: bool = False
    statements: bool = False
    warm_up: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the orders of a run. Latency counts from the moment an order was meant to be sent; `phases`: the same for each
    event on its way. `sending_s`: how long the last order was meant to be sent after the first, where there was a schedule."""

    completed: int
    elapsed_s: float
    latency: LatencySummary
    phases: Mapping[str, LatencySummary] = field(default_factory=dict)
    sending_s: float | None = None
    problem: str = ""


#: Awaited when the last order of a burst was sent.
AllSent = Callable[[], Awaitable[None]]


class Contender(Protocol):
    """Somebody who processes orders."""

    @property
    def name(self) -> str: ...
    @property
    def fleet(self) -> Fleet: ...

    async def drive(self, run: Run, all_sent: AllSent | None) -> Outcome:
        """Send the run's orders and wait for their ends."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What came out of a run."""

    contender: str
    run: Run
    outcome: Outcome
    orders_per_s: float
    kept_up: bool | None
    cpu_ms_per_order: float
    cpu_ms: Mapping[str, float]
    rss_mb: Mapping[str, float]
    work: Work
    statements: Mapping[str, float]
    instructions: float | None


async def usages_at_rest(pids: Callable[[], Mapping[str, int]], kafka_data: Path) -> dict[str, Usage]:
    """The accounts, once those who follow have caught up: for a second nothing came onto a topic, and together they took less than
    `AT_REST` of a core (that alone proves nothing where others want the processors too). Raises `NotMeasuredError` where they do
    not come to rest."""
    before, size_before = usages(pids()), bytes_on_topics(kafka_data)
    for _ in range(REST_WITHIN_S):
        await asyncio.sleep(1)
        after, size = usages(pids()), bytes_on_topics(kafka_data)
        if sum(spent(before, after).values()) < AT_REST and size == size_before:
            return after
        before, size_before = after, size
    raise NotMeasuredError(f"The system does not come to rest within {REST_WITHIN_S} s.")


async def measure(run: Run, contender: Contender, at: Place) -> Measurement:
    """Raises `NotMeasuredError` where an order did not complete: a figure over lost orders is worth nothing."""
    fleet = contender.fleet
    if run.burst:
        fleet.stop("orders")

    def everyone() -> dict[str, int]:
        return {**fleet.pids, **at.backends, LOAD: os.getpid()}

    # Shipping, tiers, mails and recommendations follow when the orders are complete: what is left of the run before would slow this
    # one down, and what this one leaves is its own cost.
    before = await usages_at_rest(everyone, at.kafka_data)
    counted_before = await read_counters(at.superuser_dsn, at.backends["kafka"], at.kafka_data, fleet.urls)
    release = (lambda: fleet.start("orders")) if run.burst else None
    async with AsyncExitStack() as counting:
        statements: Mapping[str, int] = {}
        if run.statements:
            statements = await counting.enter_async_context(counted_statements(at.superuser_dsn, at.postgres_log))
        instructions = await counting.enter_async_context(counted_instructions(list(everyone().values())))
        outcome = await contender.drive(run, release)
        after = await usages_at_rest(everyone, at.kafka_data)
    counted_after = await read_counters(at.superuser_dsn, at.backends["kafka"], at.kafka_data, fleet.urls)
    if outcome.completed != run.orders or outcome.problem:
        raise NotMeasuredError(f"{run.name}: {outcome.completed} of {run.orders} completed; {outcome.problem}")
    cpu_ms = {name: seconds * 1000 / run.orders for name, seconds in spent(before, after).items()}
    return Measurement(
        contender=contender.name,
        run=run,
        outcome=outcome,
        orders_per_s=outcome.completed / outcome.elapsed_s,
        kept_up=None if outcome.sending_s is None else outcome.elapsed_s - outcome.sending_s < KEPT_UP_S,
        cpu_ms_per_order=sum(cost for name, cost in cpu_ms.items() if name != OUTSIDE),
        cpu_ms=cpu_ms,
        rss_mb={name: usage.rss_mb for name, usage in after.items()},
        work=work_between(counted_before, counted_after, run.orders),
        statements=per_order(statements, run.orders),
        instructions=instructions[0] / run.orders if instructions else None,
    )
