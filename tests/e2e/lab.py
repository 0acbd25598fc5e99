"""A stack in which troubles can be staged: devstack runs everything but payment, which is a process of the test's own, so that it
can stay dead and can be given wrong settings."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contracts.topics import all_topics
from devstack.ports import free_offset
from devstack.probes import is_ready
from devstack.processes import SERVICES, child_environment, service_processes
from devstack.settings import DATABASES
from devstack.stack import Stack as Devstack
from e2e.stack import CLONE, Place, place_of
from e2e.tools import orderctl
from orderctl.commands.doctor import examine
from orderctl.settings import DEFAULT_TASK_QUEUE, Settings, process_urls

OURS: Final = tuple(service for service in SERVICES if service.name == "payment")


class Lab:
    """See above. `told` is what `orderctl doctor --json` says."""

    def __init__(self, devstack: Devstack, place: Place) -> None:
        self.devstack = devstack
        self.place = place
        self.payment: subprocess.Popen[bytes] | None = None
        self.settings = Settings(
            bootstrap_servers=place.bootstrap,
            orders_api_url=place.urls["orders-api"],
            inventory_api_url=place.urls["inventory"],
            payment_api_url=place.urls["payment"],
            task_queue=place.env.get("ORDER_TASK_QUEUE", DEFAULT_TASK_QUEUE),
            processes=process_urls(place.env),
        )

    # --- payment ------------------------------------------------------------------------------------------------------

    def start_payment(self, **wrong: str) -> subprocess.Popen[bytes]:
        """Start it, with these settings instead of its own."""
        (spec,) = service_processes(self.devstack.settings, OURS)
        env = {**child_environment(spec, os.environ, ("E2E_LAB", "1")), **wrong}
        with (self.devstack.settings.logs / "payment.log").open("ab") as log:
            self.payment = subprocess.Popen(spec.argv, cwd=CLONE, env=env, stdout=log, stderr=log)
        return self.payment

    async def payment_ready(self) -> None:
        """Wait until it is at work, and the broker knows how far it is: a group that has never told so cannot be told behind."""
        (spec,) = service_processes(self.devstack.settings, OURS)
        async with asyncio.timeout(180), self.admin() as admin:
            while not await is_ready(spec):  # noqa: ASYNC110 - the fact is outside this process
                await asyncio.sleep(0.1)
            group = f"{self.settings.task_queue}.payment"
            while not await admin.list_consumer_group_offsets(group):  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.1)

    async def end_payment(self, signum: int = signal.SIGKILL) -> int:
        """End it, by default as `kill -9` does; its exit code."""
        assert self.payment is not None
        self.payment.send_signal(signum)
        return await self.payment_ended()

    async def payment_ended(self) -> int:
        """Its exit code, once it has ended."""
        assert self.payment is not None
        return await asyncio.to_thread(self.payment.wait, 30)

    # --- everything else ----------------------------------------------------------------------------------------------

    async def signal(self, name: str, signum: int) -> None:
        """Send a signal to a process of the stack."""
        await asyncio.to_thread(self.devstack.kill, name, signum)

    async def devstack_cli(self, *arguments: str) -> None:
        """`python -m devstack ...`, as the doctor advises."""
        argv = [sys.executable, "-m", "devstack", *arguments]
        env = {**os.environ, **self.place.env}
        done = await asyncio.to_thread(
            subprocess.run, argv, cwd=CLONE, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        """A session of the service's own role."""
        connection = await asyncpg.connect(self.devstack.settings.dsn(name))
        try:
            yield connection
        finally:
            connection.terminate()

    @asynccontextmanager
    async def slow(self, database: str, table: str, seconds: float) -> AsyncIterator[None]:
        """Every statement that adds to the table takes so much longer."""
        async with self.database(database) as session:
            await session.execute(
                f"create function slow() returns trigger language plpgsql as "
                f"'begin perform pg_sleep({seconds}); return null; end'; "
                f"create trigger slow after insert on {table} for each statement execute function slow()"
            )
            try:
                yield
            finally:
                await session.execute("drop function slow cascade")

    @asynccontextmanager
    async def locked(self, database: str, table: str, mode: str = "access exclusive") -> AsyncIterator[None]:
        """Somebody holds a lock on the table and does not come back."""
        async with self.database(database) as session, session.transaction():
            await session.execute(f"lock table {table} in {mode} mode")
            yield

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """The broker's administrator."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.place.bootstrap)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def set_topic(self, topic: str, **more: str) -> None:
        """The topic's settings: the contract's and these."""
        spec = next(spec for spec in all_topics() if spec.name == topic)
        config = {**spec.config, **{name.replace("_", "."): value for name, value in more.items()}}
        async with self.admin() as admin:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])

    # --- the doctor ---------------------------------------------------------------------------------------------------

    async def told(self, *arguments: str) -> dict[str, Any]:
        """What an orderctl verb says with `--json`; its exit code is the one that it tells."""
        done = await orderctl(self.place, *arguments, "--json")
        assert done.stdout, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert told["exit_code"] == done.returncode, done.output
        return told

    async def diagnosed(self, order_id: str, cause: str, says: str = "", timeout_s: float = 25) -> dict[str, Any]:
        """What the doctor says, once it names this cause and has this to say (where a message stands is known after a second)."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            # Looked for in this process, for one of its own costs a second each time; what counts is what the verb says then.
            found, _ = await examine(self.settings, order_id)
            over = asyncio.get_running_loop().time() >= deadline
            if over or (found.cause == cause and any(says in link.fact for link in found.chain)):
                told = await self.told("doctor", order_id)
                if told["cause"] == cause and any(says in link["fact"] for link in told["chain"]):
                    return told
            assert not over, f"{cause} {says} is not seen: {told}"
            await asyncio.sleep(0.2)


@contextmanager
def running_lab(home: Path) -> Iterator[Lab]:
    """A lab on empty folders; nothing is left of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "TOPIC_PARTITIONS", *(f"{n.upper()}_DATABASE_URL" for n in DATABASES)):
            patch.delenv(name, raising=False)
        devstack = Devstack(home, free_offset(), services=tuple(s for s in SERVICES if s not in OURS))
        devstack.down(wipe=True)
        devstack.up()
        env = {**os.environ, **devstack.environment()}
        lab = Lab(devstack, place_of(env))
        lab.start_payment()
        try:
            yield lab
        finally:
            if lab.payment is not None:
                lab.payment.kill()
                lab.payment.wait()
            devstack.down(wipe=not os.environ.get("E2E_KEEP"))
