"""What goes wrong in life, around the real thing: commits and publishes whose outcome nobody knows, connections that die."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tally_real import RealWorld

from messaging.errors import PublishUnknownError, TransientStoreError
from messaging.ports import Publisher, Wire


class Faulty:
    """A real store whose next commit fails as it can in life: before, or after it was done."""

    def __init__(self, store: Any, when: str) -> None:
        self._store, self._when = store, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def begin(self) -> Any:
        return FaultyTransaction(await self._store.begin(), self)

    async def rollback(self, transaction: Any) -> None:
        await self._store.rollback(transaction.real)

    async def commit(self, transaction: Any, *commits: Any) -> None:
        when, self._when = self._when, ""
        if when == "before":
            raise TransientStoreError("the connection was lost before the commit")
        await transaction.commit(*commits)
        if when == "after":
            raise TransientStoreError("the connection was lost while waiting for the answer")


class FaultyTransaction:
    def __init__(self, real: Any, store: Faulty) -> None:
        self.real, self._store = real, store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def commit(self, *commits: Any) -> None:
        await self._store.commit(self.real, *commits)


class Unsure:
    """A real publisher whose first answer is lost: the records are there, but nobody knows."""

    def __init__(self, publisher: Publisher, lands: bool) -> None:
        self._publisher, self._lands, self.failed = publisher, lands, 0

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        if not self.failed:
            self.failed += 1
            if self._lands:
                await self._publisher.publish(wires)
            raise PublishUnknownError("no answer in time")
        return await self._publisher.publish(wires)


class Cut(Faulty):
    """A store whose connection the server ends once, between the reading and the commit."""

    def __init__(self, store: Any, world: RealWorld) -> None:
        super().__init__(store, "cut")
        self._world = world

    async def commit(self, transaction: Any, *commits: Any) -> None:
        if self._when == "cut":
            self._when = ""
            await self._world.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity "
                "where application_name = 'messaging' and datname = current_database()"
            )
        await transaction.commit(*commits)
