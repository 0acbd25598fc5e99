"""What a run reports, while it runs and at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orderctl.load.statistics import LatencySummary


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands. `total` orders are to be sent."""

    total: int
    sent: int
    open: int
    completed: int
    failed: int
    cancelled: int
    rejected: int
    p50_s: float | None
    p99_s: float | None
    elapsed_s: float

    @property
    def ended(self) -> int:
        """Orders that went to their end."""
        return self.sent - self.open


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What became of every order that was sent.

    `outcomes` counts completed, failed, cancelled and rejected (the start was refused); `reasons` breaks them down
    (`failed:out-of-stock`). `duplicates` are commands that the system had had before. `latency` is of completed orders, from the
    moment at which they were meant to be sent. `unfinished` names orders without an end or with a command without a verdict.
    """

    orders: int
    commands: int
    elapsed_s: float
    outcomes: Mapping[str, int]
    reasons: Mapping[str, int]
    accepted: int
    rejected_commands: Mapping[str, int]
    duplicates: int
    latency: LatencySummary
    unfinished: tuple[str, ...]
    lookup_error: str | None = None
    #: The same latency for each type of event that the orders had (its first one), completed or not.
    phases: Mapping[str, LatencySummary] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether every order ended and every command has its verdict."""
        return not self.unfinished

    @property
    def completed_per_s(self) -> float:
        """Completed orders per second, from the first one sent to the last one ended."""
        return self.outcomes.get("completed", 0) / self.elapsed_s if self.elapsed_s else 0.0
