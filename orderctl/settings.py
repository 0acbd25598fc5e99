"""Where the client finds the system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.ports import HTTP_PORTS

DEFAULT_BOOTSTRAP: Final = "localhost:9092"
DEFAULT_ORDERS_API: Final = f"http://127.0.0.1:{HTTP_PORTS['orders-api']}"
DEFAULT_INVENTORY_API: Final = f"http://127.0.0.1:{HTTP_PORTS['inventory']}"
DEFAULT_PAYMENT_API: Final = f"http://127.0.0.1:{HTTP_PORTS['payment']}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses, and how long to wait for a broker."""

    bootstrap_servers: str = DEFAULT_BOOTSTRAP
    orders_api_url: str = DEFAULT_ORDERS_API
    inventory_api_url: str = DEFAULT_INVENTORY_API
    payment_api_url: str = DEFAULT_PAYMENT_API
    connect_timeout_s: float = 10.0
