"""`python -m services.payment`: the payment service's process."""

from messaging.app import run
from services.payment.app import build

if __name__ == "__main__":
    raise SystemExit(run("payment", build))
