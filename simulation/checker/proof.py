"""A run of many searches: each result is kept as JSON as soon as it is there, so a run that was stopped goes on where it was."""

from __future__ import annotations

import json
import re
import resource
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from simulation.checker.cells import Cells
from simulation.checker.coverage import Coverage, coverage
from simulation.checker.search import Found, search
from simulation.checker.world import Scenario

Job = tuple[Scenario, int | None]
_SEARCHED: Final = ("contracts", "services", "audit", "simulation/checker")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a run came to. `states`: of all searches together; each is judged in its own scenario."""

    searches: tuple[dict[str, Any], ...]
    covered: Coverage

    @property
    def states(self) -> int:
        """How many states were judged."""
        return sum(search["states"] for search in self.searches)

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong, and every cell was reached or is known to be impossible."""
        return not any(search["violation"] for search in self.searches) and self.covered.is_whole

    def __str__(self) -> str:
        lines = [
            f"{s['states']:>10,} states, {s['steps']:>10,} steps, depth {s['depth']:>2}, {'all' if s['exhausted'] else 'not all'}: "
            f"{s['scenario']}"
            for s in self.searches
        ]
        exhausted = sum(s["states"] for s in self.searches if s["exhausted"])
        lines.append(
            f"{self.states:>10,} states together, {exhausted:,} of them in scenarios that were searched to the end"
        )
        lines += [f"VIOLATION in {s['scenario']}: {s['violation']}" for s in self.searches if s["violation"]]
        return "\n".join([*lines, str(self.covered)])


def prove(jobs: Sequence[Job], results: Path, afresh: bool, progress: Callable[[str], None]) -> Proof:
    """Search every scenario that has no result yet (each as far as its number says), and keep what comes of it."""
    results.mkdir(parents=True, exist_ok=True)
    code, cells, found = code_searched(), Cells(), []
    for scenario, most in jobs:
        path = results / f"{re.sub(r'[^a-z0-9]+', '-', scenario.name)}.json"
        kept = None if afresh or not path.exists() else json.loads(path.read_text())
        if kept is None or (kept["code"], kept["most"], kept["bounds"]) != (code, most, _bounds(scenario)):
            kept = _record(scenario, most, code, search(scenario, most, progress))
            path.write_text(json.dumps(kept, indent=1))
        progress(f"{scenario.name}: {kept['states']:,} states, {'' if kept['exhausted'] else 'not '}all")
        cells.add(Cells(*({(m, s) for m, s in kept["cells"][name]} for name in ("orders", "inventories", "payments"))))
        found.append(kept)
    proof = Proof(tuple(found), coverage(cells))
    summary = {"states": proof.states, "holds": proof.holds, "commit": _commit(), "coverage": asdict(proof.covered)}
    (results / "summary.json").write_text(json.dumps(summary, indent=1))
    return proof


def _record(scenario: Scenario, most: int | None, code: str, found: Found) -> dict[str, Any]:
    record = {
        "scenario": scenario.name,
        "bounds": _bounds(scenario),
        "most": most,
        "code": code,
        "commit": _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "states": found.states,
        "steps": found.steps,
        "depth": found.depth,
        "rests": found.rests,
        "exhausted": found.exhausted,
        "seconds": round(found.seconds, 1),
        "cpu_seconds": round(found.cpu_seconds, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "violation": None if found.violation is None else str(found.violation),
        "cells": {name: sorted(cells) for name, cells in asdict(found.cells).items()},
    }
    plain: dict[str, Any] = json.loads(json.dumps(record))
    return plain


def _bounds(scenario: Scenario) -> Any:
    return json.loads(json.dumps(asdict(scenario), default=sorted))


def code_searched() -> str:
    """Tells the code that decides and judges from every other: a result is not taken for one of other code."""
    root = Path(__file__).resolve().parents[2]
    sources = sorted(path for name in _SEARCHED for path in (root / name).rglob("*.py"))
    return blake2b(b"".join(path.read_bytes() for path in sources), digest_size=8).hexdigest()


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"
