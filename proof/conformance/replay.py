"""Lives a tape again: the same calls on the worker of production, with the stores of production, on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import asyncpg

from contracts.values import DEFAULT_CURRENCY
from messaging.errors import MessagingError
from messaging.handler import Handler
from messaging.meters import Meters
from messaging.migrate import migrate
from messaging.postgres import PostgresStore
from messaging.worker import PartitionWorker
from proof.conformance.brittle import Brittle
from proof.conformance.tables import FOLLOWS, RUNTIME, SERVICE, astray, differences, remembered, stored
from proof.conformance.tape import Call, Fate, Life, State, Unsure
from proof.conformance.worlds import World
from services.customer.handlers import CustomerHandler
from services.customer.store import PostgresCustomers
from services.inventory.handlers import InventoryHandler
from services.inventory.store import PostgresInventory
from services.notification.handlers import MailHandler
from services.notification.store import PostgresMails
from services.orders.archive import archive
from services.orders.handlers import OrdersHandler
from services.orders.store import PostgresOrders
from services.payment.handlers import PaymentHandler
from services.payment.store import PostgresCharges
from services.recommendation.handlers import RecommendationHandler

HANDLERS: Final[dict[str, Callable[[], Handler]]] = {
    "orders": lambda: OrdersHandler(PostgresOrders("replay")),
    "inventory": lambda: InventoryHandler(PostgresInventory(), DEFAULT_CURRENCY),
    "payment": lambda: PaymentHandler(PostgresCharges()),
    "customer": lambda: CustomerHandler(PostgresCustomers()),
    "recommendation": lambda: RecommendationHandler({}),
    "notification": lambda: MailHandler(PostgresMails()),
}
#: As the services' own `app.py` have it.
LOCKING: Final = frozenset({"inventory"})
MIGRATIONS: Final = {name: Path(__file__).parents[2] / "services" / name / "migrations" for name in HANDLERS}
#: Before how many of the orders service's calls the archive is run, as often as it stands here.
ARCHIVED_IN: Final = (0.0, 0.0, 0.1, 0.5)
#: How often at most: some worlds have ten thousand calls, in which nothing ends any more.
MOST_RUNS: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# The server's clock is the simulation's: what PostgreSQL stamps and forgets by the time, it does by virtual time.
_CLOCK: Final = """
CREATE SCHEMA sim;
CREATE SEQUENCE sim.clock;
GRANT ALL ON SCHEMA sim TO PUBLIC; GRANT ALL ON SEQUENCE sim.clock TO PUBLIC;
CREATE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT timestamptz 'epoch' + last_value * interval '1 microsecond' FROM sim.clock $$;
"""


class DifferentError(Exception):
    """PostgreSQL went another way than memory. The message says where they part."""


@dataclass
class Room:
    """A service's database with its clock, and the stores that stay connected to it from world to world."""

    service: str
    dsn: str
    admin: asyncpg.Connection[asyncpg.Record]
    stores: dict[int, PostgresStore] = field(default_factory=dict)
    now: datetime | None = None
    meters: Meters = field(init=False)

    def __post_init__(self) -> None:
        self.meters = Meters(self.service)

    def store(self, partition: int) -> PostgresStore:
        """The store of a partition."""
        if partition not in self.stores:
            self.stores[partition] = PostgresStore(self.dsn, self.service in LOCKING)
        return self.stores[partition]

    async def set_clock(self, now: datetime) -> None:
        """From now on it is this late in the database."""
        if now != self.now:
            self.now = now
            await self.admin.execute(f"SELECT setval('sim.clock', {(now - _EPOCH) // timedelta(microseconds=1)})")

    async def wipe(self) -> None:
        """Nothing is in it."""
        names = {**RUNTIME, **SERVICE[self.service], **FOLLOWS.get(self.service, {})}
        await self.admin.execute(";".join(f"DELETE FROM {name}" for name in names))

    async def close(self) -> None:
        """Let go of it."""
        for store in self.stores.values():
            await store.close()
        await self.admin.close()


