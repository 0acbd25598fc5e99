"""`python -m proof.timers`: very many timers on the real orchestrator, which is killed again and again meanwhile.

    python -m proof.timers --pending 1000000 --due 20000 --kills 20             # due over --spread-s, killed all the while
    python -m proof.timers --pending 0 --due 100000 --spread-s 0 --kills 0      # all due at once: how long does it take?

Orders that wait for their approval are put into the orchestrator's database as it would have left them, each with its timer; more
timers of nobody's, due in years, lie beside them. None may be lost, early, or twice in effect: each order whose time is over is
cancelled once, for `approval-timeout`, by its timer, at its time or later; whoever's time is not over waits as before.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import asyncpg

from contracts.topics import DEFAULT_PARTITIONS
from devstack.ports import free_offset
from devstack.processes import SERVICES
from devstack.stack import Stack
from messaging.partitioner import partition_of
from proof import results
from services.orders.store import parse_order
from simulation import System
from simulation.kit import words

OURS: Final = tuple(service for service in SERVICES if service.name in ("orders", "inventory"))
WITHIN_S: Final = 60.0
_FAR: Final = datetime(2100, 1, 1, tzinfo=UTC)
_TEMPLATE: Final = "ORDER-TEMPLATE"
_BATCH: Final = 5_000

_PUT: Final = """
INSERT INTO orders (order_id, version, workflow, workflow_version, status, phase, waiting_for, deadline, customer_id, currency,
                    total_minor, items, created_at, updated_at, state)
SELECT r.id, 1, 'order', 2, 'AWAITING_APPROVAL', $4, 'approval', r.due, 'ann', 'GBP', 500, $5::json, now(), now(), r.state::json
FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS r (id, due, state)
"""
_PUT_TIMERS: Final = """
INSERT INTO timer (partition, key, name, step, due_at)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])
"""
_STANDS: Final = "SELECT status, count(*) FROM orders WHERE order_id LIKE 'T-%' GROUP BY status"
_VERDICT: Final = """
SELECT count(*) AS orders,
       count(*) FILTER (WHERE o.status <> 'CANCELLED' OR o.reason <> 'approval-timeout') AS lost,
       count(*) FILTER (WHERE h.first_at < o.due OR h.first_cause_at IS DISTINCT FROM o.due) AS early,
       count(*) FILTER (WHERE h.ends IS DISTINCT FROM 1 OR h.fired IS DISTINCT FROM 1) AS twice
FROM (SELECT order_id, status, reason, (state::json ->> 'approval_deadline')::timestamptz AS due FROM orders
      WHERE order_id LIKE 'T-%') AS o
LEFT JOIN (SELECT order_id, min(at) FILTER (WHERE cause_type LIKE 'timer%') AS first_at,
                  min(cause_at) FILTER (WHERE cause_type LIKE 'timer%') AS first_cause_at,
                  count(*) FILTER (WHERE type = 'orders.order-cancelled.v1') AS ends,
                  count(*) FILTER (WHERE cause_type LIKE 'timer%') AS fired
           FROM history GROUP BY order_id) AS h USING (order_id)
"""


class Template:
    """An order that waits for its approval, as the simulation leaves it; others are made of it by other ids and times."""

    def __init__(self) -> None:
        system = System()
        system.command("ann", words.register_customer("ann"))
        system.command("tea", words.receive_stock("tea", 10, 250))
        system.command(_TEMPLATE, words.start_order())
        # Its timer is set for the earlier end of another wait at first.
        system.skip(60)
        self._state, _ = system.parts.orders.states[_TEMPLATE]
        order = parse_order(self._state)
        ((_, self.timer),) = [
            (key, timer) for key, timer in system.parts.of["orders"].database.timers.items() if timer.key == _TEMPLATE
        ]
        if self.timer.due_at != order.approval_deadline:
            raise RuntimeError(f"the timer is for {self.timer.due_at}, the approval until {order.approval_deadline}")
        self.phase, self._due = order.phase.value, self.timer.due_at
        self.items = str(system.order(_TEMPLATE)["items"]).replace("'", '"')

    def state(self, order_id: str, due: datetime) -> str:
        """The state of an order of this id, whose time is over then."""
        written = self._due.isoformat().replace("+00:00", "Z")
        return self._state.replace(_TEMPLATE, order_id).replace(written, due.isoformat().replace("+00:00", "Z"))


def _batches(total: int) -> Iterator[range]:
    return (range(first, min(first + _BATCH, total)) for first in range(0, total, _BATCH))


async def put(database: asyncpg.Connection[asyncpg.Record], pending: int, dues: list[datetime]) -> None:
    """The orders and their timers, and the timers of nobody's."""
    template = Template()
    name, step = template.timer.name, template.timer.step
    for batch in _batches(len(dues)):
        ids, times = [f"T-{number}" for number in batch], [dues[number] for number in batch]
        states = [template.state(order_id, due) for order_id, due in zip(ids, times, strict=True)]
        await database.execute(_PUT, ids, times, states, template.phase, template.items)
        await _timers(database, ids, name, step, times)
    for batch in _batches(pending):
        ids = [f"F-{number}" for number in batch]
        await _timers(database, ids, name, step, [_FAR] * len(ids))
    await database.execute("ANALYZE")


