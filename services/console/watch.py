"""What the watcher tells, looked at now and then: the last hour of it, and since when the books balance."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise, repeat
from typing import Final

import aiohttp
import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from contracts import metrics
from contracts.metrics import Metric
from messaging.logs import get_logger
from services.console.store import AWAY

log = get_logger(__name__)

EVERY_S: Final = 10.0
#: At the start the watcher may come a moment later than the console: so often it is asked so soon again.
AT_FIRST_S: Final = 1.0
AT_FIRST: Final = 60
#: An hour.
KEPT: Final = 360
TIMEOUT_S: Final = 4.0
#: What the watcher saw longer ago than this is no news of now; a gap of that length ends "balanced since".
STALE_AFTER: Final = timedelta(seconds=120)

READ_PROOF: Final = "SELECT since, seen, looks FROM proof"
WRITE_PROOF: Final = """
INSERT INTO proof (since, seen, looks) VALUES ($1, $2, $3)
ON CONFLICT (one) DO UPDATE SET since = excluded.since, seen = excluded.seen, looks = excluded.looks
"""
#: Each with the look of the watcher that tells it, and in words.
INVARIANTS: Final = (
    (
        metrics.MONEY_IMBALANCE,
        "money",
        "Money: captured − refunded = what completed orders cost, in payment's book and the gateway's",
    ),
    (metrics.STOCK_IMBALANCE, "stock", "Stock: received, adjusted and shipped are what receipts and reservations say"),
    (metrics.HELD_IMBALANCE, "inventory", "Reservations: what the stock says is held is what reservations say"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """What the watcher saw at a time: by metric and the values of its labels, in the order of their names."""

    at: datetime
    values: Mapping[tuple[str, tuple[str, ...]], float]

    def family(self, metric: Metric) -> dict[tuple[str, ...], float]:
        """The metric's values by labels."""
        return {labels: value for (name, labels), value in self.values.items() if name == metric.name}

    def one(self, metric: Metric, *labels: str) -> float | None:
        """One value; None where it is not told."""
        return self.values.get((metric.name, labels))


@dataclass(frozen=True, slots=True)
class Proof:
    """Since when every look found the books balanced (None: they are not), when the last look was, and how many there were."""

    since: datetime | None
    seen: datetime
    looks: int


def parse(text: str) -> Look:
    """Raises `ValueError` for what is no answer of the watcher."""
    values: dict[tuple[str, tuple[str, ...]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name, tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    at = values.get((metrics.WATCH_AT.name, ()))
    if at is None:
        raise ValueError("it says nothing of a look")
    return Look(datetime.fromtimestamp(at, UTC), values)


def invariants(look: Look) -> list[tuple[str, float | None]]:
    """Each invariant in words and by how much it is off; None: what it follows from did not answer."""
    found: list[tuple[str, float | None]] = []
    for metric, source, words in INVARIANTS:
        told = look.family(metric).values()
        # Before the first order there is no currency to tell of; the watcher says that it could look.
        answered = look.one(metrics.WATCH_UP, source) == 1
        found.append((words, sum(map(abs, told)) if told or answered else None))
    return found


def proven(before: Proof | None, look: Look) -> Proof:
    """What is known after one more look. A look at the same moment is no other one; what nobody saw is not counted as balanced."""
    off = [value for _, value in invariants(look)]
    if before is not None and look.at <= before.seen:
        return before
    if any(value for value in off):
        return Proof(None, look.at, 1)
    if None in off:
        return before or Proof(None, look.at, 0)
    if before is None or before.since is None or look.at - before.seen > STALE_AFTER:
        return Proof(look.at, look.at, 1)
    return Proof(before.since, look.at, before.looks + 1)


def quantile(look: Look, share: float, status: str = "COMPLETED") -> float | None:
    """That share of the orders ended within so many seconds, by the histogram's buckets; None: none ended."""
    name = f"{metrics.ORDER_SECONDS.name}_bucket"
    told = {labels: count for (metric, labels), count in look.values.items() if metric == name and status in labels}
    buckets = sorted((float(next(one for one in labels if one != status)), count) for labels, count in told.items())
    if not buckets or buckets[-1][1] == 0:
        return None
    wanted, floor, before = share * buckets[-1][1], 0.0, 0.0
    for edge, count in buckets:
        if count >= wanted:
            inside = (wanted - before) / (count - before) if count > before else 1.0
            return floor if edge == float("inf") else floor + (edge - floor) * inside
        floor, before = edge, count
    return None


class Watch:
    """Looks in the background. Use it as `async with`."""

    def __init__(self, url: str, pool: asyncpg.Pool) -> None:
        self.url = url
        #: Why the last look failed; empty: it did not.
        self.trouble = "it was not asked yet"
        self.proof: Proof | None = None
        self.looks: deque[Look] = deque(maxlen=KEPT)
        self._pool = pool
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watch:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    @property
    def alive(self) -> bool:
        """Whether it goes on looking."""
        return self._running is not None and not self._running.done()

    def last(self, now: datetime) -> Look | None:
        """The newest look, as long as it is news."""
        return self.looks[-1] if self.looks and now - self.looks[-1].at <= STALE_AFTER else None

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            for wait_s in chain(repeat(AT_FIRST_S, AT_FIRST), repeat(EVERY_S)):
                await self.look(session)
                await asyncio.sleep(EVERY_S if self.looks else wait_s)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Ask once. Never raises for what is away."""
        try:
            async with session.get(f"{self.url}/metrics") as answer:
                answer.raise_for_status()
                look = parse(await answer.text())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self.trouble = str(error) or type(error).__name__
            return
        self.trouble = ""
        if not self.looks or look.at > self.looks[-1].at:
            self.looks.append(look)
        with contextlib.suppress(*AWAY):
            await self._remember(look)

    async def _remember(self, look: Look) -> None:
        if self.proof is None and (row := await self._pool.fetchrow(READ_PROOF)) is not None:
            self.proof = Proof(row["since"], row["seen"], row["looks"])
        self.proof = proven(self.proof, look)
        await self._pool.execute(WRITE_PROOF, self.proof.since, self.proof.seen, self.proof.looks)


def over_time(looks: Sequence[Look], metric: Metric, *labels: str) -> list[tuple[datetime, float | None]]:
    """A value's points; what is not told while others are is 0."""
    return [(look.at, look.one(metric, *labels) or 0.0 if look.family(metric) else None) for look in looks]


def ended_per_minute(looks: Sequence[Look]) -> list[tuple[datetime, float | None]]:
    """Orders that ended between two looks, by minute."""
    counts = [
        (look.at, sum(value for (status,), value in found.items() if status in {"COMPLETED", "CANCELLED", "FAILED"}))
        for look in looks
        if (found := look.family(metrics.ORDERS_BY_STATUS))
    ]
    pairs = pairwise(counts)
    return [
        (at, max(0.0, now - then) * 60 / (at - before).total_seconds())
        for (before, then), (at, now) in pairs
        if at > before
    ]
