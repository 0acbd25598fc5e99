"""Bulk runs and their receipts, in the console's own database: they outlive the process that sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
from pydantic_core import from_json, to_json

from orderctl.bulk.receipts import Receipt, Run

ADD_RUN: Final = """
INSERT INTO bulk_run (run_id, account, role, action, type, data, about, reason, rate_per_s)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
ADD_ITEMS: Final = """
INSERT INTO bulk_item (run_id, n, order_id) SELECT $1, r.n, r.order_id FROM unnest($2::text[]) WITH ORDINALITY AS r (order_id, n)
"""
SET_STATE: Final = "UPDATE bulk_run SET state = $2, told = $3 WHERE run_id = $1"
SET_PLAN: Final = "UPDATE bulk_run SET state = 'planned', plan = $2 WHERE run_id = $1"
ADD_RECEIPTS: Final = """
UPDATE bulk_item AS i SET command_id = r.command_id, verdict = r.verdict, reason = r.reason, message = r.message, at = r.at
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
    AS r (order_id, command_id, verdict, reason, message, at)
WHERE i.run_id = $1 AND i.order_id = r.order_id
"""
FIND_RUN: Final = """
SELECT run_id, at, account, role, action, type, data, about, reason, rate_per_s, state, plan, told FROM bulk_run WHERE run_id = $1
"""
LEFT: Final = "SELECT order_id FROM bulk_item WHERE run_id = $1 AND verdict IS NULL ORDER BY n"
ALL_IDS: Final = "SELECT order_id FROM bulk_item WHERE run_id = $1 ORDER BY n"
COUNTS: Final = """
SELECT count(*) AS orders, count(verdict) AS receipts, count(*) FILTER (WHERE verdict = 'accepted') AS accepted,
       count(*) FILTER (WHERE verdict = 'rejected') AS rejected
FROM bulk_item WHERE run_id = $1
"""
RECEIPTS: Final = """
SELECT order_id, command_id, verdict, reason, message, at FROM bulk_item WHERE run_id = $1 ORDER BY at DESC NULLS LAST, n LIMIT $2
"""
RUNS: Final = "SELECT run_id, at, account, action, about, state FROM bulk_run ORDER BY at DESC LIMIT $1"


@dataclass(frozen=True, slots=True)
class Meant:
    """Who wants what done to which orders, and why. `about`: how the orders were chosen, in words."""

    account: str
    role: str
    action: str
    reason: str
    about: str
    rate_per_s: float


class BulkStore:
    """See the module."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, run: Run, meant: Meant) -> None:
        """A run that is being planned, with all its orders."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                ADD_RUN, run.run_id, meant.account, meant.role, meant.action, run.type,
                to_json(run.data).decode(), meant.about, meant.reason, meant.rate_per_s,
            )  # fmt: skip
            await connection.execute(ADD_ITEMS, run.run_id, list(run.order_ids))

    async def planned(self, run_id: str, plan: Mapping[str, Any]) -> None:
        """What it would do."""
        await self._pool.execute(SET_PLAN, run_id, to_json(plan).decode())

    async def state(self, run_id: str, state: str, told: str = "") -> None:
        """It runs, it stopped, it is done; `told`: what there is to say about that."""
        await self._pool.execute(SET_STATE, run_id, state, told)

    async def receipts(self, run_id: str, receipts: Sequence[Receipt]) -> None:
        """Keep receipts; they are there when this returns."""
        columns = [
            [one.order_id for one in receipts],
            [one.command_id for one in receipts],
            [one.verdict for one in receipts],
            [one.reason for one in receipts],
            [one.message for one in receipts],
            [datetime.fromisoformat(one.at) for one in receipts],
        ]
        await self._pool.execute(ADD_RECEIPTS, run_id, *columns)

    async def find(self, run_id: str) -> dict[str, Any] | None:
        """The run with its counts."""
        row = await self._pool.fetchrow(FIND_RUN, run_id)
        if row is None:
            return None
        counts = await self._pool.fetchrow(COUNTS, run_id)
        plan = None if row["plan"] is None else from_json(row["plan"])
        return {**dict(row), "data": from_json(row["data"]), "plan": plan, **dict(counts or {})}

    async def order_ids(self, run_id: str, *, left: bool) -> tuple[str, ...]:
        """The run's orders; `left`: those without a receipt."""
        return tuple(row["order_id"] for row in await self._pool.fetch(LEFT if left else ALL_IDS, run_id))

    async def last(self, run_id: str, limit: int) -> list[dict[str, Any]]:
        """Its orders, those whose receipt came last first."""
        return [dict(row) for row in await self._pool.fetch(RECEIPTS, run_id, limit)]

    async def runs(self, limit: int = 20) -> list[dict[str, Any]]:
        """The newest runs."""
        return [dict(row) for row in await self._pool.fetch(RUNS, limit)]
