"""Where the client finds the system: the services' own settings, read as the services read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.ports import HTTP_PORTS
from messaging.secure import SETTINGS as SECURITY
from messaging.secure import load_kafka_security
from messaging.setting import OptionalUrls, Setting, web_url
from messaging.settings import BOOTSTRAP_SERVERS, TASK_QUEUE

#: The services that tell their progress.
SERVICES: Final = ("orders", "inventory", "payment", "customer", "recommendation", "notification")
API_URLS: Final = {
    name: web_url(f"{name.upper()}_API_URL", HTTP_PORTS[process], f"where {name} is asked")
    for name, process in (("orders", "orders-api"), ("inventory", "inventory"), ("payment", "payment"))
}
PROCESS_URLS: Final = {
    name: OptionalUrls(
        f"{name.upper()}_PROCESS_URLS", f"where {name}'s processes answer, if not on their own port here"
    )
    for name in SERVICES
}
SETTINGS: Final[tuple[Setting, ...]] = (
    BOOTSTRAP_SERVERS,
    *SECURITY,
    TASK_QUEUE,
    *API_URLS.values(),
    *PROCESS_URLS.values(),
)
DEFAULT_BOOTSTRAP: Final = BOOTSTRAP_SERVERS.default
DEFAULT_ORDERS_API: Final = API_URLS["orders"].default
DEFAULT_INVENTORY_API: Final = API_URLS["inventory"].default
DEFAULT_PAYMENT_API: Final = API_URLS["payment"].default
DEFAULT_TASK_QUEUE: Final = TASK_QUEUE.default


def process_urls(env: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Where each service's processes answer: `<SERVICE>_PROCESS_URLS`, several separated by commas; else where its queries are
    (`<SERVICE>_API_URL`); else the port that is its own. The orchestrator's queries are answered by another process. Raises
    `SettingsError`."""
    return {name: PROCESS_URLS[name].read(env) or (_usual_url(name, env),) for name in SERVICES}


def _usual_url(name: str, env: Mapping[str, str]) -> str:
    usual = web_url(f"{name.upper()}_API_URL", HTTP_PORTS[name], f"where {name} is asked")
    return usual.default if name == "orders" else usual.read(env).rstrip("/")


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses, and how long to wait for a broker. `processes`: see `process_urls`."""

    bootstrap_servers: str = DEFAULT_BOOTSTRAP
    orders_api_url: str = DEFAULT_ORDERS_API
    inventory_api_url: str = DEFAULT_INVENTORY_API
    payment_api_url: str = DEFAULT_PAYMENT_API
    connect_timeout_s: float = 10.0
    task_queue: str = DEFAULT_TASK_QUEUE
    processes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: process_urls({}))


def load_settings(env: Mapping[str, str], connect_timeout_s: float = 10.0) -> Settings:
    """From the names that the services have. Raises `SettingsError`, also for what says how to speak with the broker: whoever
    makes a client reads that again, and is then told nothing new."""
    load_kafka_security(env)
    return Settings(
        bootstrap_servers=BOOTSTRAP_SERVERS.read(env),
        orders_api_url=API_URLS["orders"].read(env),
        inventory_api_url=API_URLS["inventory"].read(env),
        payment_api_url=API_URLS["payment"].read(env),
        connect_timeout_s=connect_timeout_s,
        task_queue=TASK_QUEUE.read(env),
        processes=process_urls(env),
    )
