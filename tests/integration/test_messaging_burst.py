"""After a burst the runtime's own housekeeping is quick, whatever its statements were planned for."""

from __future__ import annotations

import time
from typing import Any, Final

import asyncpg
from tally import MIGRATIONS

from messaging import postgres_sql as sql
from messaging.decision import CancelTimer
from messaging.ports import Commit
from messaging.postgres import PostgresStore

BURST: Final = 20_000
TIMERS: Final = """
insert into timer (partition, key, name, step, due_at)
select 0, 'key-' || n, 'order', 1, now() + interval '15 minutes' from generate_series($1::int, $2::int) as n
"""


async def test_timers_are_cancelled_quickly_though_the_table_was_almost_empty_before(new_database: Any) -> None:
    dsn = await new_database(MIGRATIONS)
    admin, store = await asyncpg.connect(dsn), PostgresStore(dsn)
    owned = await store.take_over(0, "somebody", ["t"])

    async def cancel(*keys: str) -> None:
        timers: dict[tuple[str, str], Any] = {(key, "order"): CancelTimer(key, "order") for key in keys}
        await (await store.begin()).commit(Commit(0, owned.epoch, {}, {}, 1, timers=timers))

    await admin.execute(TIMERS, 0, 0)
    await admin.execute("analyze timer")
    for _ in range(8):
        await cancel("nobody")
    await admin.execute(TIMERS, 1, BURST)
    began = time.monotonic()
    await cancel(*(f"key-{n}" for n in range(1, 501)))
    took_s = time.monotonic() - began
    left = await admin.fetchval("select count(*) from timer")
    plan = await admin.fetch(f"explain {sql.NEXT_DUE.replace('$1', '0').replace('$2', 'array[]')}")
    await store.close()
    await admin.close()
    assert left == BURST - 499
    # Milliseconds; a plan that compares every timer with every key takes ten seconds.
    assert took_s < 3, f"{took_s:.1f} s"
    assert "timer_due" in str(plan)
