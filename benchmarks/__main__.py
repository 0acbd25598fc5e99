"""`python -m benchmarks` (`make bench`): start a stack, load it, report, audit, stop it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.measure import OUTSIDE, Measurement, Run, measure
from devstack.errors import DevstackError
from devstack.ports import free_offset
from devstack.settings import CLONE
from devstack.stack import Stack

HOME: Final = CLONE / ".devstack" / "bench"
#: A fresh JVM compiles for a while: the broker's cost per request falls to a third over the first thousands of orders.
WARM_UP_ORDERS: Final = 5_000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    orders: Annotated[int, typer.Option(help="Orders of the closed loop (as fast as possible).")] = 20_000,
    max_open: Annotated[int, typer.Option(help="Unfinished orders at a time in the closed loop.")] = 1_000,
    rates: Annotated[
        str, typer.Option(help="Open-loop rates per second, with commas; each for --seconds.")
    ] = "20,50,200",
    seconds: Annotated[int, typer.Option(help="Length of an open-loop run.")] = 20,
    output: Annotated[Path, typer.Option(help="Where the result goes as JSON.")] = HOME / "result.json",
    workflow_version: Annotated[
        int | None, typer.Option(help="1 leaves out the enrichment. Default: the newest.")
    ] = None,
    keep: Annotated[bool, typer.Option(help="Leave the stack running.")] = False,
) -> None:
    """Measure completed orders per second, latency from the intended time, and CPU per order of everything that runs."""
    console = Console(stderr=True)
    closed = Run("closed loop", orders, 0.0, max_open)
    opened = [
        Run(f"open loop {rate}/s", int(float(rate) * seconds), float(rate), max_open)
        for rate in rates.split(",")
        if rate
    ]
    os.environ["PAYMENT_FAILURE_RATE"] = "0"
    stack = Stack(home=HOME, offset=free_offset())
    try:
        stack.down(wipe=True)
        console.print("Starting a stack of its own")
        stack.up()
        pids = {process.name: process.pid for process in stack.status().processes if process.pid is not None}
        os.environ.update(stack.environment())
        found = asyncio.run(
            _measure_all([Run("warm-up", WARM_UP_ORDERS, 0.0, 200), *opened, closed], pids, workflow_version, console)
        )
        _print(found, console)
        output.parent.mkdir(parents=True, exist_ok=True)
        facts = {"at": datetime.now(UTC).isoformat(), "cpus": os.cpu_count(), "runs": [asdict(m) for m in found]}
        output.write_text(json.dumps(facts, indent=2, default=str))
        console.print(f"Written to {output}")
        audited = _audit()
    except DevstackError as error:
        console.print(f"error: {error}", style="red")
        raise typer.Exit(1) from None
    finally:
        if not keep:
            stack.down(wipe=True)
    raise typer.Exit(audited)


async def _measure_all(
    runs: Sequence[Run], pids: dict[str, int], workflow_version: int | None, console: Console
) -> list[Measurement]:
    found = []
    for run in runs:
        console.print(f"{run.name}: {run.orders} orders")
        found.append(await measure(run, pids, workflow_version))
    return found[1:]


def _print(found: Sequence[Measurement], console: Console) -> None:
    table = Table(title="Whole system: services, PostgreSQL, Kafka, load generator; (the mail sink) is not in the sum")
    for column in ("run", "completed", "orders/s", "p50 ms", "p99 ms", "max ms", "CPU ms/order"):
        table.add_column(column, justify="left" if column == "run" else "right")
    for m in found:
        table.add_row(
            m.name,
            str(m.completed),
            f"{m.orders_per_s:.0f}",
            _ms(m.p50_s),
            _ms(m.p99_s),
            _ms(m.max_s),
            f"{m.cpu_ms_per_order:.2f}",
        )
    console.print(table)
    split = Table(title="CPU per order by process, ms")
    split.add_column("process")
    for m in found:
        split.add_column(m.name, justify="right")
    for name in found[-1].cpu_ms:
        split.add_row(f"({name})" if name == OUTSIDE else name, *(f"{m.cpu_ms[name]:.3f}" for m in found))
    console.print(split)
    memory = found[-1].rss_mb
    console.print("resident MB after the last run: " + ", ".join(f"{name} {rss:.0f}" for name, rss in memory.items()))


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"


def _audit() -> int:
    """What was measured counts only if nothing was lost on the way."""
    return subprocess.run([sys.executable, "-m", "orderctl", "audit"], check=False).returncode


if __name__ == "__main__":
    app()
