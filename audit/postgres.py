"""Reads the services' databases: each as it was at one moment, the large tables order by order."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeAlias, TypeVar

import asyncpg
from pydantic_core import from_json

from audit import sql
from audit.errors import CouldNotLookError
from audit.partitions import Effect, OutboxRow, ParkedKey, PartitionFacts, Timer

#: The services whose databases have the runtime's tables; the gateway's ledger is a database of its own.
SERVICES: Final = ("orders", "inventory", "payment", "customer", "notification")
DATABASES: Final = (*SERVICES, "gateway")

_CONNECT_TIMEOUT_S: Final = 10.0
_COMMAND_TIMEOUT_S: Final = 120.0
_PAGE: Final = 5_000
_OUTAGES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition of a service has come. Equal positions: nothing was decided in between."""

    next_seq: int
    published_seq: int
    offsets: Mapping[str, int]


class Database:
    """A service's database, read inside one transaction: everything is as it was at `as_of`. Where its partitions are spread over
    several, each is read so; the first of their moments is `as_of`, and what one of them holds none of the others does."""

    def __init__(self, name: str, connections: Sequence[Connection], as_of: datetime) -> None:
        self.name = name
        self.as_of = as_of
        self._connections = connections

    async def fetch(self, query: str, *arguments: Any) -> Sequence[asyncpg.Record]:
        """All rows of an answer that is small; what is grouped there is grouped once for each."""
        with translated(self.name):
            return [row for one in self._connections for row in await one.fetch(query, *arguments)]

    async def positions(self) -> dict[int, Position]:
        """How far each partition has come."""
        return _positions(await self.fetch(sql.POSITIONS))

    async def by_order(
        self, query: str, build: Callable[[asyncpg.Record], T], *arguments: Any
    ) -> AsyncIterator[tuple[str, tuple[T, ...]]]:
        """The rows of an answer that is large, order by order; `query` sorts them by `order_id`."""
        parts = {
            str(at): Stream(self._by_order(one, query, build, *arguments)) for at, one in enumerate(self._connections)
        }
        async for order_id, found in side_by_side(parts):
            yield order_id, tuple(row for rows in found.values() for row in rows)

    async def _by_order(
        self, connection: Connection, query: str, build: Callable[[asyncpg.Record], T], *arguments: Any
    ) -> AsyncIterator[tuple[str, tuple[T, ...]]]:
        current: str | None = None
        rows: list[T] = []
        with translated(self.name):
            cursor = await connection.cursor(query, *arguments)
            while page := await cursor.fetch(_PAGE):
                for row in page:
                    if row["order_id"] != current:
                        if current is not None:
                            yield current, tuple(rows)
                        current, rows = row["order_id"], []
                    rows.append(build(row))
        if current is not None:
            yield current, tuple(rows)


@asynccontextmanager
async def open_snapshots(urls: Mapping[str, Sequence[str]]) -> AsyncIterator[dict[str, Database]]:
    """Every database at a moment of its own; the gateway's comes last, since what the others know of it came before."""
    async with AsyncExitStack() as stack:
        found = {}
        for name in DATABASES:
            connections = [await stack.enter_async_context(connected(name, url)) for url in urls[name]]
            with translated(name):
                for one in connections:
                    await one.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                # The first query takes the snapshot.
                moments = [await one.fetchval("SELECT clock_timestamp()") for one in connections]
            found[name] = Database(name, connections, min(moments))
        yield found


@asynccontextmanager
async def connected(name: str, url: str) -> AsyncIterator[Connection]:
    """A connection for looking, closed at the end. Raises `CouldNotLookError`."""
    connection = await connect(name, url)
    try:
        yield connection
    finally:
        await close(connection)


async def connect(name: str, url: str) -> Connection:
    """A connection for looking. Raises `CouldNotLookError`."""
    settings = {"application_name": "audit", "work_mem": "64MB", "jit": "off"}
    with translated(name):
        return await asyncpg.connect(
            url, timeout=_CONNECT_TIMEOUT_S, command_timeout=_COMMAND_TIMEOUT_S, server_settings=settings
        )


