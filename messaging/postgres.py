"""The runtime's store on PostgreSQL: a batch is one statement, or one short transaction where shared rows have to be locked.

The statement is composed of named parts, one per table, as data-modifying CTEs; the last one asserts the fence and the row
counts, so that anything unexpected undoes it all.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg

from contracts.letters import Letter
from messaging import postgres_lanes as lanes
from messaging import postgres_sql as sql
from messaging.errors import FenceLostError, PermanentStoreError, StaleRowError, TransientStoreError
from messaging.ports import Commit, DueTimer, Lane, Ownership, Parked, PendingEffect, Placed, Wire
from messaging.postgres_lanes import headers_of
from messaging.postgres_statement import Part, compose, runtime_parts
from messaging.safe_text import safe_text

COMMAND_TIMEOUT_S: Final = 20
CONNECT_TIMEOUT_S: Final = 5
#: A batch's transaction that says nothing for so long is ended by the server. Where the way to its process died without a word,
#: nobody else would end it, and whoever goes on would wait for its locks for ever.
IDLE_IN_TRANSACTION_S: Final = 5
# Every statement here goes by key. A plan that was made while a table was small would keep scanning it whole as it grows
# (until the next analyze); measured on the gateway's ledger: 124 against 15 microseconds per row. So there is but one plan for each
# of them, and it is made once: planned anew for every small batch, the statements took a seventh more of the server's time.
BY_KEY_ONLY: Final = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "application_name": "messaging",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
}
# Data that no retry makes acceptable: SQLSTATE classes 22 (data exception) and 23 (integrity violation).
_PERMANENT: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_TRANSIENT: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class PostgresTransaction:
    """One batch on a held connection. Reads go out at once; writes are staged and travel with the commit."""

    def __init__(self, connection: asyncpg.Connection, begun: bool) -> None:
        self._connection = connection
        self._parts: list[Part] = []
        self.begun = begun

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows of a query, inside the batch's transaction where the store locks."""
        with _translated():
            return await self._connection.fetch(query, *arguments)

    def stage(self, name: str, text: str, *arguments: Any, rows: int | None = None) -> None:
        """A set-based write for the commit. It must be one INSERT, UPDATE or DELETE with its own `$1`, `$2`; with `rows` it
        must RETURN a row for each row changed, and another count is a `StaleRowError`. Two parts must not touch the same row."""
        self._parts.append(Part(name, text, arguments, rows))

    async def commit(self, *commits: Commit) -> None:
        """Everything in one statement; see `Transaction.commit`."""
        parts = [*runtime_parts(commits), *self._parts]
        text, arguments = compose(parts)
        with _translated():
            await self._connection.fetchval(text, *arguments)
            if self.begun:
                await self._connection.execute("COMMIT")
                self.begun = False


