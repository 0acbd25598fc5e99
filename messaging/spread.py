"""A service whose partitions are spread over several databases (docs/scaling.md): partition *p* is in number *p* mod *n* of them.

Which services can be is theirs to know: no transaction of theirs spans two partitions, and whoever asks about everything asks all.
Where a partition is must never change by itself: its offsets, its outbox and its fence are there. So every database remembers which
of how many it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from messaging.errors import SettingsError
from messaging.migrate import migrate
from messaging.partitioner import partition_of
from messaging.setting import database_url, is_database, secret

#: The services without a transaction across partitions.
SPREAD: Final = frozenset({"orders", "payment"})

CLAIM: Final = "INSERT INTO spread (number, of) VALUES ($1, $2) ON CONFLICT (one) DO NOTHING"
CLAIMED: Final = "SELECT number, of FROM spread"


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """`<SERVICE>_DATABASE_URL`: one address, or several where the service can be spread. It may stand in a file."""

    service: str
    meaning: str = "the service's own database"

    @property
    def name(self) -> str:
        """See `Setting`."""
        return database_url(self.service).name

    @property
    def allowed(self) -> str:
        """See `Setting`."""
        one = database_url(self.service).allowed
        return f"{one}, or several separated by spaces" if self.service in SPREAD else one

    @property
    def usual(self) -> str:
        """See `Setting`."""
        return database_url(self.service).usual

    def read(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """See `Setting`."""
        found = secret(env, self.name)
        urls = tuple((self.usual if found is None else found).split())
        several = len(urls) > 1 and self.service not in SPREAD
        if several or not urls or len(set(urls)) < len(urls) or not all(map(is_database, urls)):
            raise SettingsError(f"{self.name} must be {self.allowed}.")
        return urls


async def prepare(name: str, urls: Sequence[str], migrations: Path) -> list[str]:
    """Bring all of them up to date, and `claim` them. Returns what was applied."""
    applied = [await migrate(url, migrations) for url in urls]
    await claim(name, urls)
    return [one for names in applied for one in names]


async def claim(name: str, urls: Sequence[str]) -> None:
    """Have each of these databases (migrated) know its number; who may only read them gets by with that once it is known. Raises
    `SettingsError` where one is at another place, or of another count: the partitions' rows would have to be moved first."""
    for number, url in enumerate(urls):
        connection = await asyncpg.connect(url, timeout=10, command_timeout=10)
        try:
            if not await connection.fetch(CLAIMED):
                await connection.execute(CLAIM, number, len(urls))
            ((its_number, of),) = await connection.fetch(CLAIMED)
        finally:
            await connection.close()
        if (its_number, of) != (number, len(urls)):
            raise SettingsError(
                f"{name} names {len(urls)} database(s), but the one at place {number + 1} is number {its_number + 1} of {of}. "
                "Partitions do not move by themselves: name the databases that there were, in their order."
            )


class Databases:
    """The databases of one service, to be asked; pools that are opened with the first question."""

    def __init__(self, urls: Sequence[str], partitions: int, *, max_size: int, command_timeout_s: float) -> None:
        self._partitions = partitions
        self._pools = [
            asyncpg.create_pool(url, min_size=0, max_size=max_size, command_timeout=command_timeout_s, timeout=5)
            for url in urls
        ]
        self._opened = False
        self._opening = asyncio.Lock()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._pools)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """What all of them answer, one after the other's rows."""
        return [row for rows in await self.fetch_each(query, lambda _: arguments) for row in rows]

    async def fetch_each(self, query: str, arguments: Callable[[int], Sequence[Any]]) -> list[list[asyncpg.Record]]:
        """What each of them answers; `arguments` are those for the one at this place."""
        await self._open()
        return await asyncio.gather(*(pool.fetch(query, *arguments(at)) for at, pool in enumerate(self._pools)))

    async def fetch_of(self, key: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """What the one answers that has this key's partition."""
        await self._open()
        found: list[asyncpg.Record] = await self._pools[partition_of(key, self._partitions) % len(self._pools)].fetch(
            query, *arguments
        )
        return found

    async def answer(self) -> bool:
        """Whether all of them do."""
        try:
            await self.fetch("SELECT 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """Let go of them."""
        if self._opened:
            for pool in self._pools:
                pool.terminate()

    async def _open(self) -> None:
        async with self._opening:
            if not self._opened:
                await asyncio.gather(*self._pools)
                self._opened = True
