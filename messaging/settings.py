"""Settings from the environment. Each is read in one place, with its default; a bad one is refused by its name."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.ports import HTTP_PORTS
from contracts.topics import DEFAULT_PARTITIONS
from messaging.errors import SettingsError
from messaging.secure import database_url, load_kafka_security


@dataclass(frozen=True, slots=True)
class Settings:
    """What every service's process needs to know. `identity` names the process in logs, metrics and history."""

    service: str
    identity: str
    bootstrap_servers: str
    task_queue: str
    partitions: int
    database_url: str
    http_host: str
    http_port: int
    outbox_grace_s: float
    session_timeout_ms: int
    instance_id: str | None
    watchdog_s: float

    @property
    def group_id(self) -> str:
        """The consumer group."""
        return f"{self.task_queue}.{self.service}"


def load_settings(process: str, service: str | None = None, env: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the process `process` of `service` (by default of the same name). Raises `SettingsError`."""
    name = service or process
    worker = "order" if name == "orders" else name
    load_kafka_security(env)  # refused here, before anything is tried
    return Settings(
        service=name,
        identity=text(env, "IDENTITY", f"{worker}-worker-{socket.gethostname()}-{os.getpid()}"),
        bootstrap_servers=text(env, "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        task_queue=text(env, "ORDER_TASK_QUEUE", "order-task-queue"),
        partitions=integer(env, "TOPIC_PARTITIONS", DEFAULT_PARTITIONS, 1, 1000),
        database_url=database_url(env, name),
        http_host=text(env, "HTTP_HOST", "127.0.0.1"),
        http_port=integer(env, "HTTP_PORT", HTTP_PORTS[process], 0, 65535),
        outbox_grace_s=number(env, "OUTBOX_GRACE_S", 30, 0, 86_400),
        session_timeout_ms=integer(env, "KAFKA_SESSION_TIMEOUT_MS", 6_000, 1_000, 300_000),
        instance_id=env.get("KAFKA_GROUP_INSTANCE_ID") or None,
        watchdog_s=number(env, "WATCHDOG_S", 30, 1, 3_600),
    )


def text(env: Mapping[str, str], name: str, default: str) -> str:
    """A setting that is any text but the empty one."""
    value = env.get(name, default)
    if not value.strip():
        raise SettingsError(f"{name} is set but empty: give it a value or unset it (default: {default}).")
    return value


def integer(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number between two bounds."""
    raw = env.get(name)
    if raw is None:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise SettingsError(f"{name} must be a whole number from {least} to {most}, not {raw!r}.") from None
    if not least <= value <= most:
        raise SettingsError(f"{name} must be from {least} to {most}, not {value}.")
    return value


def number(env: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    """A number between two bounds."""
    raw = env.get(name)
    if raw is None:
        return default
    try:
        value = float(raw)
    except ValueError:
        raise SettingsError(f"{name} must be a number from {least} to {most}, not {raw!r}.") from None
    if not least <= value <= most:
        raise SettingsError(f"{name} must be from {least} to {most}, not {raw!r}.")
    return value


def flag(env: Mapping[str, str], name: str, default: bool = False) -> bool:
    """`true` or `false`, also `1`/`0` and `yes`/`no`."""
    raw = env.get(name)
    if raw is None:
        return default
    lowered = raw.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off", ""}:
        return False
    raise SettingsError(f"{name} must be true or false, not {raw!r}.")