class PostgresStore:
    """One partition's connection to its service's database. `locking`: batches lock rows that they share with others, so the
    reads and the write are one transaction; without it the single statement of the commit is the transaction."""

    def __init__(self, dsn: str, locking: bool = False) -> None:
        self._dsn = dsn
        self._locking = locking
        self._held: asyncpg.Connection | None = None

    async def _connection(self) -> asyncpg.Connection:
        if self._held is None or self._held.is_closed():
            with _translated():
                self._held = await asyncpg.connect(
                    self._dsn,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=COMMAND_TIMEOUT_S,
                    server_settings=BY_KEY_ONLY,
                )
        return self._held

    async def take_over(self, partition: int, owner: str, topics: Sequence[str]) -> Ownership:
        """See `Store.take_over`."""
        connection = await self._connection()
        offsets = json.dumps(dict.fromkeys(topics, 0))
        with _translated():
            row = await connection.fetchrow(sql.TAKE_OVER, partition, owner, offsets)
            return await self._ownership(connection, row)

    async def reload(self, partition: int, epoch: int) -> Ownership:
        """See `Store.reload`."""
        connection = await self._connection()
        with _translated():
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
        connection = await self._connection()
        with _translated():
            if await connection.fetchval(sql.SET_OFFSETS, partition, epoch, json.dumps(dict(offsets))) is None:
                raise FenceLostError(f"partition {partition} has another owner")

    async def begin(self) -> PostgresTransaction:
        """See `Store.begin`."""
        connection = await self._connection()
        if self._locking:
            with _translated():
                await connection.execute("BEGIN")
        return PostgresTransaction(connection, self._locking)

    async def rollback(self, transaction: PostgresTransaction) -> None:
        """See `Store.rollback`. A connection that cannot even roll back is thrown away."""
        if not transaction.begun or self._held is None:
            return
        transaction.begun = False
        try:
            await self._held.execute("ROLLBACK")
        except _TRANSIENT:
            self._held.terminate()
            self._held = None

    async def outbox_after(self, partition: int, seq: int, limit: int) -> list[Wire]:
        """See `Store.outbox_after`."""
        connection = await self._connection()
        with _translated():
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
        connection = await self._connection()
        first, last = (placed[0].seq, placed[-1].seq) if placed else (None, None)
        places = [row.topic for row in placed], [row.seq for row in placed], [row.offset for row in placed]
        with _translated():
            await connection.execute(
                sql.MARK_PUBLISHED, partition, epoch, seq, json.dumps(dict(acked)), first, last, *places
            )

    async def unplace(self, partition: int, epoch: int, since_seq: int) -> None:
        """See `Store.unplace`."""
        connection = await self._connection()
        with _translated():
            await connection.execute(sql.UNPLACE, partition, epoch, since_seq)

    async def forget_published(self, older_than: datetime) -> bool:
        """See `Store.forget_published`."""
        connection = await self._connection()
        with _translated():
            return bool(await connection.fetchval(sql.FORGET_PUBLISHED, older_than))

    async def due_timers(
        self, partition: int, until: datetime, limit: int, but: Collection[str] = ()
    ) -> list[DueTimer]:
        """See `Store.due_timers`."""
        connection = await self._connection()
        with _translated():
            rows = await connection.fetch(sql.DUE_TIMERS, partition, until, limit, list(but))
        return [DueTimer(row["key"], row["name"], row["step"], row["due_at"]) for row in rows]

    async def next_due(self, partition: int, but: Collection[str] = ()) -> datetime | None:
        """See `Store.next_due`."""
        connection = await self._connection()
        with _translated():
            found: datetime | None = await connection.fetchval(sql.NEXT_DUE, partition, list(but))
            return found

    async def lanes(self, partition: int) -> list[Lane]:
        """See `Store.lanes`."""
        connection = await self._connection()
        with _translated():
            return await lanes.read_lanes(connection, partition)

    async def parked(self, partition: int, keys: Collection[str], limit: int) -> list[Parked]:
        """See `Store.parked`."""
        connection = await self._connection()
        with _translated():
            return await lanes.read_parked(connection, partition, keys, limit)

    async def done_with(self, letters: Collection[Letter]) -> set[Letter]:
        """See `Store.done_with`."""
        connection = await self._connection()
        with _translated():
            return await lanes.read_done(connection, letters)

    async def pending_effects(self, partition: int) -> list[PendingEffect]:
        """See `Store.pending_effects`."""
        connection = await self._connection()
        with _translated():
            rows = await connection.fetch(sql.PENDING_EFFECTS, partition)
        return [PendingEffect(row["id"], row["key"], row["kind"], row["request"].encode()) for row in rows]

    async def close(self) -> None:
        """See `Store.close`."""
        if self._held is not None:
            self._held.terminate()
            self._held = None


class _translated:  # noqa: N801 - used as a statement
    """Driver errors become the runtime's words where they arise."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate == "OP002":
            raise FenceLostError(str(error)) from error
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate == "OP001":
            raise StaleRowError(str(error)) from error
        if isinstance(error, _PERMANENT):
            # The driver's text may hold the data; the SQLSTATE does not.
            raise PermanentStoreError(f"refused with {type(error).__name__}") from error
        if isinstance(error, _TRANSIENT):
            raise TransientStoreError(safe_text(error)) from error
