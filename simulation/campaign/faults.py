"""What stands ready to go wrong, what has gone wrong, and who was touched: the hooks put it in everybody's way."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from random import Random
from typing import Any

from messaging.handler import Handler, Performer
from messaging.ports import Publisher, Store
from simulation.campaign.hooks import FaultyHandler, FaultyPerformer, FaultyPublisher, FaultyStore
from simulation.campaign.ledger import StormyLedger
from simulation.campaign.release import Yesterday
from simulation.campaign.script import Script
from simulation.system import Outside, System


class Faults:
    """`tally`: how often each kind of fault has happened. `touched`: what each service has dealt with since it was last looked at.
    `mistakes`: exceptions that no fault of ours raised, in words."""

    system: System

    def __init__(self, script: Script) -> None:
        self.tally: Counter[str] = Counter()
        self.touched: dict[str, dict[str, None]] = defaultdict(dict)
        self.poisoned: dict[str, set[str]] = defaultdict(set)
        self.refused: dict[str, set[str]] = defaultdict(set)
        self.mistakes: list[str] = []
        self.ledger = StormyLedger(self)
        self.old = script.old
        self.random = Random(f"faults {script.seed}")  # noqa: S311 - it must repeat, that is all
        self._armed: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self._ahead = dict(script.ahead)

    def outside(self) -> Outside:
        """What is put around every process."""
        return Outside(store=self._store, publisher=self._publisher, handler=self._handler, performer=self._performer,
                       ahead=self._ahead_of, ledger=lambda: self.ledger)  # fmt: skip

    def arm(self, kind: str, service: str, argument: Any = None) -> None:
        """The next time that this can happen to the service, it does."""
        self._armed[kind, service].append(argument)

    def is_armed(self, kind: str, service: str) -> bool:
        """Whether this would happen now."""
        return bool(self._armed) and bool(self._armed.get((kind, service)))

    def takes(self, kind: str, service: str) -> bool:
        """Whether this happens now, and then it is counted."""
        if not self.is_armed(kind, service):
            return False
        self.take(kind, service)
        return True

    def take(self, kind: str, service: str) -> Any:
        """It happens."""
        self.happened(kind)
        return self._armed[kind, service].pop(0)

    def happened(self, kind: str, times: int = 1) -> None:
        """This kind of fault has happened."""
        self.tally[kind] += times

    def end(self) -> None:
        """From now on nothing goes wrong any more."""
        self._armed.clear()
        self._ahead.clear()
        self.poisoned.clear()
        self.refused.clear()
        self.ledger.away = False
        self.old = False

    def _store(self, service: str, store: Store) -> Store:
        return FaultyStore(self, service, store)

    def _publisher(self, service: str, publisher: Publisher) -> Publisher:
        return FaultyPublisher(self, service, publisher)

    def _handler(self, service: str, handler: Handler) -> Handler:
        if service == "orders" and self.old:
            handler = Yesterday(handler)
        return FaultyHandler(self, handler)

    def _performer(self, service: str, performer: Performer) -> Performer:
        return FaultyPerformer(self, service, performer) if service in ("payment", "notification") else performer

    def _ahead_of(self, service: str) -> timedelta:
        seconds = self.random.choice(self._ahead.get(service, (0.0,)))
        if seconds:
            self.happened("clock-ahead" if seconds > 0 else "clock-behind")
        return timedelta(seconds=seconds)
