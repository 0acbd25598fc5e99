"""Results as JSON, round by round, so that a long run goes on where it was interrupted; and as a table."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from chaos.errors import Exit
from chaos.plan import BACKENDS, NEEDED, Kind
from devstack.settings import CLONE

PROOF: Final = CLONE / ".proof"
HOME: Final = CLONE / ".devstack" / "chaos"
_SHOWN: Final = 20


def commit() -> str:
    """What is being proved: the commit, and whether something is changed since."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"{head}-changed" if _git("status", "--porcelain", "--untracked-files=no") else head


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=CLONE, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


class Rounds:
    """The rounds of one run, in a folder that its parameters name. A round that was played is not played again, unless it was
    invalid."""

    def __init__(self, kind: str, name: str, about: Mapping[str, Any]) -> None:
        self.folder = PROOF / kind / name
        self._kind = kind
        self._about = about

    def path(self, number: int) -> Path:
        """Where the round's result is."""
        return self.folder / f"round-{number:02d}.json"

    def played(self, number: int) -> dict[str, Any] | None:
        """The round's result, if it proves something, one way or the other."""
        if not self.path(number).exists():
            return None
        found: dict[str, Any] = json.loads(self.path(number).read_text())
        return None if found["exit"] == Exit.INVALID else found

    def write(self, number: int, result: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the round's result."""
        self.folder.mkdir(parents=True, exist_ok=True)
        document = {
            "kind": self._kind,
            "round": number,
            "commit": commit(),
            "at": datetime.now(UTC).isoformat(),
            **self._about,
            **result,
        }
        making = self.path(number).with_suffix(".making")
        making.write_text(json.dumps(document, indent=1, default=str))
        making.replace(self.path(number))
        return document


def group_of(kind: str, target: str) -> str:
    """Under which name recoveries are summed up: kills and stops by what orders need, ways by what they lead to."""
    if kind in (Kind.KILL, Kind.STOP):
        what = target if target in BACKENDS else "a service that orders need" if target in NEEDED else "another service"
        return f"{kind}: {what}"
    return f"{kind}: way to {'kafka' if target.endswith('>kafka') else 'a database'}"


def print_summary(console: Console, results: Sequence[Mapping[str, Any]]) -> None:
    """All rounds in one table, and whatever went wrong."""
    times: dict[str, list[float | None]] = defaultdict(list)
    for result in results:
        for fault in result.get("faults", ()):
            times[group_of(fault["kind"], fault["target"])].append(fault["recovered_s"])
        for hit in result.get("hits", ()):
            times[f"{hit['kind']} {hit['point']}"].append(hit["recovered_s"])
    table = Table(title="Next new order through after the end of the fault, seconds", box=None, pad_edge=False)
    for column in ("fault", "times", "p50", "p99", "most"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for name, found in sorted(times.items()):
        known = sorted(time for time in found if time is not None)
        table.add_row(name, str(len(found)), *(f"{value:.2f}" for value in _percentiles(known)))
    console.print(table)
    for result in results:
        load, audit = result["load"], result["audit"]
        done = [*result.get("faults", ()), *result.get("hits", ())]
        kills = sum(fault["kind"] == Kind.KILL for fault in done)
        console.print(
            f"round {result['round']} of {result['commit']}: {load['orders']} orders at {load['kept_rate_per_s']}/s "
            f"(asked {load['asked_rate_per_s']:g}), {kills} kills of {len(done)} faults in {result['acted_s']:.0f} s; "
            f"audit of {audit.get('orders', 0)} orders: {len(audit.get('breaches', ()))} breaches; "
            f"{Exit(result['exit']).name}"
        )
        for what in ("violations", "invalid"):
            for line in result[what][:_SHOWN]:
                console.print(f"  {what}: {line}", style="red", markup=False, soft_wrap=True)


def _percentiles(known: Sequence[float]) -> tuple[float, ...]:
    if not known:
        return ()
    return (known[(len(known) - 1) // 2], known[min(len(known) - 1, int(len(known) * 0.99))], known[-1])


def worst(results: Sequence[Mapping[str, Any]]) -> Exit:
    """The exit code of it all: a broken promise before an invalid run."""
    codes = {result["exit"] for result in results}
    return next((code for code in (Exit.VIOLATED, Exit.COULD_NOT_RUN, Exit.INVALID) if code in codes), Exit.OK)
