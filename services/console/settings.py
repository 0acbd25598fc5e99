"""The console's settings, from the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.ports import HTTP_PORTS
from messaging.secure import database_url
from messaging.settings import integer, text
from orderctl.settings import Settings as ClientSettings
from orderctl.settings import process_urls


@dataclass(frozen=True, slots=True)
class Settings:
    """`origin`: the address under which browsers know the console, where that is not the one it listens on (behind a proxy);
    `secure`: whether that is https. `client`: where the system is."""

    identity: str
    http_host: str
    http_port: int
    database_url: str
    origin: str | None
    session_hours: int
    client: ClientSettings

    @property
    def secure(self) -> bool:
        """Whether cookies may travel over https only."""
        return (self.origin or "").startswith("https://")


def load_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """Raises `SettingsError`. It listens on loopback unless told otherwise."""
    queries = {
        name: text(env, f"{name.upper()}_API_URL", f"http://127.0.0.1:{HTTP_PORTS[process]}")
        for name, process in (("orders", "orders-api"), ("inventory", "inventory"), ("payment", "payment"))
    }
    client = ClientSettings(
        bootstrap_servers=text(env, "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        orders_api_url=queries["orders"],
        inventory_api_url=queries["inventory"],
        payment_api_url=queries["payment"],
        task_queue=text(env, "ORDER_TASK_QUEUE", "order-task-queue"),
        processes=process_urls(env),
    )
    return Settings(
        identity=text(env, "IDENTITY", f"console-{socket.gethostname()}-{os.getpid()}"),
        http_host=text(env, "HTTP_HOST", "127.0.0.1"),
        http_port=integer(env, "HTTP_PORT", HTTP_PORTS["console"], 0, 65535),
        database_url=database_url(env, "console"),
        origin=(env.get("CONSOLE_ORIGIN") or "").rstrip("/") or None,
        session_hours=integer(env, "CONSOLE_SESSION_HOURS", 12, 1, 24 * 30),
        client=client,
    )
