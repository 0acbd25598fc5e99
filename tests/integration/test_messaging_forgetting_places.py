"""Where messages stand is forgotten in PostgreSQL a period of 30 days at a time: quickly, in nobody's way, and not too early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest_asyncio
from tally import MIGRATIONS
from test_messaging_forgetting import RUNTIME

from messaging.ports import Placed
from messaging.postgres_sql import PLACES
from messaging.published import places

PERIOD: Final = timedelta(days=30)
#: A period begins; it is the first of four.
BEGIN: Final = datetime.fromtimestamp(0, UTC) + 4 * 171 * PERIOD
#: How long before its turn a part is emptied at the latest.
BEFORE: Final = timedelta(hours=1)
A_SECOND: Final = timedelta(seconds=1)
#: As the release before writes and forgets them.
MARK_BEFORE: Final = """
WITH held AS (
    UPDATE partition_ownership SET published_seq = greatest(published_seq, $3), acked = $4::jsonb
    WHERE partition = $1 AND epoch = $2
    RETURNING 1
)
INSERT INTO published (partition, first_seq, last_seq, topics, seqs, offsets)
SELECT $1, $5, $6, $7, $8, $9 FROM held WHERE $5::bigint IS NOT NULL
ON CONFLICT DO NOTHING
"""
UNPLACE_BEFORE: Final = """
WITH gone AS (
    DELETE FROM published USING partition_ownership AS o
    WHERE published.partition = $1 AND last_seq >= $3 AND o.partition = $1 AND o.epoch = $2
    RETURNING first_seq, last_seq, topics, seqs, published.offsets
)
INSERT INTO published (partition, first_seq, last_seq, topics, seqs, offsets)
SELECT $1, first_seq, $3 - 1, topics, seqs, offsets FROM gone WHERE first_seq < $3 ORDER BY last_seq LIMIT 1
ON CONFLICT DO NOTHING
"""


@pytest_asyncio.fixture
async def dsn(new_database: Any) -> str:
    return str(await new_database(MIGRATIONS))


@pytest_asyncio.fixture
async def admin(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


async def record(admin: asyncpg.Connection[asyncpg.Record], seq: int, at: datetime) -> None:
    """Number `seq` of partition 0 was recorded at that time; it stands at offset `seq`."""
    await admin.execute(
        "insert into published values (0, $1, $1, '{t}', array[$1::bigint], array[$1::bigint], published_part($2))",
        seq,
        at,
    )


async def forget(admin: asyncpg.Connection[asyncpg.Record], at: datetime) -> list[int]:
    """What is told of numbers 1 to 9 after that has been done at that time."""
    await admin.execute("select forget_places($1)", at)
    return sorted(await places(admin.fetch, 0, range(1, 10)))


async def test_a_place_is_told_for_two_periods_and_forgotten_an_hour_before_its_part_has_its_turn(
    admin: asyncpg.Connection[asyncpg.Record],
) -> None:
    await record(admin, 1, BEGIN)
    await record(admin, 2, BEGIN + PERIOD - A_SECOND)
    assert await forget(admin, BEGIN + PERIOD - A_SECOND) == [1, 2]
    await record(admin, 3, BEGIN + PERIOD)
    for at in (PERIOD, 2 * PERIOD - A_SECOND, 2 * PERIOD, 3 * PERIOD - BEFORE - A_SECOND):
        assert await forget(admin, BEGIN + at) == [1, 2, 3], at
    assert await forget(admin, BEGIN + 3 * PERIOD - BEFORE) == [3]
    # What is written when a part's turn begins is not taken for what was left in it.
    await record(admin, 4, BEGIN + 4 * PERIOD)
    assert await forget(admin, BEGIN + 4 * PERIOD - A_SECOND) == [4]
    assert await forget(admin, BEGIN + 4 * PERIOD) == [4]


async def test_what_is_recorded_now_goes_to_the_part_of_this_period(admin: asyncpg.Connection[asyncpg.Record]) -> None:
    row = await admin.fetchrow(
        "insert into published values (0, 1, 1, '{t}', '{1}', '{1}') returning part, now() as at"
    )
    assert row["part"] == int((row["at"] - datetime.fromtimestamp(0, UTC)) / PERIOD) % 4


async def test_a_place_is_looked_up_by_index_in_every_part(admin: asyncpg.Connection[asyncpg.Record]) -> None:
    await admin.execute(
        "insert into published select n % 4, n, n + 9, '{t}', array[n], array[n], n / 20000 % 4"
        " from generate_series(10, 79990, 10) as n"
    )
    await admin.execute("analyze published")
    query = PLACES.replace("$1", "2").replace("$2", "'{10, 25000, 30010, 79990, 99999}'")
    plan = "\n".join(row[0] for row in await admin.fetch(f"explain {query}"))
    assert [plan.count(f"Index Scan using published_{part}_pkey") for part in range(4)] == [1] * 4, plan
    assert "Seq Scan" not in plan
    assert sorted(await places(admin.fetch, 2, [10, 25000, 30010, 79990, 99999])) == [10, 30010, 79990]


async def test_a_backup_that_reads_the_places_holds_nobody_up_and_what_is_old_goes_after_it(
    admin: asyncpg.Connection[asyncpg.Record], dsn: str
) -> None:
    await record(admin, 1, BEGIN)
    backup = await asyncpg.connect(dsn)
    async with backup.transaction(isolation="repeatable_read"):
        assert await backup.fetchval("select count(*) from published") == 1
        async with asyncio.timeout(10):
            assert await forget(admin, BEGIN + 3 * PERIOD) == [1]
            await record(admin, 2, BEGIN + 2 * PERIOD)
        assert await backup.fetchval("select count(*) from published") == 1
    await backup.close()
    assert await forget(admin, BEGIN + 3 * PERIOD) == [2]


async def test_places_of_the_release_before_are_kept_and_its_processes_go_on(new_database: Any) -> None:
    admin = await asyncpg.connect(await new_database(MIGRATIONS), server_settings={"search_path": "before"})
    await admin.execute("create schema before")
    *before_it, it = sorted(RUNTIME.glob("*.sql"))[:7]
    for migration in before_it:
        await admin.execute(migration.read_text())
    await admin.execute("insert into partition_ownership (partition, epoch) values (0, 1)")
    mark, unplace = await admin.prepare(MARK_BEFORE), await admin.prepare(UNPLACE_BEFORE)
    found = await admin.prepare(PLACES)

    async def publish(*seqs: int) -> None:
        await mark.fetch(0, 1, seqs[-1], "{}", seqs[0], seqs[-1], ["t"] * len(seqs), seqs, seqs)

    async def told() -> dict[int, Placed]:
        return await places(lambda _, *arguments: found.fetch(*arguments), 0, range(1, 10))

    await publish(1, 2)
    await publish(3, 4)
    before = await told()
    table = await admin.fetchval("select relfilenode from pg_class where oid = 'published'::regclass")
    await admin.execute(it.read_text())
    part = await admin.fetchval("select distinct tableoid::regclass::text from published")
    copied = await admin.fetchval("select relfilenode from pg_class where oid = $1::text::regclass", part) != table
    assert (await told(), copied) == (before, False)
    await publish(3, 4)
    await publish(5, 6)
    assert await admin.fetchval("select count(*) from published") == 3
    await unplace.fetch(0, 1, 4)
    assert sorted(await told()) == [1, 2, 3]
    await publish(4, 5)
    assert await told() == {seq: Placed(seq, "t", seq) for seq in range(1, 6)}
    await admin.close()
