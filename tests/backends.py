"""A real Kafka and a real PostgreSQL for the tests: in containers where a Docker engine answers, else by devstack."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from devstack.errors import DevstackError
from devstack.ports import free_offset
from devstack.postgres import SUPERUSER
from devstack.settings import DATABASES
from devstack.stack import Stack

Name = Literal["kafka", "postgres"]
NAMES: Final[tuple[Name, ...]] = ("kafka", "postgres")


class Backends(ABC):
    """The broker and the database of one test session, and what can be done to them."""

    bootstrap: str
    #: A superuser's way into the maintenance database.
    postgres: str

    def dsn(self, database: str) -> str:
        """The same, into another database."""
        head, _, tail = self.postgres.partition("?")
        return f"{head.rpartition('/')[0]}/{database}" + (f"?{tail}" if tail else "")

    @abstractmethod
    def crash(self, name: Name) -> None:
        """Kill it. It begins to come back at once; see `wait_until_ready`."""

    @abstractmethod
    def freeze(self, name: Name) -> None:
        """It answers nothing more, and nobody is told."""

    @abstractmethod
    def thaw(self, name: Name) -> None:
        """It goes on where it was frozen."""

    @abstractmethod
    def wait_until_ready(self) -> None:
        """Wait until both answer."""

    def heal(self) -> None:
        """Thaw what is frozen, wait for what crashed: as if nothing had been."""
        for name in NAMES:
            self.thaw(name)
        self.wait_until_ready()


class DevstackBackends(Backends):
    """Local processes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.bootstrap = stack.settings.bootstrap
        self.postgres = stack.settings.own_dsn(SUPERUSER, SUPERUSER)

    def crash(self, name: Name) -> None:
        self._stack.kill(name)

    def freeze(self, name: Name) -> None:
        self._stack.kill(name, signal.SIGSTOP)

    def thaw(self, name: Name) -> None:
        with contextlib.suppress(DevstackError):  # it crashed, and is not there yet
            self._stack.kill(name, signal.SIGCONT)

    def wait_until_ready(self) -> None:
        self._stack.wait_until_ready(60)


class DockerBackends(Backends):
    """Containers on ports that stay theirs over a restart."""

    def __init__(self, containers: dict[Name, Any], bootstrap: str, postgres: str) -> None:
        self._containers = containers
        self.bootstrap = bootstrap
        self.postgres = postgres

    def crash(self, name: Name) -> None:
        container = self._containers[name].get_wrapped_container()
        container.kill()
        container.start()

    def freeze(self, name: Name) -> None:
        self._containers[name].get_wrapped_container().pause()

    def thaw(self, name: Name) -> None:
        container = self._containers[name].get_wrapped_container()
        container.reload()
        if container.status == "paused":
            container.unpause()

    def wait_until_ready(self) -> None:
        for address in (self.bootstrap, self.postgres.rpartition("@")[2].partition("/")[0]):
            host, _, port = address.rpartition(":")
            _wait_for_port(host, int(port))


def _wait_for_port(host: str, port: int, deadline_s: float = 60) -> None:
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@cache
def docker_answers() -> bool:
    """Whether there is a Docker engine, asked quickly."""
    if shutil.which("docker") is None:
        return False
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, timeout=3, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


@contextmanager
def running(folder: Path) -> Iterator[Backends]:
    """The backends for as long as the session lasts."""
    with _docker() if docker_answers() else _devstack(folder) as found:
        yield found


@contextmanager
def _devstack(folder: Path) -> Iterator[Backends]:
    with pytest.MonkeyPatch.context() as patch:
        # These tests crash what they use: it has to be theirs, whatever the environment offers.
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "TOPIC_PARTITIONS", *(f"{n.upper()}_DATABASE_URL" for n in DATABASES)):
            patch.delenv(name, raising=False)
        with Stack(home=folder / ".devstack-test", offset=free_offset()) as stack:
            yield DevstackBackends(stack)


@contextmanager
def _docker() -> Iterator[Backends]:
    from testcontainers.kafka import KafkaContainer
    from testcontainers.postgres import PostgresContainer

    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        kafka_port, postgres_port = first.getsockname()[1], second.getsockname()[1]
    kafka = KafkaContainer().with_kraft().with_bind_ports(9093, kafka_port)
    postgres = PostgresContainer("postgres:18", username=SUPERUSER, dbname=SUPERUSER, driver=None)
    with kafka, postgres.with_bind_ports(5432, postgres_port):
        yield DockerBackends(
            {"kafka": kafka, "postgres": postgres}, kafka.get_bootstrap_server(), postgres.get_connection_url()
        )
