"""`python -m services.customer`: the customer service's process."""

from __future__ import annotations

from messaging.app import run
from services.customer.app import build

if __name__ == "__main__":
    raise SystemExit(run("customer", build))
