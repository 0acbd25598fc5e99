"""When something happens by time alone, and what a world looks like after time has passed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from simulation.checker import canon
from simulation.checker.gateway import Gate, UnderWay
from simulation.checker.parties import Parties, Records, fired
from simulation.checker.values import NOW, moved
from simulation.checker.world import Desk, Known, Part, Payments, Room, Store, Till, Told

G = TypeVar("G", Desk, Store, Till)

#: A timer fires when it is certain that nothing was appended before it was due: just after that moment.
JUST_AFTER: Final = timedelta(microseconds=1)


class Timing:
    """See the module."""

    def __init__(self, parties: Parties) -> None:
        self._numbers = parties.numbers
        self._values = parties.numbers.values
        self._due: dict[int, Records] = {}
        self._soonest: dict[int, timedelta | None] = {}
        self._moved: dict[tuple[int, timedelta], int] = {}

    # --- timers -------------------------------------------------------------------------------------------------------

    def due(self, party: int) -> Records:
        """The timers of a party that are due, as records."""
        found = self._due.get(party)
        if found is None:
            timers = _timers(self._values[party])
            found = tuple(self._numbers(fired(name, step, at)) for name, step, at in timers if at < NOW)
            self._due[party] = found
        return found

    def earlier(self, queues: Iterable[int], timer: int) -> bool:
        """Whether anything unread on these topics was appended before the timer was due."""
        due_at = self._values[timer].at
        return any(self._values[record].at <= due_at for queue in queues for record in self._values[queue])

    def reborn(self, room: int) -> int:
        """What inventory's next process believes about the sweep's timer: it stands at the first announcement, or before it."""
        known: Room = self._values[room]
        announced = [row.announce_at for row in known.reservations if row.state == "held" and row.announce_at]
        return self._numbers(replace(known, armed_for=min(announced, default=None)))

    # --- time passes --------------------------------------------------------------------------------------------------

    def next(self, parts: Iterable[Part]) -> timedelta | None:
        """How long until something happens by time alone."""
        soonest = None
        for desk, store, till, _ in parts:
            for number in (desk.known, store.room, till.payments, till.gate, till.under_way):
                at = self._next_of(number)
                if at is not None and (soonest is None or at < soonest):
                    soonest = at
        return soonest

    def calls_under_way(self, parts: Iterable[Part]) -> bool:
        """Whether a call of the gateway, or the money itself, is still under way."""
        numbers = (n for part in parts for n in (part.till.payments, part.till.gate, part.till.under_way))
        return any(self._next_of(number) is not None for number in numbers)

    def _next_of(self, number: int) -> timedelta | None:
        if number not in self._soonest:
            moments = [at for at in _moments(self._values[number]) if at > NOW]
            self._soonest[number] = min(moments) - NOW if moments else None
        return self._soonest[number]

    def moved_group(self, group: G, passed: timedelta) -> G:
        """A group after time has passed: what a party knows, and what stands on the topics."""
        return type(group)(*(self._after(number, passed) for number in group))

    def moved_echoes(self, echoes: int, passed: timedelta) -> int:
        """What comes again, after time has passed."""
        later = [(reader, self._after(record, passed)) for reader, record in self._values[echoes]]
        return self._numbers(tuple(sorted(later)))

    def _after(self, number: int, passed: timedelta) -> int:
        found = self._moved.get((number, passed))
        if found is None:
            value = self._values[number]
            if isinstance(value, tuple) and value and isinstance(value[0], int):
                after: Any = tuple(self._after(record, passed) for record in value)
            elif isinstance(value, Told):
                after = value  # no rule asks when something was told
            else:
                form = _FORMS.get(type(value))
                after = moved(value, passed) if form is None else form(moved(value, passed))
            found = self._moved[number, passed] = self._numbers(after)
        return found


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
