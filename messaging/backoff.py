"""How long is waited before a broker or a database that is away is tried again."""

from __future__ import annotations

from typing import Final

MOST_S: Final = 5.0
#: Who comes back is met after a third of the time for which it was away at most; waits that double may take as long again.
GROWTH: Final = 1.3


def longer(wait_s: float) -> float:
    """The wait after the one of `wait_s`, in seconds."""
    return min(wait_s * GROWTH, MOST_S)
