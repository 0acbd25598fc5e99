"""Many seeds, in several processes, with a file from which a campaign that was interrupted goes on."""

from __future__ import annotations

import gc
import json
import logging
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from simulation.campaign.kinds import planned
from simulation.campaign.make import make
from simulation.campaign.run import play

#: So many seeds are one piece of work. Files name pieces by their first seed.
CHUNK: Final = 10
SAVE_EVERY_S: Final = 5.0


class OtherCampaignError(Exception):
    """The file is another campaign's: give another file, or the same seeds, orders and commit."""


@dataclass(slots=True)
class Tally:
    """What came of some seeds. `hashes`: the hash of each piece's traces, by its first seed."""

    orders: int = 0
    steps: int = 0
    records: int = 0
    cpu_s: float = 0.0
    happened: Counter[str] = field(default_factory=Counter)
    planned: Counter[str] = field(default_factory=Counter)
    failures: dict[int, list[str]] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Both together."""
        self.orders += other.orders
        self.steps += other.steps
        self.records += other.records
        self.cpu_s += other.cpu_s
        self.happened += other.happened
        self.planned += other.planned
        self.failures |= other.failures
        self.hashes |= other.hashes

    @property
    def never(self) -> list[str]:
        """What was planned and never happened."""
        return sorted(self.planned.keys() - self.happened.keys())


@contextmanager
def collected_between_worlds() -> Iterator[None]:
    """The garbage collector stands still but where `gc.collect` is called, and looks at nothing that was there before: a world is
    young, alive as a whole until it is over, and all garbage then. Looking through it in between took 29 % of all the work."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def work(first: int, last: int, orders: int) -> Tally:
    """Play the seeds from `first` to before `last`."""
    logging.disable(logging.CRITICAL)  # what is set aside is counted here, and the logs of a million orders help nobody
    with collected_between_worlds():
        return _work(first, last, orders)


def _work(first: int, last: int, orders: int) -> Tally:
    tally, digest, begun = Tally(), sha256(), time.process_time()
    for seed in range(first, last):
        gc.collect()
        script = make(seed, orders)
        result = play(script)
        digest.update(result.trace.encode())
        tally.orders += result.orders
        tally.steps += result.steps
        tally.records += result.records
        tally.happened += result.happened
        tally.planned.update(planned(script))
        if result.broken:
            tally.failures[seed] = list(result.broken)
    tally.hashes[first] = digest.hexdigest()
    tally.cpu_s = time.process_time() - begun
    return tally


@dataclass(slots=True)
class Campaign:
    """Seeds from `first` to before `last`, each a world with so many orders."""

    first: int
    last: int
    orders: int
    tally: Tally = field(default_factory=Tally)
    wall_s: float = 0.0

    def pieces(self) -> Iterator[tuple[int, int]]:
        """What is left to do."""
        for first in range(self.first, self.last, CHUNK):
            if first not in self.tally.hashes:
                yield first, min(first + CHUNK, self.last)

    @property
    def finished(self) -> bool:
        """Whether every seed was played."""
        return next(self.pieces(), None) is None

    @property
    def verdict(self) -> str:
        """passed; failed: a promise was broken; invalid: something that was planned to go wrong never did; unfinished."""
        if self.tally.failures:
            return "failed"
        if not self.finished:
            return "unfinished"
        return "invalid" if self.tally.never else "passed"

    def run(self, jobs: int, tell: Callable[[Campaign], None]) -> None:
        """Play what is left, in so many processes; `tell` is called after every piece. Who interrupts it can go on later."""
        begun, before = time.monotonic(), self.wall_s
        pieces = self.pieces()
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            under_way: set[Future[Tally]] = set()
            try:
                while True:
                    while len(under_way) < jobs * 2 and (piece := next(pieces, None)) is not None:
                        under_way.add(pool.submit(work, *piece, self.orders))
                    if not under_way:
                        return
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in done:
                        self.tally.add(future.result())
                    self.wall_s = before + time.monotonic() - begun
                    tell(self)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    # --- the file -----------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write how far it is. The file is there whole, or as it was before."""
        tally = self.tally
        told = {
            "what": "simulation",
            "result": self.verdict,
            "commit": commit(),
            "python": platform.python_version(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seeds": [self.first, self.last],
            "orders_each": self.orders,
            "wall_s": round(self.wall_s, 1),
            "cpu_s": round(tally.cpu_s, 1),
            "orders": tally.orders,
            "orders_per_core_minute": round(tally.orders / tally.cpu_s * 60) if tally.cpu_s else None,
            "steps": tally.steps,
            "records": tally.records,
            "never_happened": tally.never,
            "happened": dict(sorted(tally.happened.items())),
            "seeds_that_plan": dict(sorted(tally.planned.items())),
            "failures": {str(seed): broken for seed, broken in sorted(tally.failures.items())},
            "hashes": {str(seed): digest for seed, digest in sorted(tally.hashes.items())},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".partial")
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a file, where there is one. Raises `OtherCampaignError`."""
        if not path.exists():
            return
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        mine = [self.first, self.last], self.orders, commit()
        if (told["seeds"], told["orders_each"], told["commit"]) != mine:
            raise OtherCampaignError(f"{path} is of seeds {told['seeds']} at commit {told['commit']}")
        self.wall_s = told["wall_s"]
        self.tally = Tally(
            told["orders"],
            told["steps"],
            told["records"],
            told["cpu_s"],
            Counter(told["happened"]),
            Counter(told["seeds_that_plan"]),
            {int(seed): broken for seed, broken in told["failures"].items()},
            {int(seed): digest for seed, digest in told["hashes"].items()},
        )


def commit() -> str:
    """The commit of the code that runs; with `+` where the code is not quite that."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
        changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def hashes_of(python: str, first: int, last: int, orders: int) -> str:
    """The hashes of seeds as another interpreter finds them, whose hashes of texts are others every time."""
    command = [python, "-m", "simulation", "hash", "--seeds", f"{first}:{last}", "--orders", str(orders)]
    environment = {"PYTHONHASHSEED": "random", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise RuntimeError(f"{python} could not play seeds {first} to {last}")
    return done.stdout
