"""Metrics that nobody reads: what is counted in the simulation is counted by whoever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from messaging.meters import Meters
from messaging.ports import Wire


class NoMeters(Meters):
    """See `Meters`."""

    def __init__(self) -> None:
        self._nothing = nullcontext()

    def consumed(self, topic: str, count: int) -> None:
        """See `Meters.consumed`."""

    def published(self, wires: Sequence[Wire]) -> None:
        """See `Meters.published`."""

    def dead_lettered(self, topic: str, reason: str) -> None:
        """See `Meters.dead_lettered`."""

    def forwarded(self, topic: str) -> None:
        """See `Meters.forwarded`."""

    def happened(self, event: str) -> None:
        """See `Meters.happened`."""

    def batch(self, size: int) -> None:
        """See `Meters.batch`."""

    def state(self, partition: int, what: str, value: float) -> None:
        """See `Meters.state`."""

    def phase(self, name: str, *traced: object) -> AbstractContextManager[None]:  # type: ignore[override]
        """See `Meters.phase`."""
        return self._nothing
