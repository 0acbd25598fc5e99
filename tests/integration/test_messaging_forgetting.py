"""What is published and old leaves the outbox of PostgreSQL a minute's rows at a time: quickly, and in nobody's way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest_asyncio
from tally import MIGRATIONS

import messaging
from messaging.postgres import PostgresStore

BURST: Final = 20_000
FILL: Final = """
insert into outbox (partition, seq, target, topic, type, key, value, created_at, part)
select $1, n, 0, 't', 'x', 'k', repeat('v', 300)::bytea, now() - interval '1 hour', $4 from generate_series($2::int, $3::int) as n
"""
GRACE: Final = timedelta(seconds=30)
RUNTIME: Final = Path(messaging.__file__).parent / "migrations"


class Outbox:
    """Partitions 0 and 1, of which everything up to number 1000 is published."""

    def __init__(self, dsn: str, admin: asyncpg.Connection, store: PostgresStore) -> None:
        self.dsn, self.admin, self.store = dsn, admin, store

    async def write(self, partition: int, first: int, last: int, part: int) -> None:
        await self.admin.execute(FILL, partition, first, last, part)

    async def kept(self) -> list[tuple[int, int]]:
        rows = await self.admin.fetch("select partition, seq from outbox order by partition, seq")
        return [(row["partition"], row["seq"]) for row in rows]

    async def forget(self) -> bool:
        return await self.store.forget_published(datetime.now(UTC) - GRACE)


@pytest_asyncio.fixture
async def outbox(new_database: Any) -> AsyncIterator[Outbox]:
    dsn = await new_database(MIGRATIONS)
    admin, store = await asyncpg.connect(dsn), PostgresStore(dsn)
    for partition in (0, 1):
        await store.take_over(partition, "somebody", ["t"])
    await admin.execute("update partition_ownership set published_seq = 1000")
    yield Outbox(dsn, admin, store)
    await store.close()
    await admin.close()


async def test_a_minute_goes_when_all_partitions_have_published_what_they_wrote_in_it(outbox: Outbox) -> None:
    await outbox.write(0, 1, 3, part=0)
    await outbox.write(1, 1, 3, part=1)
    await outbox.write(0, 4, 4, part=1)
    await outbox.write(0, 1001, 1001, part=1)
    assert await outbox.forget()
    assert await outbox.kept() == [(0, 4), (0, 1001), (1, 1), (1, 2), (1, 3)]
    await outbox.admin.execute("update partition_ownership set published_seq = 1001 where partition = 0")
    assert not await outbox.forget()
    assert await outbox.kept() == []


async def test_the_part_of_a_row_is_no_call_of_a_function(outbox: Outbox) -> None:
    insert = "insert into outbox (partition, seq, target, topic, type) select 0, n, 0, 't', 'x' from generate_series(1, 2) as n"
    plan = await outbox.admin.fetch(f"explain (verbose) {insert}")
    told = "\n".join(row[0] for row in plan)
    assert "epoch" in told
    assert "outbox_part" not in told


async def test_what_is_written_now_goes_to_the_part_of_this_minute(outbox: Outbox) -> None:
    insert = (
        "insert into outbox (partition, seq, target, topic, type) values (0, 1, 0, 't', 'x') returning part, created_at"
    )
    row = await outbox.admin.fetchrow(insert)
    assert row["part"] == int(row["created_at"].timestamp()) // 60 % 4


async def test_a_burst_is_forgotten_quickly_though_the_outbox_was_almost_empty_before(outbox: Outbox) -> None:
    await outbox.write(0, 1, 1, part=2)
    # As a quiet day leaves it: statistics of an empty table, and statements that were planned for it once and for all.
    await outbox.admin.execute("analyze outbox")
    for _ in range(8):
        await outbox.forget()
    await outbox.admin.execute("update partition_ownership set published_seq = 1000000")
    await outbox.write(0, 2, BURST, part=2)
    began = time.monotonic()
    assert not await outbox.forget()
    took_s = time.monotonic() - began
    assert await outbox.kept() == []
    # Four times milliseconds; a plan that compares every row with every other takes minutes.
    assert took_s < 5, f"{took_s:.1f} s"


async def test_a_backup_that_reads_the_outbox_holds_nobody_up_and_what_is_old_goes_after_it(outbox: Outbox) -> None:
    await outbox.write(0, 1, 3, part=0)
    backup = await asyncpg.connect(outbox.dsn)
    async with backup.transaction(isolation="repeatable_read"):
        assert await backup.fetchval("select count(*) from outbox") == 3
        async with asyncio.timeout(10):
            assert await outbox.forget()
            await outbox.write(0, 4, 4, part=0)
        assert await backup.fetchval("select count(*) from outbox") == 3
    await backup.close()
    assert not await outbox.forget()
    assert await outbox.kept() == []


async def test_two_processes_that_forget_at_once_do_not_wait_for_each_other(outbox: Outbox) -> None:
    await outbox.write(0, 1, 3, part=0)
    other = await asyncpg.connect(outbox.dsn)
    async with other.transaction():
        assert not await other.fetchval("select forget_outbox(now() - interval '30 seconds')")
        async with asyncio.timeout(10):
            assert await outbox.forget(), "the other one is at it"
    await other.close()
    assert await outbox.kept() == []


async def test_rows_that_wait_when_the_table_is_made_anew_are_kept(new_database: Any) -> None:
    admin = await asyncpg.connect(await new_database(MIGRATIONS), server_settings={"search_path": "before"})
    await admin.execute("create schema before")
    *before_it, it = sorted(RUNTIME.glob("*.sql"))[:5]
    for migration in before_it:
        await admin.execute(migration.read_text())
    await admin.execute(
        "insert into outbox (partition, seq, target, topic, type, key, value, headers)"
        " values (3, 7, 3, 't', 'x', 'k', 'v', '[]'), (3, 8, 2, 't', 'y', null, null, null)"
    )
    before = await admin.fetch("select * from outbox order by seq")
    # A process of the release before goes on with the statement that it had prepared.
    insert = await admin.prepare("insert into outbox (partition, seq, target, topic, type) values (3, $1, 3, 't', 'z')")
    await admin.execute(it.read_text())
    await insert.fetch(9)
    after = await admin.fetch("select * from outbox order by seq")
    await admin.close()
    assert [tuple(row)[:9] for row in after[:2]] == [tuple(row) for row in before]
    assert after[2]["seq"] == 9
