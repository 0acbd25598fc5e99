"""Breadth first through every world that a scenario allows, each once; a broken promise is told with the shortest way to it.

A world is told from every other by all of its numbers, not by a hash of them: no state can be mistaken for another. What is kept of
a world that was seen is one integer, from which world it was first reached, and by which of its steps: the way is gone again.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from simulation.checker.cells import Cells
from simulation.checker.judge import Judge, Problems
from simulation.checker.parties import Parties
from simulation.checker.steps import WIDTH, Steps, World
from simulation.checker.telling import told
from simulation.checker.values import Numbers
from simulation.checker.world import Scenario

#: There never are so many values that a number needs more; so a world's numbers can stand side by side in one integer.
_BITS: Final = 32
#: How often progress is told.
_EVERY: Final = 100_000


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, and the shortest way to it, step by step."""

    problems: Problems
    way: tuple[str, ...]

    def __str__(self) -> str:
        numbered = [f"{number:3}. {step}" for number, step in enumerate(self.way, 1)]
        return "\n".join([*self.problems, *numbered])


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. `exhausted`: every world that the scenario allows was judged; `depth`: by how many steps the furthest
    of them is reached; `rests`: in how many of them nothing is under way any more."""

    scenario: str
    states: int
    steps: int
    depth: int
    rests: int
    exhausted: bool
    seconds: float
    cpu_seconds: float
    values: int
    violation: Violation | None = None
    cells: Cells = field(default_factory=Cells, repr=False)


Progress = Callable[[str], None]


def search(scenario: Scenario, most: int | None = None, progress: Progress = lambda line: None) -> Found:
    """Search until there is nothing new, something is wrong, or `most` states are seen."""
    return Search(scenario, most, progress).run()


class Search:
    """One search. `parties` makes those who decide."""

    def __init__(
        self,
        scenario: Scenario,
        most: int | None = None,
        progress: Progress = lambda line: None,
        parties: Callable[[Scenario, Numbers, Cells], Parties] = Parties,
    ) -> None:
        self.scenario = scenario
        self.cells = Cells()
        self.numbers = Numbers()
        self.steps = Steps(scenario, parties(scenario, self.numbers, self.cells))
        self.judge = Judge(self.steps.groups)
        self.came_from = array("I")
        self.came_by = array("H")
        self.seen: set[int] = set()
        self.counted = self.rests = 0
        self.most = most
        self.progress = progress
        self.started = time.monotonic()
        self.cpu_started = time.process_time()

    def run(self) -> Found:
        """See `search`."""
        begin = self.steps.begin()
        self._is_new(begin, 0, 0)
        level, depth = [begin], 0
        first = 0  # the index of the level's first world
        while level:
            following: list[World] = []
            for index, world in enumerate(level, first):
                stop = self._expand(world, index, following)
                if stop is not None:
                    return self._found(depth + 1, False, stop)
                if self.most is not None and len(self.came_from) >= self.most:
                    return self._found(depth, False, None)
            first += len(level)
            level = following
            depth += bool(level)
        return self._found(depth, True, None)

    def _expand(self, world: World, index: int, following: list[World]) -> Violation | None:
        steps, rests = self.steps.of(world)
        self.counted += len(steps)
        for ordinal, (_, _, after, _) in enumerate(steps):
            turned = self._turned(after)
            if self._is_new(turned, index, ordinal):
                problems = self.judge.moment(turned)
                if problems:
                    return self._violation(problems, len(self.came_from) - 1)
                following.append(turned)
        if rests:
            self.rests += 1
            problems = self.judge.rest(world)
            if problems:
                return self._violation(problems, index)
        return None

    def _is_new(self, world: World, index: int, ordinal: int) -> bool:
        key = 0
        for number in world:
            key = key << _BITS | number
        if key in self.seen:
            return False
        self.seen.add(key)
        self.came_from.append(index)
        self.came_by.append(ordinal)
        if len(self.came_from) % _EVERY == 0:
            self._tell()
        return True

    def _turned(self, world: World) -> World:
        """Of two orders, the one with the smaller numbers stands first: which of them is which makes no difference."""
        if self.scenario.orders == 1:
            return world
        one, other = world[2 : 2 + WIDTH], world[2 + WIDTH :]
        return world if one <= other else (*world[:2], *other, *one)

    # --- what is told -------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        seen, took = len(self.came_from), time.monotonic() - self.started
        line = (
            f"{self.scenario.name}: {seen:,} states, {self.counted:,} steps, {took:.0f} s, {seen / took:,.0f} states/s"
        )
        self.progress(f"{line}, {len(self.numbers):,} values")

    def _found(self, depth: int, exhausted: bool, violation: Violation | None) -> Found:
        took = time.monotonic() - self.started
        return Found(
            self.scenario.name,
            len(self.came_from),
            self.counted,
            depth,
            self.rests,
            exhausted,
            took,
            time.process_time() - self.cpu_started,
            len(self.numbers),
            violation,
            self.cells,
        )

    def _violation(self, problems: Problems, index: int) -> Violation:
        ordinals: list[int] = []
        while index:
            ordinals.append(self.came_by[index])
            index = self.came_from[index]
        return Violation(problems, tuple(self._way(reversed(ordinals))))

    def _way(self, ordinals: Any) -> Any:
        """The steps again, in words. Where two orders change places, their names go with them."""
        world, names = self.steps.begin(), ["first", "second"]
        for ordinal in ordinals:
            what, number, after, order = self.steps.of(world)[0][ordinal]
            whose = "" if self.scenario.orders == 1 or order < 0 else f"the {names[order]} order: "
            yield whose + told(what, number, self.numbers)
            world = self._turned(after)
            if world != after:
                names.reverse()
