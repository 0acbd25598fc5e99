"""The port on which each process serves HTTP (`/metrics`, `/healthz`, `/readyz`, and its queries if it has any)."""

from typing import Final

HTTP_PORTS: Final[dict[str, int]] = {
    "orders-api": 8001,
    "inventory": 8002,
    "payment": 8003,
    "customer": 8004,
    "notification": 8005,
    "recommendation": 8006,
    "orders": 8011,
    "recommendation-learner": 8016,
    "console": 8080,
}

#: The watcher (`python -m audit.watcher`): `/metrics` about what the databases and the broker say.
WATCHER_PORT: Final = 8021
