"""The runtime's store on PostgreSQL: a batch is one statement, or one short transaction where shared rows have to be locked.

The statement is composed of named parts, one per table, as data-modifying CTEs; the last one asserts the fence and the row
counts, so that anything unexpected undoes it all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from contracts.letters import Letter
from messaging import postgres_lanes as lanes
from messaging import postgres_sql as sql
from messaging.errors import FenceLostError
from messaging.ports import Commit, DueTimer, Lane, Ownership, Parked, PendingEffect, Placed, Wire
from messaging.postgres_lanes import headers_of
from messaging.postgres_line import TRANSIENT, Line, translated
from messaging.postgres_statement import Part, compose, runtime_parts


class PostgresTransaction:
    """One batch on a held connection. Reads go out at once; writes are staged and travel with the commit."""

    def __init__(self, connection: asyncpg.Connection, begun: bool) -> None:
        self._connection = connection
        self._parts: list[Part] = []
        self.begun = begun

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows of a query, inside the batch's transaction where the store locks."""
        with translated():
            return await self._connection.fetch(query, *arguments)

    def stage(self, name: str, text: str, *arguments: Any, rows: int | None = None) -> None:
        """A set-based write for the commit. It must be one INSERT, UPDATE or DELETE with its own `$1`, `$2`; with `rows` it
        must RETURN a row for each row changed, and another count is a `StaleRowError`. Two parts must not touch the same row."""
        self._parts.append(Part(name, text, arguments, rows))

    async def commit(self, *commits: Commit) -> None:
        """Everything in one statement; see `Transaction.commit`."""
        parts = [*runtime_parts(commits), *self._parts]
        text, arguments = compose(parts)
        with translated():
            await self._connection.fetchval(text, *arguments)
            if self.begun:
                await self._connection.execute("COMMIT")
                self.begun = False


