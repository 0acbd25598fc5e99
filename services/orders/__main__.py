"""`python -m services.orders`: the orchestrator."""

from messaging.app import run
from services.orders.app import build

if __name__ == "__main__":
    raise SystemExit(run("orders", build))
