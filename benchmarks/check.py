"""`python -m benchmarks check` (`make bench-check`): has the system become dearer than the committed baseline says?

A machine's speed wanders by a factor of two, so nothing here is compared with a clock. Two things are: how many times better than
the usual way the system is, measured in turns in the same minutes; and work that is counted, which does not wander.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import asyncpg
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.durability import require_durable
from benchmarks.measure import Measurement, Run
from benchmarks.place import Place, place
from benchmarks.rounds import OURS, our_side, ratios_of, take_turns, usual_side
from devstack.settings import DATABASES

BASELINE: Final = Path(__file__).with_name("baseline.json")
TOLERANCE: Final = 0.15
_ROUNDS: Final = 3
_OURS: Final = Run("closed", 3_000, max_open=1_000)
_USUAL: Final = Run("closed", 300, max_open=100)
_COUNTED: Final = Run("counting", 1_000, burst=True, statements=True)
#: More is better; of all others, less.
_RATIOS: Final = frozenset({"times the orders/s of the usual way", "times less CPU per order than the usual way"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure against its baseline. `loss`: by how much it is worse, as a share; below 0 it is better."""

    name: str
    baseline: float
    now: float
    loss: float

    @property
    def fine(self) -> bool:
        """Whether the loss is within the tolerance."""
        return self.loss <= TOLERANCE


def compare(baseline: Mapping[str, float], now: Mapping[str, float]) -> list[Finding]:
    """Figure by figure. One that is in the baseline and was not measured is missing: its loss is total. Instructions are compared
    only where both machines could count them."""
    found = []
    for name, before in baseline.items():
        if name not in now:
            if name != "instructions":
                found.append(Finding(name, before, float("nan"), 1.0))
            continue
        value = now[name]
        loss = before / value - 1 if name in _RATIOS else value / before - 1
        found.append(Finding(name, before, value, loss))
    return found


def check(
    write: Annotated[bool, typer.Option("--write", help="Make what is measured now the baseline.")] = False,
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = _ROUNDS,
) -> None:
    """Fails on a loss of 15 % against the committed baseline. What fails is measured once more, and all rounds count then."""
    console = Console(stderr=True)
    with place() as at:
        now = uvloop.run(_figures(at, rounds, console, None if write else _baseline()))
    if write:
        facts = {"at": datetime.now(UTC).date().isoformat(), "command": "python -m benchmarks check --write"}
        BASELINE.write_text(json.dumps({**facts, "figures": {k: round(v, 3) for k, v in now.items()}}, indent=2) + "\n")
        console.print(f"Written: {BASELINE}")
        return
    findings = compare(_baseline(), now)
    _print(findings, console)
    raise typer.Exit(0 if all(finding.fine for finding in findings) else 1)


def _baseline() -> dict[str, float]:
    figures: dict[str, float] = json.loads(BASELINE.read_text())["figures"]
    return figures


async def _figures(at: Place, rounds: int, console: Console, baseline: Mapping[str, float] | None) -> dict[str, float]:
    await require_durable(at.superuser_dsn, DATABASES)
    await _without_checkpoints(at)
    counting = await take_turns([our_side(at, [_COUNTED])], 1, at, console)
    sides = [our_side(at, [_OURS]), await usual_side(at, [_USUAL])]
    timed = await take_turns(sides, rounds, at, console)
    counted = _counted(counting)
    if baseline is not None and not all(f.fine for f in compare(baseline, {**counted, **_timed(timed)})):
        console.print("Not as good as the baseline: once more, to tell a loss from a disturbance")
        timed += await take_turns(sides, rounds, at, console)
        counting += await take_turns([our_side(at, [_COUNTED])], 1, at, console)
        counted = _counted(counting)
    return {**counted, **_timed(timed)}


async def _without_checkpoints(at: Place) -> None:
    """The first change of a page after a checkpoint writes the whole page to the WAL: when one happens to fall into the run, it
    would be counted. Nothing else depends on them."""
    connection = await asyncpg.connect(at.superuser_dsn, timeout=10)
    try:
        await connection.execute("ALTER SYSTEM SET checkpoint_timeout = '1h'")
        await connection.execute("ALTER SYSTEM SET max_wal_size = '16GB'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


def _counted(found: Sequence[Measurement]) -> dict[str, float]:
    """Of all counting runs the least: a disturbance only ever adds."""
    figures: dict[str, float] = {}
    for m in found:
        statements = sum(m.statements.values())
        seen = {
            "messages per order": m.work.messages,
            "bytes on topics per order": m.work.log_bytes,
            "WAL bytes per order": m.work.wal_bytes,
            "statements per writing transaction": statements / m.work.write_transactions,
        }
        figures = {name: min(value, figures.get(name, value)) for name, value in seen.items()}
    return figures


def _timed(found: Sequence[Measurement]) -> dict[str, float]:
    (ratio,) = ratios_of(found)
    instructions = [m.instructions for m in found if m.contender == OURS and m.instructions is not None]
    return {
        "times the orders/s of the usual way": statistics.median(ratio.orders_per_s),
        "times less CPU per order than the usual way": statistics.median(ratio.cpu_per_order),
        **({"instructions": min(instructions)} if instructions else {}),
    }


def _print(findings: Sequence[Finding], console: Console) -> None:
    table = Table(title=f"Against the baseline; more than {TOLERANCE:.0%} worse fails")
    for column in ("", "baseline", "now", "loss"):
        table.add_column(column, justify="left" if not column else "right")
    for finding in findings:
        loss = f"{finding.loss:+.0%}"
        table.add_row(
            finding.name,
            f"{finding.baseline:.2f}",
            f"{finding.now:.2f}",
            loss if finding.fine else f"[red]{loss}[/]",
        )
    console.print(table)
