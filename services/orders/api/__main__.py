"""`python -m services.orders.api`: queries about orders, on port 8001."""

from messaging.app import run_queries
from services.orders.api.app import build

if __name__ == "__main__":
    raise SystemExit(run_queries("orders-api", "orders", build))
