"""The crash points' cells: a point of the runtime, a service, and what happens to it there. Pure but for the plan's own chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, get_args

from contracts.topics import SUBSCRIPTIONS
from messaging.crash_points import KINDS, POINTS, Kind, Point

SERVICES: Final = tuple(SUBSCRIPTIONS)
_NO_EFFECTS: Final = "it has no effects outside its database"
_NO_TIMERS: Final = "it sets no timers"
#: What a service never does cannot be interrupted.
IMPOSSIBLE: Final[Mapping[tuple[str, Point], str]] = {
    ("customer", "after-timer-claim"): _NO_TIMERS,
    ("recommendation", "after-timer-claim"): _NO_TIMERS,
    **{
        (service, point): _NO_EFFECTS
        for service in ("orders", "inventory", "customer", "recommendation")
        for point in ("before-effect", "after-effect")
    },
}
#: A service that is frozen has a second process beside it, which takes over meanwhile.
FREEZE: Final[Kind] = "freeze"


_HARDEST: Final[tuple[Point, ...]] = ("after-load", "before-commit", "after-commit", "after-publish")
#: Where a process that was given up goes on with something.
_ZOMBIES: Final[tuple[Point, ...]] = ("before-commit", "before-publish")


@dataclass(frozen=True, slots=True)
class Cell:
    """It happens at this point of this service, the `nth` time that it gets there."""

    service: str
    point: Point
    kind: Kind
    nth: int = 1

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.kind} {self.point} {self.service}"


def every_cell(kind: Kind, services: Sequence[str] = SERVICES) -> Iterator[Cell]:
    """All that are possible."""
    for service in services:
        for point in POINTS:
            if (service, point) not in IMPOSSIBLE:
                yield Cell(service, point, kind)


def fast(seed: str) -> tuple[Cell, ...]:
    """Every point once with a kill, at a service that chance picks, and each other kind at two points; one service alone is
    frozen, once, since that needs a second process of it."""
    random = Random(seed)  # noqa: S311 - a plan, no secret
    kills = [random.choice([cell for cell in every_cell("kill") if cell.point == point]) for point in POINTS]
    others = [
        Cell(random.choice(SERVICES), point, kind)
        for kind in get_args(Kind)
        if kind not in ("kill", FREEZE)
        for point in random.sample(_HARDEST, 2)
    ]
    frozen = Cell("orders", random.choice(_ZOMBIES), FREEZE)
    return tuple(_numbered(random, (*kills, *others, frozen)))


def long(seed: str, times: int) -> tuple[tuple[Cell, ...], ...]:
    """Every cell so many times, in rounds of a few minutes: a kind each, and a freeze of two services at a time."""
    random = Random(seed)  # noqa: S311 - a plan, no secret
    rounds: list[tuple[Cell, ...]] = []
    for _ in range(times):
        for kind in KINDS:
            size = 2 if kind == FREEZE else len(SERVICES)
            for start in range(0, len(SERVICES), size):
                cells = list(every_cell(kind, SERVICES[start : start + size]))
                random.shuffle(cells)
                rounds.append(tuple(_numbered(random, cells)))
    return tuple(rounds)


def _numbered(random: Random, cells: Sequence[Cell]) -> Iterator[Cell]:
    """Not always the first time: what a point meets differs with what came before. Rare points are met the first time."""
    for cell in cells:
        often = cell.point not in ("after-timer-claim", "after-take-over", "after-mark")
        yield Cell(cell.service, cell.point, cell.kind, random.randint(1, 5) if often else 1)
