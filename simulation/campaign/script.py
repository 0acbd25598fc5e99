"""A script: the world, and one after another what is said, what goes wrong and how much happens in between. It is plain JSON, a
line for each entry, and what follows from it follows from it alone: playing it again gives the same run, to the last byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

Entry = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """`seed` decides the order of what happens at the same time. `coarse`: polls bring much at once, as under load. `old`: the
    orders service begins on yesterday's release. `ahead`: by how many seconds the clocks of each service's processes may be
    fast, one of them for each process. `together`: partitions of a process that have something to do at the same time may do it
    in one transaction. An entry is a word (see `simulation.campaign.words`) and what it is about."""

    seed: int
    entries: tuple[Entry, ...]
    partitions: int = 1
    failure_rate: float = 0.0
    old: bool = False
    coarse: bool = False
    together: bool = False
    ahead: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def with_entries(self, entries: Sequence[Entry]) -> Self:
        """The same world with other entries."""
        return replace(self, entries=tuple(entries))


def dump(script: Script) -> str:
    """The script as JSON, a line for each entry."""
    head = {
        "seed": script.seed,
        "partitions": script.partitions,
        "failure_rate": script.failure_rate,
        "old": script.old,
        "coarse": script.coarse,
        "together": script.together,
        "ahead": script.ahead,
    }
    lines = ",\n".join(json.dumps(entry, ensure_ascii=True) for entry in script.entries)
    return f'{json.dumps(head)[:-1]}, "entries": [\n{lines}\n]}}\n'


def parse(text: str) -> Script:
    """The script from its JSON."""
    found = json.loads(text)
    return Script(
        seed=found["seed"],
        entries=tuple(tuple(entry) for entry in found["entries"]),
        partitions=found["partitions"],
        failure_rate=found["failure_rate"],
        old=found["old"],
        coarse=found["coarse"],
        together=found.get("together", False),  # scripts of before have none
        ahead={service: tuple(seconds) for service, seconds in found["ahead"].items()},
    )


def read(path: Path) -> Script:
    """The script of a file."""
    return parse(path.read_text(encoding="utf-8"))
