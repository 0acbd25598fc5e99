"""Outcomes of effects that could not be recorded: kept in memory, and decided again after a while.

A new owner of the partition asks for the effect again; as long as the owner stays, nobody else would.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from messaging.decision import Message


class PutOff:
    """What waits, by the effect's id, each with the moment at which it is tried again."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[datetime, Message]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, effect_id: object) -> bool:
        return effect_id in self._waiting

    @property
    def next_due(self) -> datetime | None:
        """When the first of them is tried again."""
        return min((at for at, _ in self._waiting.values()), default=None)

    def add(self, outcomes: Iterable[Message], until: datetime) -> None:
        """These wait until then."""
        for outcome in outcomes:
            self._waiting[outcome.data.effect_id] = until, outcome

    def due(self, now: datetime) -> list[Message]:
        """Those to be tried again now. They stay until they are recorded: see `forget`."""
        return [outcome for at, outcome in self._waiting.values() if at <= now]

    def forget(self, effect_ids: Iterable[str]) -> None:
        """These are recorded."""
        for effect_id in effect_ids:
            self._waiting.pop(effect_id, None)

    def keep(self, effect_ids: set[str]) -> None:
        """Only these are still asked for."""
        self._waiting = {name: waiting for name, waiting in self._waiting.items() if name in effect_ids}
