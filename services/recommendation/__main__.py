"""`python -m services.recommendation`: the recommendation service's process."""

from __future__ import annotations

from messaging.app import run
from services.recommendation.app import build

if __name__ == "__main__":
    raise SystemExit(run("recommendation", build))
