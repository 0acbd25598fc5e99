"""`python -m services.recommendation.learner`: the learner's process."""

from __future__ import annotations

from services.recommendation.learner.process import main

if __name__ == "__main__":
    raise SystemExit(main())
