"""When something happens by time alone, and what a world looks like after time has passed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from simulation.checker import canon
from simulation.checker.gateway import Gate, UnderWay
from simulation.checker.parties import Parties, Tuple, fired
from simulation.checker.values import NOW, moved
from simulation.checker.world import (
    COMPLETED,
    ECHOES,
    FROM_CLIENTS,
    FROM_CUSTOMER,
    FROM_INVENTORY,
    FROM_PAYMENT,
    FROM_RECOMMENDATION,
    GATE,
    KNOWN,
    PAYMENTS,
    ROOM,
    TO_INVENTORY,
    TO_PAYMENT,
    UNDER_WAY,
    Known,
    Payments,
    Room,
)

#: A timer fires when it is certain that nothing was appended before it was due: just after that moment.
JUST_AFTER: Final = timedelta(microseconds=1)


class Timing:
    """See the module."""

    def __init__(self, parties: Parties) -> None:
        self._numbers = parties.numbers
        self._values = parties.values
        self._memo: dict[tuple[Any, ...], Any] = {}

    # --- timers -------------------------------------------------------------------------------------------------------

    def due(self, party: int) -> Tuple:
        """The timers of a party that are due, as records."""
        found = self._memo.get(("due", party))
        if found is None:
            timers = _timers(self._values[party])
            found = tuple(self._numbers(fired(name, step, at)) for name, step, at in timers if at < NOW)
            self._memo["due", party] = found
        return found  # type: ignore[no-any-return]

    def earlier(self, rows: list[int], fields: Iterable[int], timer: int) -> bool:
        """Whether anything unread on these topics was appended before the timer was due."""
        due_at = self._values[timer].at
        return any(self._values[record].at <= due_at for field in fields for record in self._values[rows[field]])

    def reborn(self, room: int) -> int:
        """What inventory's next process believes about the sweep's timer: it stands at the first announcement, or before it."""
        known: Room = self._values[room]
        announced = [row.announce_at for row in known.reservations if row.state == "held" and row.announce_at]
        return self._numbers(replace(known, armed_for=min(announced, default=None)))

    # --- time passes --------------------------------------------------------------------------------------------------

    def next(self, parts: list[list[int]]) -> timedelta | None:
        """How long until something happens by time alone."""
        found = [self._soonest(rows[field]) for rows in parts for field in (KNOWN, ROOM, *_PAYING)]
        return min((at for at in found if at is not None), default=None)

    def calls_under_way(self, parts: list[list[int]]) -> bool:
        """Whether a call of the gateway, or the money itself, is still under way."""
        return any(self._soonest(rows[field]) is not None for rows in parts for field in _PAYING)

    def _soonest(self, number: int) -> timedelta | None:
        key = ("soonest", number)
        if key not in self._memo:
            moments = [at for at in _moments(self._values[number]) if at > NOW]
            self._memo[key] = min(moments) - NOW if moments else None
        return self._memo[key]  # type: ignore[no-any-return]

    def later(self, rows: list[int], passed: timedelta) -> list[int]:
        """An order's part of the world after time has passed."""
        found = list(rows)
        for field in (KNOWN, ROOM, *_PAYING):
            found[field] = self._moved(rows[field], passed, _FORMS.get(type(self._values[rows[field]])))
        for field in _TOPICS:
            found[field] = self._numbers(tuple(self._moved(r, passed) for r in self._values[rows[field]]))
        echoes = ((reader, self._moved(record, passed)) for reader, record in self._values[rows[ECHOES]])
        found[ECHOES] = self._numbers(tuple(sorted(echoes)))
        return found

    def _moved(self, number: int, passed: timedelta, form: Callable[[Any], Any] | None = None) -> int:
        key = (number, passed)
        found = self._memo.get(key)
        if found is None:
            value = moved(self._values[number], passed)
            found = self._memo[key] = self._numbers(value if form is None else form(value))
        return int(found)


_PAYING: Final = (PAYMENTS, GATE, UNDER_WAY)
_TOPICS: Final = (
    FROM_CLIENTS,
    FROM_CUSTOMER,
    FROM_RECOMMENDATION,
    TO_INVENTORY,
    FROM_INVENTORY,
    COMPLETED,
    TO_PAYMENT,
    FROM_PAYMENT,
)
_FORMS: Final[dict[type[Any], Callable[[Any], Any]]] = {
    Known: canon.known,
    Room: canon.room,
    Gate: canon.gate,
    UnderWay: canon.under_way,
}


def _timers(party: Any) -> list[tuple[str, int, datetime]]:
    match party:
        case Known(timer=datetime() as at):
            return [("order", 0, at)]
        case Room(timer=datetime() as at):
            return [("sweep", 0, at)]
        case Payments(timers=timers):
            return [(timer.name, timer.step, timer.due_at) for timer in timers]
        case _:
            return []


def _moments(value: Any) -> list[datetime]:
    match value:
        case UnderWay(calls=calls):
            return [call.ready_at for call in calls]
        case Gate(row=row):
            return [] if row is None or row.lands_at is None else [row.lands_at]
        case _:
            return [at + JUST_AFTER for _, _, at in _timers(value)]
