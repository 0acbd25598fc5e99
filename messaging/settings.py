"""The settings that every process of a service has. Each is declared and read in one place; a bad one is refused by its name."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contracts.ports import HTTP_PORTS, WATCHER_PORT
from contracts.topics import DEFAULT_PARTITIONS
from messaging.logs import LOG_FORMAT, LOG_LEVEL
from messaging.secure import SETTINGS as SECURITY
from messaging.secure import load_kafka_security
from messaging.setting import Integer, Number, OptionalText, Servers, Setting, Text
from messaging.spread import DatabaseUrls

BOOTSTRAP_SERVERS: Final = Servers("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092", "the broker")
TASK_QUEUE: Final = Text("ORDER_TASK_QUEUE", "order-task-queue", "prefix of the consumer groups")
PARTITIONS: Final = Integer(
    "TOPIC_PARTITIONS", DEFAULT_PARTITIONS, 1, 1_000, "must be what the topics have; a mismatch is refused at the start"
)
HTTP_HOST: Final = Text("HTTP_HOST", "127.0.0.1", "the address that it serves HTTP on")
OUTBOX_GRACE_S: Final = Number("OUTBOX_GRACE_S", 30, 0, 120, "how long published outbox rows are kept at least")
SESSION_TIMEOUT_MS: Final = Integer(
    "KAFKA_SESSION_TIMEOUT_MS", 6_000, 1_000, 300_000, "how long a dead process keeps its partitions"
)
INSTANCE_ID: Final = OptionalText(
    "KAFKA_GROUP_INSTANCE_ID",
    "static membership: a restarted process takes its partitions back at once; must be unique in the group",
)
WATCHDOG_S: Final = Number(
    "WATCHDOG_S", 30, 1, 3_600, "a reader that receives nothing for so long while records wait is rebuilt"
)
#: Processes that own no partitions, and whose identity is their own name's.
UNTITLED: Final = ("console", "watcher")
#: What every process that logs reads.
LOGGING: Final[tuple[Setting, ...]] = (LOG_FORMAT, LOG_LEVEL)


@dataclass(frozen=True, slots=True)
class Settings:
    """What every service's process needs to know. `identity` names the process in logs, metrics and history."""

    service: str
    identity: str
    bootstrap_servers: str
    task_queue: str
    partitions: int
    database_urls: tuple[str, ...]
    http_host: str
    http_port: int
    outbox_grace_s: float
    session_timeout_ms: int
    instance_id: str | None
    watchdog_s: float

    @property
    def database_url(self) -> str:
        """The database of a service that has one."""
        (url,) = self.database_urls
        return url

    def database_of(self, partition: int) -> str:
        """The database that has this partition."""
        return self.database_urls[partition % len(self.database_urls)]

    @property
    def group_id(self) -> str:
        """The consumer group."""
        return f"{self.task_queue}.{self.service}"


def load_settings(process: str, service: str | None = None, env: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the process `process` of `service` (by default of the same name). Raises `SettingsError`."""
    name = service or process
    load_kafka_security(env)  # refused here, before anything is tried
    return Settings(
        service=name,
        identity=identity(name).read(env),
        bootstrap_servers=BOOTSTRAP_SERVERS.read(env),
        task_queue=TASK_QUEUE.read(env),
        partitions=PARTITIONS.read(env),
        database_urls=DatabaseUrls(name).read(env),
        http_host=HTTP_HOST.read(env),
        http_port=http_port(process).read(env),
        outbox_grace_s=OUTBOX_GRACE_S.read(env),
        session_timeout_ms=SESSION_TIMEOUT_MS.read(env),
        instance_id=INSTANCE_ID.read(env),
        watchdog_s=WATCHDOG_S.read(env),
    )


def settings_of(process: str, service: str | None = None) -> tuple[Setting, ...]:
    """What `load_settings` and the logs read, for the documents."""
    name = service or process
    return (
        BOOTSTRAP_SERVERS,
        *SECURITY,
        DatabaseUrls(name),
        TASK_QUEUE,
        PARTITIONS,
        HTTP_HOST,
        http_port(process),
        identity(name),
        INSTANCE_ID,
        SESSION_TIMEOUT_MS,
        OUTBOX_GRACE_S,
        WATCHDOG_S,
        *LOGGING,
    )


def identity(name: str) -> Text:
    """The name of this process; by default its service's, this machine's and its own number."""
    worker = "order-worker" if name == "orders" else name if name in UNTITLED else f"{name}-worker"
    return Text(
        "IDENTITY", f"{worker}-{socket.gethostname()}-{os.getpid()}", "stands in logs and as the owner of partitions"
    )


def http_port(process: str) -> Integer:
    """The port on which it serves HTTP."""
    port = WATCHER_PORT if process == "watcher" else HTTP_PORTS[process]
    return Integer("HTTP_PORT", port, 0, 65_535, "the port that it serves HTTP on; 0: any that is free")
