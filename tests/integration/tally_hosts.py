"""Running tally hosts, in this process and as processes of their own, on fresh databases and topics that others use too."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from tally import TOPICS, PostgresTally, TallyHandler
from tally_process import Asker
from tally_real import RealWorld, settings_for
from tally_world import PARTITIONS, RealClock, Sender
from waiting import until

from contracts.inventory import AdjustStock
from messaging.host import Host
from messaging.meters import Meters
from messaging.partitioner import partition_of
from messaging.postgres import PostgresStore
from messaging.settings import Settings

SCRIPT = Path(__file__).with_name("tally_process.py")


@dataclass
class RunningHost:
    """A host that runs in this process."""

    host: Host
    handler: TallyHandler
    meters: Meters
    task: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.task = asyncio.create_task(self.host.run())

    async def stop(self) -> None:
        await self.host.stop()
        await self.task

    def happened(self, event: str) -> float:
        """How often it counted this event."""
        labels = {"service": "inventory", "event": event}
        return self.meters.registry.get_sample_value("messaging_events_total", labels) or 0


class Fleet:
    """Everything that one test runs, as one consumer group on one database."""

    def __init__(self, world: RealWorld, bootstrap: str, dsn: str) -> None:
        self.world = world
        self.queue = f"test-{uuid4().hex[:8]}"
        self._bootstrap, self._dsn = bootstrap, dsn
        self.hosts: list[RunningHost] = []
        self.processes: list[asyncio.subprocess.Process] = []
        self._senders = {p: Sender(world, p) for p in range(PARTITIONS)}
        self._sent = 0

    def settings(self, **environment: str) -> Settings:
        chosen = {"ORDER_TASK_QUEUE": self.queue, "IDENTITY": f"tally-{len(self.hosts)}", **environment}
        return settings_for(self._bootstrap, self._dsn, **chosen)

    def host(self, handler: TallyHandler | None = None, asker: Asker | None = None, **environment: str) -> RunningHost:
        """Start one in this process."""
        settings, meters = self.settings(**environment), Meters("inventory")
        chosen = handler or TallyHandler(PostgresTally())
        host = Host(settings, chosen, asker or Asker(0), lambda _: PostgresStore(self._dsn), RealClock(), meters)
        self.hosts.append(RunningHost(host, chosen, meters))
        return self.hosts[-1]

    async def process(self, **environment: str) -> asyncio.subprocess.Process:
        """Start one as a process of its own."""
        env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self._bootstrap,
            "INVENTORY_DATABASE_URL": self._dsn,
            "ORDER_TASK_QUEUE": self.queue,
            "HTTP_PORT": "0",
            "IDENTITY": f"tally-process-{len(self.processes)}",
            **environment,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), env=env, stdout=asyncio.subprocess.PIPE
        )
        self.processes.append(process)
        return process

    async def owners(self) -> dict[int, str]:
        rows = await self.world.fetch("select partition, owner from partition_ownership where epoch > 0")
        return {row["partition"]: row["owner"] for row in rows}

    async def add(self, key: str, delta: int = 1, words: str = "add") -> None:
        """Ask for `delta` more on the key, wherever it belongs."""
        self._sent += 1
        await self.sender(partition_of(key, PARTITIONS)).add(key, delta, words, id=f"m{self._sent}")

    def sender(self, partition: int) -> Sender:
        """Writes on that partition, whatever belongs there."""
        return self._senders[partition]

    async def add_in_transaction(self, key: str, delta: int, words: str) -> None:
        """The same, from a client that writes in Kafka transactions."""
        partition = partition_of(key, PARTITIONS)
        message = self.sender(partition).message(key, AdjustStock(sku="A", delta=delta, reason=words))
        await self.world.append_in_transaction(*message, partition)

    async def totals(self) -> dict[str, int]:
        return {key: row.total for key, row in (await self.world.rows()).items()}

    async def until_totals(self, expected: dict[str, int]) -> None:
        async def reached() -> bool:
            return await self.totals() == expected

        await until(reached, f"totals {expected}")

    async def said(self, key: str) -> list[str]:
        """What was published about the key; what came again is told once."""
        sender = self._senders[partition_of(key, PARTITIONS)]
        return list(dict.fromkeys(line for line in await sender.said() if line.startswith(f"{key}: ")))

    async def until_said(self, key: str, line: str) -> None:
        async def found() -> bool:
            return line in await self.said(key)

        await until(found, f"{line!r} said")

    async def stop(self) -> None:
        for running in self.hosts:
            if not running.task.done():
                await running.host.stop()
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
        await asyncio.gather(*(running.task for running in self.hosts), return_exceptions=True)


@asynccontextmanager
async def new_fleet(world: RealWorld, bootstrap: str, dsn: str) -> AsyncIterator[Fleet]:
    """A fleet that reads from now on, whatever others left on the topics."""
    for partition in range(PARTITIONS):
        begins = {topic: world.begin(topic, partition) for topic in TOPICS}
        await world.execute(
            "insert into partition_ownership (partition, offsets) values ($1, $2::jsonb)", partition, json.dumps(begins)
        )
    fleet = Fleet(world, bootstrap, dsn)
    try:
        yield fleet
    finally:
        await fleet.stop()
