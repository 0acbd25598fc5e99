"""What runs: a table of processes, and how one tells that each is ready. All of it is data."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from devstack.environment import api_addresses, process_addresses
from devstack.settings import DATABASES, LOOPBACK, Settings, database_variable


class ProcessSpec(BaseModel):
    """A process to keep running."""

    model_config = ConfigDict(frozen=True)

    name: str
    argv: tuple[str, ...]
    #: Added to the supervisor's own environment.
    env: dict[str, str] = {}
    #: Where it can be reached, for people to read.
    address: str
    #: How it is seen to be ready: a TCP port that takes connections, a URL that answers 200, a DSN that can be connected to.
    probe: Literal["tcp", "http", "postgres"]
    target: str
    stop_signal: int = signal.SIGTERM
    #: The user to run as, where the supervisor is root and the program must not be.
    user: str | None = None

    @property
    def port(self) -> int | None:
        """The TCP port that the process listens on, if it does."""
        if self.probe == "postgres":
            return None
        return int(self.target.removeprefix("http://").split("/")[0].rsplit(":", 1)[1])


class Plan(BaseModel):
    """A whole stack. The backends are ready and provisioned before the first service starts."""

    model_config = ConfigDict(frozen=True)

    backends: tuple[ProcessSpec, ...] = ()
    services: tuple[ProcessSpec, ...] = ()
    #: Where to create the topics, and how many partitions they have; None: nowhere.
    topics: tuple[str, int] | None = None
    #: The superuser's DSN through which to create `databases` with a role each; None: there is nothing to create.
    postgres: str | None = None
    databases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A row of the table of our own services."""

    name: str
    module: str
    databases: tuple[str, ...]
    sends_mail: bool = False
    #: It asks the others' queries.
    asks_others: bool = False


SERVICES: Final = (
    Service("orders", "services.orders", ("orders",)),
    Service("orders-api", "services.orders.api", ("orders",), asks_others=True),
    Service("inventory", "services.inventory", ("inventory",)),
    Service("payment", "services.payment", ("payment", "gateway")),
    Service("customer", "services.customer", ("customer",)),
    Service("notification", "services.notification", ("notification",), sends_mail=True),
    Service("recommendation", "services.recommendation", ("recommendation",)),
    Service("recommendation-learner", "services.recommendation.learner", ()),
    Service("console", "services.console", ("console",), asks_others=True),
)

#: It looks at all databases and at the broker, for the console's dashboard and for alerts. What is measured has none, nor what is
#: tested, where it is not about the watcher.
WATCHER: Final = Service("watcher", "audit.watcher", tuple(name for name in DATABASES if name != "console"))


def service_processes(settings: Settings, table: tuple[Service, ...] = SERVICES) -> tuple[ProcessSpec, ...]:
    """Our services as processes of this stack."""
    return tuple(_service_process(settings, service) for service in table)


def _service_process(settings: Settings, service: Service) -> ProcessSpec:
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap,
        "TOPIC_PARTITIONS": str(settings.partitions),
        "HTTP_PORT": str(settings.http_port(service.name)),
        # A process that comes back takes its partitions back at once, instead of waiting for its predecessor to be given up. The
        # id holds the stack's home: two stacks on one broker are two members.
        "KAFKA_GROUP_INSTANCE_ID": f"{service.name}-{hashlib.sha256(str(settings.home).encode()).hexdigest()[:8]}",
        **{database_variable(name): settings.dsn(name) for name in service.databases},
        **(api_addresses(settings) | process_addresses(settings) if service.asks_others else {}),
        **(_console(settings) if service.name == "console" else {}),
    }
    if service.sends_mail:
        env |= {"SMTP_HOST": LOOPBACK, "SMTP_PORT": str(settings.smtp_port)}
    url = settings.http_url(service.name)
    return ProcessSpec(
        name=service.name,
        argv=(sys.executable, "-m", service.module),
        env=env,
        address=url,
        probe="http",
        target=f"{url}/readyz",
    )


def _console(settings: Settings) -> dict[str, str]:
    return {
        # Where this stack's watcher would be, if there is one: never the watcher of another stack.
        "WATCHER_URL": settings.http_url("watcher"),
        # Its log is a file of whoever started the stack, on loopback.
        "CONSOLE_FIRST_PASSWORD": "stdout",
    }


def smtp_sink(settings: Settings) -> ProcessSpec:
    """The mail server that keeps what it is sent, and shows it."""
    address = f"{LOOPBACK}:{settings.smtp_port}"
    ports = (str(settings.smtp_port), str(settings.mail_page_port))
    return ProcessSpec(
        name="smtp-sink",
        argv=(sys.executable, "-m", "devstack.smtp_sink", *ports, str(settings.mails)),
        address=f"{address}, mails at {settings.mail_page_url}",
        probe="tcp",
        target=address,
    )


def child_environment(spec: ProcessSpec, base: Mapping[str, str], mark: tuple[str, str]) -> dict[str, str]:
    """The environment of a supervised process: inherited, its own, and the mark by which a later `down` knows it again."""
    return {**base, **spec.env, "PYTHONUNBUFFERED": "1", mark[0]: mark[1]}


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by the owner alone (DSNs may hold passwords)."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    temporary.replace(path)
