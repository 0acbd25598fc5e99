"""`python -m services.inventory` runs the service."""

from messaging.app import run
from services.inventory.app import build

if __name__ == "__main__":
    raise SystemExit(run("inventory", build))