async def _timers(
    database: asyncpg.Connection[asyncpg.Record], ids: list[str], name: str, step: int, times: list[datetime]
) -> None:
    where = [partition_of(order_id, DEFAULT_PARTITIONS) for order_id in ids]
    await database.execute(_PUT_TIMERS, where, ids, [name] * len(ids), [step] * len(ids), times)


async def work_off(
    stack: Stack, database: asyncpg.Connection[asyncpg.Record], asked: Any, result: dict[str, Any]
) -> None:
    """Let the time come, kill the orchestrator meanwhile, and wait until every order whose time is over has ended."""
    random = Random(asked.seed)  # noqa: S311 - it must repeat, that is all
    begin = datetime.now(UTC) + timedelta(seconds=asked.lead_s)
    dues = [begin + timedelta(seconds=random.random() * asked.spread_s) for _ in range(asked.due)]
    # Kept to the millisecond, as everything that is told is.
    dues = [due.replace(microsecond=due.microsecond // 1000 * 1000) for due in dues]
    await put(database, asked.pending, dues)
    await asyncio.to_thread(stack.up)
    result["late_start_s"] = max(0.0, (datetime.now(UTC) - begin).total_seconds())
    started = max(begin, datetime.now(UTC))
    killer = asyncio.create_task(_kill(stack, begin, asked, result))
    deadline = time.monotonic() + asked.lead_s + asked.spread_s + asked.patience_s
    while time.monotonic() < deadline:
        stands = {row["status"]: row["count"] for row in await database.fetch(_STANDS)}
        if "fired_s" not in result and not stands.get("AWAITING_APPROVAL"):
            result["fired_s"] = round((datetime.now(UTC) - started).total_seconds(), 1)
        print(f"{(datetime.now(UTC) - begin).total_seconds():.0f} s: {stands}", flush=True)
        if stands.get("CANCELLED", 0) == asked.due:
            break
        await asyncio.sleep(1)
    result["ended_s"] = round((datetime.now(UTC) - started).total_seconds(), 1)
    await killer
    result |= dict((await database.fetch(_VERDICT))[0])
    far = await database.fetchval("SELECT count(*) FROM timer WHERE due_at = $1", _FAR)
    result["pending_lost"] = asked.pending - far
    result["timers_left"] = await database.fetchval("SELECT count(*) FROM timer WHERE key LIKE 'T-%'")


async def _kill(stack: Stack, begin: datetime, asked: Any, result: dict[str, Any]) -> None:
    """`kill -9`, spread over the time in which timers come due. A kill that met nobody is none."""
    for number in range(asked.kills):
        at = begin + timedelta(seconds=asked.spread_s * (number + 0.5) / asked.kills)
        await asyncio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
        before = _pid(stack)
        await asyncio.to_thread(stack.kill, "orders")
        while _pid(stack) in (before, None):  # noqa: ASYNC110 - the fact is outside this process
            await asyncio.sleep(0.1)
        result["kills"] += 1


def _pid(stack: Stack) -> int | None:
    return next((process.pid for process in stack.status().processes if process.name == "orders"), None)


def main(arguments: list[str]) -> int:
    """0: none lost, early or twice. 1: one was, or (all at once) it took too long. 3: a planned kill did not happen."""
    parser = argparse.ArgumentParser(prog="python -m proof.timers", description=__doc__)
    for name, kind, default in (
        ("seed", int, 1),
        ("pending", int, 1_000_000),
        ("due", int, 20_000),
        ("kills", int, 20),
        ("spread-s", float, 240.0),
        ("lead-s", float, 60.0),
        ("patience-s", float, 600.0),
    ):
        parser.add_argument(f"--{name}", type=kind, default=default)
    asked = parser.parse_args(arguments)
    result: dict[str, Any] = {**vars(asked), "asked_kills": asked.kills, "kills": 0}
    home = results.CLONE / ".devstack" / "timers"
    stack = Stack(home, free_offset(), services=OURS)
    stack.down(wipe=True)
    try:
        asyncio.run(_run(stack, asked, result))
    finally:
        stack.down(wipe=True)
    at_once = asked.spread_s == 0
    path = results.write("timers-at-once" if at_once else "timers", asked.seed, result)
    print(f"{result}\n{path}")
    if result["kills"] != asked.kills:
        return 3
    wrong = sum(result[name] for name in ("lost", "early", "twice", "pending_lost", "timers_left"))
    return 1 if wrong or (at_once and result["fired_s"] > WITHIN_S) else 0


async def _run(stack: Stack, asked: Any, result: dict[str, Any]) -> None:
    await asyncio.to_thread(stack.up)
    # The schema is there now. Nobody works while the orders are put in, as if they had been there for long.
    await asyncio.to_thread(stack.down)
    await asyncio.to_thread(stack.up, only_backends=True)
    database = await asyncpg.connect(stack.settings.dsn("orders"))
    try:
        await work_off(stack, database, asked, result)
    finally:
        await database.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
