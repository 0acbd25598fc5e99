"""Where it is measured: broker and database of a stack of its own, with the settings of production."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.fleet import Fleet
from devstack.cleanup import DATA, forget
from devstack.ports import free_offset
from devstack.postgres import SUPERUSER
from devstack.processes import SERVICES, service_processes
from devstack.settings import CLONE
from devstack.stack import Stack

#: The web console takes no part in an order; it works when somebody looks.
_MEASURED: Final = tuple(service for service in SERVICES if service.name != "console")
HOME: Final = CLONE / ".devstack" / "bench"


@dataclass(frozen=True, slots=True)
class Place:
    """The running backends. `backends`: their processes by name."""

    stack: Stack
    backends: dict[str, int]

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
def place() -> Iterator[Place]:
    """Empty backends that are gone after. The environment names them, and nothing fails by chance. Raises `DevstackError`."""
    stack = Stack(home=HOME, offset=free_offset())
    stack.down()
    forget(stack.settings, (*DATA, "logs"))
    os.environ["PAYMENT_FAILURE_RATE"] = "0"
    with stack:
        os.environ.update(stack.environment())
        pids = {process.name: process.pid for process in stack.status().processes if process.pid is not None}
        yield Place(stack, pids)
