"""`python -m services.notification`: the notification service's process."""

from __future__ import annotations

from messaging.app import run
from services.notification.app import build

if __name__ == "__main__":
    raise SystemExit(run("notification", build))
