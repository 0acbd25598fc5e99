"""After a burst the runtime's own housekeeping is quick, whatever its statements were planned for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from tally import MIGRATIONS

from messaging.postgres import PostgresStore

BURST: Final = 20_000
LIMIT: Final = 5_000
FILL: Final = """
insert into outbox (partition, seq, target, topic, type, key, value, created_at)
select 0, n, 0, 't', 'x', 'k', repeat('v', 300)::bytea, now() - interval '1 hour' from generate_series($1::int, $2::int) as n
"""


async def test_what_a_burst_published_is_forgotten_quickly_though_the_outbox_was_almost_empty_before(
    new_database: Any,
) -> None:
    dsn = await new_database(MIGRATIONS)
    admin, store = await asyncpg.connect(dsn), PostgresStore(dsn)
    await store.take_over(0, "somebody", ["t"])
    await admin.execute("update partition_ownership set published_seq = 1000000")
    # As a quiet day leaves it: statistics of an empty table, and statements that were planned for it once and for all.
    await admin.execute(FILL, 1, 1)
    await admin.execute("analyze outbox")
    for _ in range(8):
        await store.forget_published(0, datetime.now(UTC), LIMIT)
    await admin.execute(FILL, 2, BURST)
    began = time.monotonic()
    forgotten = [await store.forget_published(0, datetime.now(UTC), LIMIT) for _ in range(BURST // LIMIT)]
    took_s = time.monotonic() - began
    await store.close()
    await admin.close()
    assert sum(forgotten) == BURST - 1
    # Four times milliseconds; a plan that compares every row with every other takes minutes.
    assert took_s < 5, f"{took_s:.1f} s"
