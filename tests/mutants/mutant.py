"""A bug as data: which lines of which file it changes, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


class RottenError(AssertionError):
    """The text that a mutant changes does not stand in its file exactly once: the code has moved on, the mutant must follow."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` becomes `new` in `file`. `likely`: the test (as pytest names it, below `tests`) that is asked before the part's own, as
    whoever knows the code would ask it first."""

    name: str
    bug: str
    file: str
    old: str
    new: str
    likely: str = ""

    @property
    def module(self) -> str:
        """The module that is changed."""
        return self.file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    def asked_of(self, killers: tuple[str, ...]) -> tuple[str, ...]:
        """The tests that are asked about it, in their order."""
        return (f"tests/{self.likely}", *killers) if self.likely else killers

    def source(self) -> str:
        """The changed file. Raises `RottenError`."""
        text = (ROOT / self.file).read_text(encoding="utf-8")
        places = text.count(self.old)
        if places != 1:
            raise RottenError(f"{self.name}: in {self.file} this stands {places} times instead of once:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Part:
    """The mutants of one part of the system, and the tests that have to find them, the likeliest first. `needs_database`: these
    tests ask a PostgreSQL."""

    name: str
    killers: tuple[str, ...]
    mutants: tuple[Mutant, ...]
    needs_database: bool = False
