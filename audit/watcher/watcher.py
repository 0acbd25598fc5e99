"""The watcher: looks every few seconds, for ever; what does not answer is told as not answering."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import asyncpg
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from audit.watcher import looks
from audit.watcher.book import Book, Sample, merged
from audit.watcher.broker import Broker, Offsets
from audit.watcher.stories import Stories
from contracts import metrics
from contracts.topics import RECOMMENDATION_LEARNER, SUBSCRIPTIONS
from messaging.logs import get_logger
from messaging.settings import TASK_QUEUE

log = get_logger(__name__)

TIMEOUT_S: Final = 10.0
#: The stock is added up from all that ever happened to it, so this is done so often only.
STOCK_EVERY_S: Final = 600.0
_BROKER_OUTAGES: Final = (KafkaError, OSError, TimeoutError)
_OUTAGES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to look, and how often. An order is at rest when it ended `rest_s` ago."""

    bootstrap_servers: str
    databases: Mapping[str, Sequence[str]]
    partitions: int
    every_s: float = 15.0
    rest_s: float = 60.0
    task_queue: str = TASK_QUEUE.default

    @property
    def timeout_s(self) -> float:
        """How long a source may take: large tables get more time where the watcher looks less often."""
        return max(TIMEOUT_S, self.every_s)


@dataclass(slots=True)
class Watcher:
    """`looked_at`: when the last look ended (monotonic); None: none did yet."""

    settings: Settings
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    looked_at: float | None = None
    _book: Book = field(default_factory=Book)
    _connections: dict[tuple[str, str], Connection] = field(default_factory=dict)
    _broker: Broker = field(init=False)
    _learner: looks.Standing = field(default_factory=looks.Standing)
    _stories: Stories = field(init=False)
    _money: looks.Money = field(init=False)
    # When the stock was added up (monotonic), and whether that was answered.
    _added_up: tuple[float, bool] | None = None

    def __post_init__(self) -> None:
        self.registry.register(self._book)
        self._broker = Broker(self.settings.bootstrap_servers)
        self._stories = Stories(self.registry)
        self._money = looks.Money(self.settings.rest_s)

    @property
    def alive(self) -> bool:
        """Whether it looks: three looks in a row did not end."""
        return self.looked_at is None or time.monotonic() - self.looked_at < 3 * (
            self.settings.every_s + self.settings.timeout_s
        )

    async def run(self) -> None:
        """Look, and look again."""
        while True:
            began = time.monotonic()
            await self.look()
            await asyncio.sleep(max(0.0, self.settings.every_s - (time.monotonic() - began)))

    async def look(self) -> None:
        """Look once at everything. Never raises for what is away."""
        began = time.monotonic()
        ends, broker_answers = await self._look_at_broker()
        up = dict(await asyncio.gather(*(self._service(name, ends) for name in self.settings.databases)))
        up["kafka"] = broker_answers
        up["money"] = await self._beyond("money", ("orders", "payment", "gateway"), up, self._look_at_money)
        up["stock"] = await self._stock(up)
        self.looked_at = time.monotonic()
        self._book.write(
            "watch",
            [
                *(Sample(metrics.WATCH_UP, float(answers), (source,)) for source, answers in up.items()),
                Sample(metrics.WATCH_AT, time.time()),
                Sample(metrics.WATCH_SECONDS, self.looked_at - began),
            ],
        )

    async def close(self) -> None:
        """Let go of everything."""
        for connection in self._connections.values():
            connection.terminate()
        await self._broker.close()

    async def _service(self, name: str, ends: looks.Ends | None) -> tuple[str, bool]:
        async def look() -> list[Sample]:
            dbs = await self._all(name)
            found = merged([await self._look_into(name, db, ends) for db in dbs])
            if name == "orders":
                await self._stories.look(dbs)
            return found

        return name, await self._guarded(name, (name,), look)

    async def _stock(self, up: Mapping[str, bool]) -> bool:
        async def look() -> list[Sample]:
            return merged([await looks.stock(db) for db in await self._all("inventory")])

        looked = self._added_up
        if looked is None or not looked[1] or time.monotonic() - looked[0] >= STOCK_EVERY_S:
            self._added_up = looked = time.monotonic(), await self._beyond("stock", ("inventory",), up, look)
        return looked[1]

    async def _beyond(
        self, page: str, databases: Sequence[str], up: Mapping[str, bool], look: Callable[[], Awaitable[list[Sample]]]
    ) -> bool:
        """As `_guarded`, where all of these databases have answered just before."""
        if all(up.get(name) for name in databases):
            return await self._guarded(page, databases, look)
        self._book.write(page, ())
        return False

    async def _look_into(self, name: str, db: Connection, ends: looks.Ends | None) -> list[Sample]:
        found = await looks.runtime(db, name, ends) if name in SUBSCRIPTIONS else []
        match name:
            case "orders":
                found += await looks.orders(db)
            case "payment":
                found += await looks.payment(db)
            case "inventory":
                found += await looks.inventory(db)
            case "notification":
                found += await looks.notification(db)
            case "gateway":
                await db.fetchval("SELECT 1")
        return found

    async def _look_at_money(self) -> list[Sample]:
        orders, payment, (gateway,) = [await self._all(name) for name in ("orders", "payment", "gateway")]
        return await self._money.look(orders, payment, gateway)

    async def _guarded(self, page: str, databases: Sequence[str], look: Callable[[], Awaitable[list[Sample]]]) -> bool:
        """Whether the look into these databases was answered; if so, its page of the book is written anew, else it is empty."""
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                self._book.write(page, await look())
        except _OUTAGES as error:
            log.warning("cannot-look", where=page, error=error)
            self._book.write(page, ())
            for name in databases:
                for url in self.settings.databases[name]:
                    if (connection := self._connections.pop((name, url), None)) is not None:
                        connection.terminate()
            return False
        return True

    async def _all(self, name: str) -> list[Connection]:
        return [await self._connection(name, url) for url in self.settings.databases[name]]

    async def _connection(self, name: str, url: str) -> Connection:
        # Two services that share a database are asked at the same time, each over a connection of its own.
        found = self._connections.get((name, url))
        if found is None or found.is_closed():
            found = self._connections[name, url] = await asyncpg.connect(
                url,
                timeout=TIMEOUT_S,
                command_timeout=self.settings.timeout_s,
                server_settings={"application_name": "watcher", "jit": "off"},
            )
        return found

    async def _look_at_broker(self) -> tuple[Offsets | None, bool]:
        """Where the topics end, if that was answered, and whether all was. How far the learner is, the broker alone knows."""
        topics = {topic for topics in SUBSCRIPTIONS.values() for topic in topics}
        # In this order: what was committed is not beyond an end that is asked for later.
        committed = await self._ask(self._broker.committed(f"{self.settings.task_queue}.{RECOMMENDATION_LEARNER}"))
        topics |= {topic for topic, _ in committed or ()}
        ends = await self._ask(self._broker.ends(topics, self.settings.partitions))
        if committed is None or ends is None:
            self._book.write(RECOMMENDATION_LEARNER, ())
            return ends, False
        lags = self._learner.look(RECOMMENDATION_LEARNER, committed, ends, time.monotonic())
        self._book.write(RECOMMENDATION_LEARNER, lags)
        return ends, True

    async def _ask(self, question: Awaitable[Offsets]) -> Offsets | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await question
        except _BROKER_OUTAGES as error:
            log.warning("broker-does-not-answer", error=error)
            await self._broker.close()
            return None
