"""`python -m proof.hashes`: the same seeds played by several interpreters, whose hashes of texts are others each time.

python -m proof.hashes --count 10000                                                    # goes on where it was interrupted
python -m proof.hashes --python .venv/bin/python --python /other/venv/bin/python        # on other Pythons, too
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from proof import results
from simulation.campaign.many import hashes_of

#: Seeds of one piece of work: some seconds.
CHUNK: Final = 50
#: Small worlds meet as many kinds of faults as large ones, over many seeds.
ORDERS: Final = 10


@dataclass
class Tally:
    """How far it is: so many seeds from 0 on, and those whose traces differ, with each interpreter's line."""

    seeds: int = 0
    different: list[list[str]] = field(default_factory=list)

    def take(self, pythons: Sequence[str], end: int, orders: int) -> None:
        """The seeds up to before `end`, by all interpreters at once. Raises `RuntimeError` if one of them cannot play a seed."""
        with ThreadPoolExecutor(len(pythons)) as pool:
            found = [
                one.splitlines() for one in pool.map(lambda python: hashes_of(python, self.seeds, end, orders), pythons)
            ]
        for number, lines in enumerate(zip(*found, strict=True), self.seeds):
            if any(not line.startswith(f"{number} ") for line in lines):
                raise RuntimeError(f"asked for seed {number}, {lines} came")
            if len(set(lines)) > 1:
                self.different.append(list(lines))
        if any(len(lines) != end - self.seeds for lines in found):
            raise RuntimeError(f"asked for seeds {self.seeds} to {end}, {[len(lines) for lines in found]} came")
        self.seeds = end

    def as_json(self) -> dict[str, Any]:
        """For the result."""
        return {"seeds": self.seeds, "different": self.different[:100], "different_count": len(self.different)}


def resumed(found: dict[str, Any] | None, pythons: Sequence[str], orders: int) -> Tally:
    """Goes on only with what was found by the same code and the same interpreters."""
    asked = {"commit": results.commit(), "pythons": list(pythons), "orders_each": orders}
    if found is None or any(found[name] != value for name, value in asked.items()):
        return Tally()
    return Tally(found["seeds"], list(found["different"]))


def main(arguments: list[str]) -> int:
    """0: all are the same. 1: one is not. 3: it was not finished within `--for-s`; the same command goes on."""
    parser = argparse.ArgumentParser(
        prog="python -m proof.hashes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="seeds from 0 on (default 10,000)")
    parser.add_argument("--orders", type=int, default=ORDERS, help=f"orders of each seed (default {ORDERS})")
    parser.add_argument(
        "--python", action="append", help="an interpreter with our dependencies (default: this one, twice)"
    )
    parser.add_argument("--for-s", type=float, default=float("inf"), help="stop after so long; the next call goes on")
    asked = parser.parse_args(arguments)
    pythons = asked.python or [sys.executable] * 2
    tally = resumed(results.read("hashes", 0), pythons, asked.orders)
    began, first = time.monotonic(), tally.seeds
    while tally.seeds < asked.count and time.monotonic() - began < asked.for_s:
        tally.take(pythons, min(asked.count, tally.seeds + CHUNK), asked.orders)
        path = results.write("hashes", 0, {**tally.as_json(), "pythons": pythons, "orders_each": asked.orders})
        rate = (tally.seeds - first) / (time.monotonic() - began)
        print(
            f"{tally.seeds:,} of {asked.count:,} seeds, {rate:.1f}/s, {len(tally.different)} differ, {path.name}",
            flush=True,
        )
    for lines in tally.different[:10]:
        print(
            f"not the same: {' and '.join(lines)}; again: python -m simulation hash --orders {asked.orders} --seeds "
            f"{lines[0].split()[0]}"
        )
    if tally.different:
        return 1
    return 0 if tally.seeds >= asked.count else 3


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