async def open_room(superuser: str, dsn_of: Callable[[str], str], service: str) -> Room:
    """A fresh database for the service, on the server that `superuser` administers."""
    name = f"conform_{service}"
    root = await asyncpg.connect(superuser)
    try:
        await root.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await root.execute(f'CREATE DATABASE "{name}"')
        # What holds after a power cut is tested elsewhere; here only the rows count, and each commit may be quick.
        await root.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        await root.execute(f'ALTER DATABASE "{name}" SET search_path = public, sim, pg_catalog')
    finally:
        await root.close()
    admin = await asyncpg.connect(dsn_of(name))
    await admin.execute(_CLOCK)
    await migrate(dsn_of(name), MIGRATIONS[service])
    return Room(service, dsn_of(name), admin)


@dataclass(slots=True)
class Lived:
    """How much was lived again: calls, and orders that went into the archive in between."""

    calls: int = 0
    archived: int = 0


async def replay(world: World, room: Room) -> Lived:
    """Live the service's part of the world again. In some worlds whatever rests is archived now and then, which must not make a
    difference. Raises `DifferentError`."""
    await room.wipe()
    handlers: dict[int, Handler] = {}
    workers: dict[int, PartitionWorker] = {}
    lived, random = Lived(), Random(f"archive {world.salt}")  # noqa: S311 - it must repeat, that is all
    runs, archived_in = 0, random.choice(ARCHIVED_IN) if room.service == "orders" else 0.0
    for call in world.tape.calls:
        life = world.tape.lives[call.worker]
        if life.service != room.service:
            continue
        if call.worker not in workers:
            if life.process not in handlers:
                handlers[life.process] = Brittle(HANDLERS[life.service](), world.salt, world.brittle_of)
            workers[call.worker] = _worker(life, handlers[life.process], room)
        await room.set_clock(call.at)
        if random.random() < archived_in and runs < MOST_RUNS:
            runs += 1
            lived.archived += await archive(room.dsn, call.at)
        await _repeat(workers[call.worker], call, life)
        lived.calls += 1
    memory = remembered(world.system.parts, room.service)
    database = await stored(room.admin, room.service)
    # Who owns a partition is called otherwise here; the number of the ownership is compared.
    database["partition_ownership"] = [(*row[:2], None, *row[3:]) for row in database["partition_ownership"]]
    found = [*differences(memory, database), *await astray(room.admin, room.service)]
    if found:
        raise DifferentError(f"{room.service}: {'; '.join(found)}")
    return lived


def _worker(life: Life, handler: Handler, room: Room) -> PartitionWorker:
    store: Any = Unsure(room.store(life.partition), _fates(life))
    return PartitionWorker(handler, store, life.partition, life.partitions, "replay", room.meters)


def _fates(life: Life) -> Iterator[Fate]:
    yield from life.fates
    raise DifferentError(f"{life.service}/{life.partition} commits more often than it did")


async def _repeat(worker: PartitionWorker, call: Call, life: Life) -> None:
    worker.buffers.clear()
    for topic, records in call.buffered.items():
        worker.buffers.offer(records, {topic: records[0].offset} if records else {})
    result, error = None, None
    try:
        result = await getattr(worker, call.name)(*call.arguments)
    except MessagingError as failed:
        error = type(failed).__name__
    where = f"{life.service}/{life.partition} at {call.at} in {call.name}"
    if error != call.error:
        raise DifferentError(f"{where}: {error} instead of {call.error}")
    # The effects that a predecessor left come in the order in which they were asked for; in one commit that is no order.
    if call.name in ("take_over", "reload"):
        result, expected = (sorted(map(_effect, found or ())) for found in (result, call.result))
    else:
        expected = call.result
    if result != expected:
        raise DifferentError(f"{where}: {result!r} instead of {expected!r}")
    after = State.of(worker)
    worker.launch.clear()
    if after != call.after:
        raise DifferentError(f"{where}: afterwards {after!r} instead of {call.after!r}")


def _effect(pending: Any) -> tuple[str, str, str, str]:
    return pending.id, pending.key, pending.kind, json.dumps(json.loads(pending.request), sort_keys=True)
