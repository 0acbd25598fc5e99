"""A stack in which every way between a process and its backends goes through a proxy of ours."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

from chaos.errors import ChaosError
from chaos.plan import KAFKA, LINKS, SERVICES, Link
from chaos.proxy import LOOPBACK, Proxy
from chaos.wire import CommitWatch, ProduceWatch
from devstack.control import ProcessStatus, StackStatus
from devstack.errors import NotReadyError
from devstack.ports import free_offset, is_free, ports_at
from devstack.postgres import SUPERUSER
from devstack.processes import ProcessSpec, service_processes
from devstack.progress import Report
from devstack.settings import DATABASES, POSTGRES_PORT, Listener, database_variable
from devstack.stack import Stack

#: Below what the system hands out by itself, so that nobody takes the broker's port while it is dead.
_PORTS: Final = range(21_000, 30_000)
_READY_S: Final = 240.0
_POLL_S: Final = 0.05


class Room:
    """The stack, its proxies by their links' names, and what a client of it needs to know.

    `env` is added to every service's environment; each service in `standbys` has a second process, named like it with `-2`. Its
    clients (the sender, the audit) go to broker and databases directly.
    """

    def __init__(self, home: Path, env: Mapping[str, str], standbys: Sequence[str], report: Report) -> None:
        self.proxies: dict[str, Proxy] = {}
        self._home = home
        self._env = env
        self._standbys = standbys
        self._report = report
        self._stack: Stack | None = None

    @property
    def stack(self) -> Stack:
        """The stack, once it is entered."""
        if self._stack is None:
            raise ChaosError("The room is not entered yet.")
        return self._stack

    @property
    def environment(self) -> dict[str, str]:
        """For clients."""
        return {**os.environ, **self.stack.environment()}

    async def __aenter__(self) -> Self:
        _prepare_environment()
        offset = free_offset()
        ports = _free_ports(sum(link.backend == KAFKA for link in LINKS), ports_at(offset))
        listeners: list[Listener] = []
        for link in LINKS:
            await self._open(link, ports, listeners)
        self._stack = Stack(home=self._home, offset=offset, listeners=tuple(listeners))
        try:
            await asyncio.to_thread(self._bring_up)
            await self._checkpoint()
        except BaseException:
            await self._take_down(wipe=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._take_down(wipe=False)

    async def _checkpoint(self) -> None:
        """PostgreSQL has written what is there to its files, as it does every five minutes: the first crash would otherwise have
        the creation of all databases to make up for (2,900 files, 1.1 s), which it has once in its life."""
        connection = await asyncpg.connect(self.stack.settings.own_dsn(SUPERUSER, SUPERUSER))
        try:
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    async def status(self) -> StackStatus:
        """What runs now."""
        return await asyncio.to_thread(self.stack.status)

    async def process(self, name: str) -> ProcessStatus:
        """The process of this name, as the supervisor sees it."""
        return next(one for one in (await self.status()).processes if one.name == name)

    async def ready(self) -> None:
        """Wait until everything runs. Raises `DevstackError`."""
        await asyncio.to_thread(self.stack.wait_until_ready, _READY_S)

    async def process_ready(self, name: str) -> ProcessStatus:
        """Wait until this process runs. Raises `NotReadyError`."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            found = await self.process(name)
            if found.state == "ready":
                return found
            await asyncio.sleep(_POLL_S)
        raise NotReadyError(f"{name} does not come up within {_READY_S:.0f} s; see {found.log}.")

    async def _open(self, link: Link, ports: list[int], listeners: list[Listener]) -> None:
        if link.backend == KAFKA:
            port = ports.pop()
            proxy = Proxy(link.name, ProduceWatch, partial(self._to_kafka, port))
            await proxy.start()
            listeners.append(Listener(link.process.replace("-", "").upper(), port, proxy.port))
        else:
            proxy = Proxy(link.name, CommitWatch, self._to_postgres)
            await proxy.start()
        self.proxies[link.name] = proxy

    async def _to_kafka(self, port: int, protocol: Any) -> None:
        await asyncio.get_running_loop().create_connection(protocol, LOOPBACK, port)

    async def _to_postgres(self, protocol: Any) -> None:
        path = self.stack.settings.sockets / "postgres" / f".s.PGSQL.{POSTGRES_PORT}"
        await asyncio.get_running_loop().create_unix_connection(protocol, str(path))

    def _bring_up(self) -> None:
        self.stack.down(wipe=True, report=self._report)
        self.stack.up(only_backends=True, report=self._report, timeout_s=_READY_S)
        specs = tuple(map(self._through_proxies, service_processes(self.stack.settings, SERVICES)))
        doubled = [spec for spec in specs if spec.name in self._standbys]
        ports = _free_ports(len(doubled), ports_at(self.stack.settings.offset))
        self.stack.extend((*specs, *map(_second, doubled, ports)), self._report)
        self.stack.wait_until_ready(_READY_S)

    def _through_proxies(self, spec: ProcessSpec) -> ProcessSpec:
        env = {**spec.env, **self._env}
        for link in (link for link in LINKS if link.process == spec.name):
            port = self.proxies[link.name].port
            if link.backend == KAFKA:
                env["KAFKA_BOOTSTRAP_SERVERS"] = f"{LOOPBACK}:{port}"
            else:
                dsn = f"postgresql://{link.backend}@{LOOPBACK}:{port}/{link.backend}?sslmode=disable"
                env[database_variable(link.backend)] = dsn
        return spec.model_copy(update={"env": env})

    async def _take_down(self, *, wipe: bool) -> None:
        try:
            await asyncio.to_thread(self.stack.down, wipe=wipe)
        finally:
            for proxy in self.proxies.values():
                proxy.close()


def _second(spec: ProcessSpec, port: int) -> ProcessSpec:
    """Another process of the same service, with a port and a membership in the group of its own."""
    url = f"http://{LOOPBACK}:{port}"
    member = f"{spec.env['KAFKA_GROUP_INSTANCE_ID']}-2"
    env = {**spec.env, "HTTP_PORT": str(port), "KAFKA_GROUP_INSTANCE_ID": member}
    return spec.model_copy(update={"name": f"{spec.name}-2", "env": env, "address": url, "target": f"{url}/readyz"})


def _prepare_environment() -> None:
    """What is killed here has to be ours, whatever the environment names."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "TOPIC_PARTITIONS", *map(database_variable, DATABASES)):
        os.environ.pop(name, None)
    # Who is killed again and again on purpose is not hopeless.
    os.environ["DEVSTACK_HEALTHY_S"] = "0"


def _free_ports(count: int, but: Set[int]) -> list[int]:
    """So many, none of which is among `but`: the stack's own, which it will need later."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            return found
        if port not in but and is_free(port):
            found.append(port)
    raise ChaosError(f"No {count} free ports below {_PORTS.stop}.")
