"""Where the client finds the system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.ports import HTTP_PORTS

DEFAULT_BOOTSTRAP: Final = "localhost:9092"
DEFAULT_ORDERS_API: Final = f"http://127.0.0.1:{HTTP_PORTS['orders-api']}"
DEFAULT_INVENTORY_API: Final = f"http://127.0.0.1:{HTTP_PORTS['inventory']}"
DEFAULT_PAYMENT_API: Final = f"http://127.0.0.1:{HTTP_PORTS['payment']}"
DEFAULT_TASK_QUEUE: Final = "order-task-queue"
#: The services that tell their progress.
SERVICES: Final = ("orders", "inventory", "payment", "customer", "recommendation", "notification")


def process_urls(env: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Where each service's processes answer: `<SERVICE>_PROCESS_URLS`, several separated by commas; else where its queries are
    (`<SERVICE>_API_URL`); else the port that is its own. The orchestrator's queries are answered by another process."""
    found: dict[str, tuple[str, ...]] = {}
    for name in SERVICES:
        queries = env.get(f"{name.upper()}_API_URL") if name != "orders" else None
        told = env.get(f"{name.upper()}_PROCESS_URLS") or queries or f"http://127.0.0.1:{HTTP_PORTS[name]}"
        found[name] = tuple(url.strip().rstrip("/") for url in told.split(",") if url.strip())
    return found


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
