"""What people do through the console, in its own database: planned, then sent, then told. It stands there before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import asyncpg
from pydantic_core import from_json, to_json

from contracts.values import is_id

#: A plan is kept so long. Who comes later makes another: much may have happened.
PLANS_KEPT: Final = timedelta(days=1)
LISTED: Final = 100

ADD: Final = """
INSERT INTO act (account, role, action, target, reason, command_id, outcome) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
FORGET_PLANS: Final = "DELETE FROM act WHERE state = 'planned' AND at < now() - $1::interval"
ADD_PLAN: Final = """
INSERT INTO act (account, role, action, target, reason, command_id, outcome, state, asked, plan)
VALUES ($1, $2, $3, $4, $5, $6, 'nothing was sent', 'planned', $7, $8) RETURNING id
"""
_COLUMNS: Final = "id, at, account, role, action, target, reason, command_id, outcome, state, asked, plan, verdict"
FIND: Final = f"SELECT {_COLUMNS} FROM act WHERE id = $1"
FIND_BY_COMMAND: Final = f"SELECT {_COLUMNS} FROM act WHERE command_id = $1 AND plan IS NOT NULL"
SENDING: Final = """
UPDATE act SET state = 'sent', at = now(), outcome = 'sent; no answer is on record' WHERE id = $1 AND state = 'planned' RETURNING id
"""
UNANSWERED: Final = "UPDATE act SET outcome = $2 WHERE id = $1 AND state = 'sent'"
TOLD: Final = "UPDATE act SET state = 'told', verdict = $2, outcome = $3 WHERE id = $1"
NEWEST: Final = """
SELECT id, at, account, role, action, target, reason, command_id, outcome, plan IS NOT NULL AS whole FROM act
WHERE state <> 'planned' ORDER BY at DESC, id DESC LIMIT $1
"""
OLDER: Final = """
SELECT id, at, account, role, action, target, reason, command_id, outcome, plan IS NOT NULL AS whole FROM act
WHERE state <> 'planned' AND (at, id) < (SELECT at, id FROM act WHERE id = $2) ORDER BY at DESC, id DESC LIMIT $1
"""
# Also what a bulk run did to it: that has a receipt per order, and one act for the whole.
ON: Final = """
SELECT id, at, account, role, action, target, reason, command_id, outcome, plan IS NOT NULL AS whole
FROM act WHERE target = $1 AND state <> 'planned' AND action NOT IN ('account', 'password')
UNION ALL
SELECT NULL, i.at, r.account, r.role, 'bulk ' || r.action, r.run_id, r.reason, i.command_id,
       i.verdict || coalesce(': ' || i.reason, ''), false
FROM bulk_item AS i JOIN bulk_run AS r USING (run_id) WHERE i.order_id = $1 AND i.verdict IS NOT NULL
ORDER BY at DESC LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody does, to what, and why. `command_id`: what the answer names."""

    account: str
    role: str
    action: str
    target: str
    reason: str
    command_id: str | None = None


def columns_of(act: Act) -> tuple[str | None, ...]:
    """What `ADD` takes, before the outcome."""
    return (act.account, act.role, act.action, act.target, act.reason, act.command_id)


class ActStore:
    """See the module."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record(self, act: Act, outcome: str) -> None:
        """Keep what was done and told already."""
        await self._pool.execute(ADD, *columns_of(act), outcome)

    async def plan(self, act: Act, asked: Mapping[str, Any], plan: Mapping[str, Any]) -> int:
        """Keep what would be said and what it would do, for as long as plans are kept; returns its id."""
        await self._pool.execute(FORGET_PLANS, PLANS_KEPT)
        kept = to_json(asked).decode(), to_json(plan).decode()
        return int(await self._pool.fetchval(ADD_PLAN, *columns_of(act), *kept))

    async def find(self, act_id: int) -> dict[str, Any] | None:
        """An act with all that is known of it."""
        return _whole(await self._pool.fetchrow(FIND, act_id))

    async def planned(self, account: str, role: str, command_id: str) -> dict[str, Any] | None:
        """The act of this command whose plan this person has made, whether it was sent since or not."""
        found = _whole(await self._pool.fetchrow(FIND_BY_COMMAND, command_id)) if is_id(command_id) else None
        return found if found is not None and (found["account"], found["role"]) == (account, role) else None

    async def sending(self, act_id: int) -> bool:
        """From here on it counts as sent; whether it was a plan until now. It is on record when this returns."""
        return await self._pool.fetchval(SENDING, act_id) is not None

    async def unanswered(self, act_id: int, why: str) -> None:
        """Nobody knows what came of it; unless somebody has heard it meanwhile."""
        await self._pool.execute(UNANSWERED, act_id, why)

    async def told(self, act_id: int, verdict: Mapping[str, Any], outcome: str) -> None:
        """What came of it."""
        await self._pool.execute(TOLD, act_id, to_json(verdict).decode(), outcome)

    async def newest(self, before: int | None = None) -> list[dict[str, Any]]:
        """`LISTED` of what was done, the newest first; `before`: what was done before that act."""
        found = await (self._pool.fetch(NEWEST, LISTED) if before is None else self._pool.fetch(OLDER, LISTED, before))
        return [dict(row) for row in found]

    async def on(self, target: str, limit: int) -> list[dict[str, Any]]:
        """What was done to one order, the newest first."""
        return [dict(row) for row in await self._pool.fetch(ON, target, limit)]


def _whole(row: asyncpg.Record | None) -> dict[str, Any] | None:
    if row is None:
        return None
    parts = {name: None if row[name] is None else from_json(row[name]) for name in ("asked", "plan", "verdict")}
    return {**dict(row), **parts}
