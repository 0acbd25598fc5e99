"""Kafka and PostgreSQL in containers, by testcontainers."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Final

import asyncpg
from aiokafka.errors import KafkaError
from backends import Backends, Name
from waiting import until

from devstack.kafka import ONE_NODE
from devstack.postgres import SUPERUSER
from messaging.clients import make_admin

#: The version of the broker is the one that devstack runs; the database is another one than devstack's, so that both are tested.
KAFKA_IMAGE: Final = os.environ.get("TEST_KAFKA_IMAGE", "apache/kafka:4.3.1")
POSTGRES_IMAGE: Final = os.environ.get("TEST_POSTGRES_IMAGE", "postgres:15")
_BROKER_PORT: Final = 9092
_DATABASE_PORT: Final = 5432


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
        # An open port proves nothing: the engine's proxy takes every connection. In a thread, for a test has a loop of its own.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, until_both_answer(self.bootstrap, self.postgres)).result()


async def until_both_answer(bootstrap: str, dsn: str, deadline_s: float = 180) -> None:
    async def both() -> bool:
        return await _broker_answers(bootstrap) and await _database_answers(dsn)

    await until(both, "broker and database answer", deadline_s)


async def _broker_answers(bootstrap: str) -> bool:
    admin = make_admin(bootstrap, "tests")
    try:
        await admin.start()
        await admin.list_topics()
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return True


async def _database_answers(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=2)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        return False
    await connection.close()
    return True


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


def missing_image(*needed: str) -> str | None:
    """The first of these images that is neither there nor to be had: an engine alone is not enough."""
    return next(
        (image for image in needed if not _docker("image", "inspect", image) and not _docker("pull", image)), None
    )


def images_of_backends() -> tuple[str, ...]:
    """What the integration tests need."""
    from testcontainers.core.config import testcontainers_config as config

    return (KAFKA_IMAGE, POSTGRES_IMAGE, *(() if config.ryuk_disabled else (config.ryuk_image,)))


def _docker(*arguments: str) -> bool:
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, timeout=300, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@contextmanager
def containers() -> Iterator[Backends]:
    """The backends for as long as the session lasts."""
    from testcontainers.community.postgres import PostgresContainer

    kafka_port, postgres_port = _free_ports()
    postgres = PostgresContainer(POSTGRES_IMAGE, username=SUPERUSER, dbname=SUPERUSER, driver=None)
    with ExitStack() as running:
        kafka = running.enter_context(_kafka(kafka_port))
        database = running.enter_context(postgres.with_bind_ports(_DATABASE_PORT, postgres_port))
        # Not the address that testcontainers tells: where it takes this machine for a container, that is the engine's own network.
        dsn = f"postgresql://{SUPERUSER}:{database.password}@127.0.0.1:{postgres_port}/{SUPERUSER}"
        found = DockerBackends({"kafka": kafka, "postgres": database}, f"127.0.0.1:{kafka_port}", dsn)
        found.wait_until_ready()
        yield found


def _kafka(port: int) -> Any:
    """One broker on a port that is known before it runs: what it advertises must be where the tests reach it."""
    from testcontainers.core.container import DockerContainer

    # The broker talks to itself (a transaction's markers) where the tests' port is not: inside the container.
    options = {
        **ONE_NODE,
        "listeners": f"PLAINTEXT://:{_BROKER_PORT},INSIDE://:9094,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},INSIDE://localhost:9094,CONTROLLER://localhost:9093",
        "inter.broker.listener.name": "INSIDE",
        "controller.quorum.voters": "1@localhost:9093",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(_BROKER_PORT, port)
    for name, value in options.items():
        container = container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
    return container


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