async def close(connection: Connection) -> None:
    """Disconnect at once: nothing was written, so nothing has to be said goodbye to."""
    connection.terminate()


async def live_positions(name: str, connections: Sequence[Connection]) -> dict[int, Position]:
    """How far each partition has come by now."""
    with translated(name):
        return _positions([row for one in connections for row in await one.fetch(sql.POSITIONS)])


async def partition_facts(database: Database) -> list[PartitionFacts]:
    """What waits in each partition of a service."""
    outbox, timers, effects, parked = (
        await database.fetch(sql.UNPUBLISHED),
        await database.fetch(sql.DUE_TIMERS, database.as_of),
        await database.fetch(sql.EFFECTS),
        await database.fetch(sql.PARKED),
    )
    partitions = {row["partition"] for rows in (outbox, timers, effects) for row in rows}
    partitions |= (await database.positions()).keys()
    return [
        PartitionFacts(
            service=database.name,
            partition=p,
            as_of=database.as_of,
            outbox=tuple(OutboxRow(*list(row.values())[1:]) for row in outbox if row["partition"] == p),
            timers=tuple(Timer(*list(row.values())[1:]) for row in timers if row["partition"] == p),
            effects=tuple(Effect(*list(row.values())[1:]) for row in effects if row["partition"] == p),
            parked=tuple(ParkedKey(*list(row.values())[1:]) for row in parked if row["partition"] == p),
        )
        for p in sorted(partitions)
    ]


def _positions(rows: Sequence[asyncpg.Record]) -> dict[int, Position]:
    return {r["partition"]: Position(r["next_seq"], r["published_seq"], from_json(r["offsets"])) for r in rows}


class translated:  # noqa: N801 - it reads as a word of a sentence
    """Turns a driver's error into `CouldNotLookError`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _OUTAGES):
            variable = f"{self._name.upper()}_DATABASE_URL"
            raise CouldNotLookError(
                f"The {self._name} database cannot be read ({error or type(error).__name__}). "
                f"Start the stack with `make up`, or set {variable}."
            ) from error


# --- side by side -------------------------------------------------------------------------------------------------------


class Stream(Generic[T]):
    """Answers in the order of the orders' ids, taken one order at a time."""

    def __init__(self, groups: AsyncIterator[tuple[str, tuple[T, ...]]]) -> None:
        self._groups = groups
        self._head: tuple[str, tuple[T, ...]] | None = None

    async def advance(self) -> str | None:
        """Look at the next order; its id, or None at the end."""
        self._head = await anext(self._groups, None)
        return None if self._head is None else self._head[0]

    def take(self) -> tuple[T, ...]:
        """The rows of the order that was looked at."""
        return () if self._head is None else self._head[1]


async def side_by_side(streams: Mapping[str, Stream[Any]]) -> AsyncIterator[tuple[str, dict[str, tuple[Any, ...]]]]:
    """Each order that any stream knows, with what each of those streams says about it."""
    heads: list[tuple[str, str]] = []
    for name, stream in streams.items():
        key = await stream.advance()
        if key is not None:
            heads.append((key, name))
    heapq.heapify(heads)
    while heads:
        current = heads[0][0]
        found: dict[str, tuple[Any, ...]] = {}
        while heads and heads[0][0] == current:
            name = heads[0][1]
            found[name] = streams[name].take()
            key = await streams[name].advance()
            if key is not None and key <= current:
                raise CouldNotLookError(f"The {name} do not come in the order of their ids: {key!r} after {current!r}.")
            if key is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (key, name))
        yield current, found


def listed(keyed: Mapping[str, Sequence[T]]) -> AsyncIterator[tuple[str, tuple[T, ...]]]:
    """What is in memory, as a stream's groups."""

    async def groups() -> AsyncIterator[tuple[str, tuple[T, ...]]]:
        for key in sorted(keyed):
            yield key, tuple(keyed[key])

    return groups()