class PostgresStore:
    """One partition's way to its service's database. `locking`: batches lock rows that they share with others, so the reads and the
    write are one transaction; without it the single statement of the commit is the transaction. Batches go over a connection of
    its own, which is opened for the first one; whatever else is asked, over `beside`, where that is shared with others."""

    def __init__(self, dsn: str, locking: bool = False, beside: Line | None = None) -> None:
        self._own = Line(dsn)
        self._beside = beside or self._own
        self._locking = locking

    async def take_over(self, partition: int, owner: str, topics: Sequence[str]) -> Ownership:
        """See `Store.take_over`."""
        offsets = json.dumps(dict.fromkeys(topics, 0))
        async with self._beside.turn() as connection:
            row = await connection.fetchrow(sql.TAKE_OVER, partition, owner, offsets)
            return await self._ownership(connection, row)

    async def reload(self, partition: int, epoch: int) -> Ownership:
        """See `Store.reload`."""
        async with self._beside.turn() as connection:
            row = await connection.fetchrow(sql.OWNERSHIP, partition)
            if row is None or row["epoch"] != epoch:
                raise FenceLostError(f"partition {partition} has another owner")
            return await self._ownership(connection, row)

    async def _ownership(self, connection: asyncpg.Connection, row: Any) -> Ownership:
        return Ownership(
            partition=row["partition"],
            epoch=row["epoch"],
            offsets=json.loads(row["offsets"]),
            next_seq=row["next_seq"],
            published_seq=row["published_seq"],
            acked=json.loads(row["acked"]),
            next_due=await connection.fetchval(sql.NEXT_DUE, row["partition"], []),
        )

    async def set_offsets(self, partition: int, epoch: int, offsets: Mapping[str, int]) -> None:
        """See `Store.set_offsets`."""
        async with self._beside.turn() as connection:
            if await connection.fetchval(sql.SET_OFFSETS, partition, epoch, json.dumps(dict(offsets))) is None:
                raise FenceLostError(f"partition {partition} has another owner")

    async def begin(self) -> PostgresTransaction:
        """See `Store.begin`."""
        connection = await self._own.opened()
        if self._locking:
            with translated():
                await connection.execute("BEGIN")
        return PostgresTransaction(connection, self._locking)

    async def rollback(self, transaction: PostgresTransaction) -> None:
        """See `Store.rollback`. A connection that cannot even roll back is thrown away."""
        if not transaction.begun or self._own.held is None:
            return
        transaction.begun = False
        try:
            await self._own.held.execute("ROLLBACK")
        except TRANSIENT:
            self._own.terminate()

    async def outbox_after(self, partition: int, seq: int, limit: int) -> list[Wire]:
        """See `Store.outbox_after`."""
        async with self._beside.turn() as connection:
            rows = await connection.fetch(sql.OUTBOX_AFTER, partition, seq, limit)
        return [
            Wire(
                row["seq"],
                row["topic"],
                row["target"],
                row["key"],
                row["value"],
                row["type"],
                None if row["headers"] is None else headers_of(row["headers"]),
            )
            for row in rows
        ]

    async def mark_published(
        self, partition: int, epoch: int, seq: int, acked: Mapping[str, int], placed: Sequence[Placed]
    ) -> None:
        """See `Store.mark_published`."""
        first, last = (placed[0].seq, placed[-1].seq) if placed else (None, None)
        places = [row.topic for row in placed], [row.seq for row in placed], [row.offset for row in placed]
        async with self._beside.turn() as connection:
            await connection.execute(
                sql.MARK_PUBLISHED, partition, epoch, seq, json.dumps(dict(acked)), first, last, *places
            )

    async def unplace(self, partition: int, epoch: int, since_seq: int) -> None:
        """See `Store.unplace`."""
        async with self._beside.turn() as connection:
            await connection.execute(sql.UNPLACE, partition, epoch, since_seq)

    async def forget_published(self, older_than: datetime) -> bool:
        """See `Store.forget_published`."""
        async with self._beside.turn() as connection:
            return bool(await connection.fetchval(sql.FORGET_PUBLISHED, older_than))

    async def due_timers(
        self, partition: int, until: datetime, limit: int, but: Collection[str] = ()
    ) -> list[DueTimer]:
        """See `Store.due_timers`."""
        async with self._beside.turn() as connection:
            rows = await connection.fetch(sql.DUE_TIMERS, partition, until, limit, list(but))
        return [DueTimer(row["key"], row["name"], row["step"], row["due_at"]) for row in rows]

    async def next_due(self, partition: int, but: Collection[str] = ()) -> datetime | None:
        """See `Store.next_due`."""
        async with self._beside.turn() as connection:
            found: datetime | None = await connection.fetchval(sql.NEXT_DUE, partition, list(but))
            return found

    async def lanes(self, partition: int) -> list[Lane]:
        """See `Store.lanes`."""
        async with self._beside.turn() as connection:
            return await lanes.read_lanes(connection, partition)

    async def parked(self, partition: int, keys: Collection[str], limit: int) -> list[Parked]:
        """See `Store.parked`."""
        async with self._beside.turn() as connection:
            return await lanes.read_parked(connection, partition, keys, limit)

    async def done_with(self, letters: Collection[Letter]) -> set[Letter]:
        """See `Store.done_with`."""
        async with self._beside.turn() as connection:
            return await lanes.read_done(connection, letters)

    async def pending_effects(self, partition: int) -> list[PendingEffect]:
        """See `Store.pending_effects`."""
        async with self._beside.turn() as connection:
            rows = await connection.fetch(sql.PENDING_EFFECTS, partition)
        return [PendingEffect(row["id"], row["key"], row["kind"], row["request"].encode()) for row in rows]

    async def close(self) -> None:
        """See `Store.close`. What is shared is somebody else's, too."""
        self._own.terminate()


class PostgresStores:
    """The stores of a process's partitions. What is asked beside the batches goes over one connection to each database: after the
    database was down every connection is made anew, plans and all, and that is what those wait for who want to go on."""

    def __init__(self, database_of: Callable[[int], str], locking: bool) -> None:
        self._database_of = database_of
        self._locking = locking
        self._beside: dict[str, Line] = {}

    def of(self, partition: int) -> PostgresStore:
        """A store for the partition, without a connection yet."""
        dsn = self._database_of(partition)
        return PostgresStore(dsn, self._locking, self._beside.setdefault(dsn, Line(dsn)))

    def close(self) -> None:
        """Let go of what they share."""
        for line in self._beside.values():
            line.terminate()
