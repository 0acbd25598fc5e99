"""What the histories of orders that have ended tell, each once: how long the steps took, what was repeated and retried."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any, Final

import asyncpg
from prometheus_client import CollectorRegistry

from audit.watcher import sql
from contracts import metrics
from messaging.meters import make_counter, make_histogram

RETRY: Final = "orders.retry-scheduled"
_AT_ONCE: Final = 1_000


class Stories:
    """Those of the last hour: what takes longer than that stands in `orders_oldest_open_seconds`, and in no histogram."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._orders = make_histogram(metrics.ORDER_SECONDS, registry)
        self._steps = make_histogram(metrics.STEP_SECONDS, registry)
        self._duplicates = make_counter(metrics.DUPLICATES, registry)
        self._retries = make_counter(metrics.RETRIES, registry)
        self._seen: set[str] = set()

    async def look(self, dbs: Sequence[asyncpg.Connection[asyncpg.Record]]) -> None:
        """Tell what has ended since the last look."""
        seen: set[str] = set()
        for db in dbs:
            seen |= await self._look(db)
        self._seen = seen

    async def _look(self, db: asyncpg.Connection[asyncpg.Record]) -> set[str]:
        ended = {row["order_id"]: row for row in await db.fetch(sql.ENDED)}
        new = [order_id for order_id in ended if order_id not in self._seen]
        for order_id in new:
            self._orders.labels(ended[order_id]["status"]).observe(max(0.0, ended[order_id]["seconds"]))
        for start in range(0, len(new), _AT_ONCE):
            rows = await db.fetch(sql.STORIES, new[start : start + _AT_ONCE])
            for order_id, story in groupby(rows, key=lambda row: row["order_id"]):
                self._tell(ended[order_id]["status"], list(story))
        return set(ended)

    def _tell(self, status: str, story: Sequence[Any]) -> None:
        self._duplicates.inc(sum(1 for row in story if row["duplicate"]))
        self._retries.inc(sum(1 for row in story if row["type"] == RETRY))
        # Verdicts and notes are no steps of the order.
        steps = [row for row in story if step_of(row["type"]) is not None]
        for before, row in pairwise(steps):
            seconds = (row["at"] - before["at"]).total_seconds()
            self._steps.labels(step_of(row["type"]), status).observe(max(0.0, seconds))


def step_of(type_: str) -> str | None:
    """The step that ends with this event; None: it ends none."""
    parts = type_.split(".")
    published = len(parts) == 3 and parts[0] == "orders"
    return parts[1] if published and not parts[1].startswith("command-") else None
