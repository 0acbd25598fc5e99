"""`python -m benchmarks run` (`make bench`): load this system, report, audit."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console

from benchmarks.contenders import OnKafka
from benchmarks.durability import require_durable
from benchmarks.errors import NotMeasuredError
from benchmarks.measure import Measurement, Run, measure
from benchmarks.place import HOME, Place, place
from benchmarks.plots import write_plots
from benchmarks.report import print_all, write_json
from devstack.settings import DATABASES

#: A fresh JVM compiles for a while: the broker's cost per request falls to a third over the first thousands of orders.
WARM_UP_ORDERS: Final = 5_000
#: So much is counted statement by statement.
COUNTED_ORDERS: Final = 2_000


def run(
    orders: Annotated[int, typer.Option(help="Orders of the closed loop (as fast as possible).")] = 20_000,
    max_open: Annotated[int, typer.Option(help="Unfinished orders at a time in the closed loop.")] = 1_000,
    rates: Annotated[
        str, typer.Option(help="Open-loop rates per second, with commas; each for --seconds.")
    ] = "20,200,500,1000",
    seconds: Annotated[int, typer.Option(help="Length of an open-loop run.")] = 20,
    burst: Annotated[int, typer.Option(help="Orders whose commands stand on the topic before it starts.")] = 25_000,
    warm_up: Annotated[int, typer.Option(help="Orders before anything is measured.")] = WARM_UP_ORDERS,
    counted: Annotated[int, typer.Option(help="Orders of the runs in which statements are counted.")] = COUNTED_ORDERS,
    output: Annotated[Path, typer.Option(help="Folder for result.json and the plots.")] = HOME / "results",
    workflow_version: Annotated[
        int | None, typer.Option(help="1 leaves out the enrichment. Default: the newest.")
    ] = None,
) -> None:
    """Completed orders per second, latency from the intended time, CPU, statements and bytes per order. 0 leaves a part out."""
    console = Console(stderr=True)
    runs = [
        *(Run(f"open {rate}/s", int(float(rate) * seconds), float(rate)) for rate in rates.split(",") if rate),
        Run("closed", orders, max_open=max_open),
        Run("burst", burst, burst=True),
        Run("counting, 200/s", min(counted, 1_000), 200.0, statements=True),
        Run("counting, closed", counted, max_open=max_open, statements=True),
    ]
    warm = Run("warm-up", warm_up, max_open=200, warm_up=True)
    with place() as at:
        found: list[Measurement] = []
        facts: dict[str, object] = {"workflow_version": workflow_version or "newest"}
        try:
            uvloop.run(_all([warm, *(run for run in runs if run.orders)], at, workflow_version, console, found, facts))
        except NotMeasuredError as error:
            # What was measured before holds all the same, and took minutes.
            facts["error"] = str(error)
            raise
        finally:
            if found:
                print_all(found, console)
            write_json(output / "result.json", found, **facts)
            plots = write_plots(output, found)
            console.print(f"Written: {', '.join(str(path) for path in (output / 'result.json', *plots))}")


async def _all(
    runs: Sequence[Run],
    at: Place,
    workflow_version: int | None,
    console: Console,
    found: list[Measurement],
    facts: dict[str, object],
) -> None:
    settings = await require_durable(at.superuser_dsn, DATABASES)
    facts["settings"] = settings
    console.print("In force: " + ", ".join(f"{name}={value}" for name, value in settings.items()))
    contender = OnKafka("", at.services(), workflow_version=workflow_version)
    try:
        facts["start_s"] = await start_times(contender, console)
        for run in runs:
            console.print(f"{run.name}: {run.orders} orders")
            measured = await measure(run, contender, at)
            await asyncio.to_thread(audit)
            if not run.warm_up:
                found.append(measured)
    finally:
        contender.fleet.stop()


async def start_times(contender: OnKafka, console: Console) -> dict[str, float]:
    """Start the services one by one, twice: with empty databases, whose tables they make, and again. The second times count."""
    for name in contender.fleet.specs:
        await contender.fleet.start_alone(name)
    contender.fleet.stop()
    times = {name: await contender.fleet.start_alone(name) for name in contender.fleet.specs}
    console.print("Ready within: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items()))
    return times


def audit() -> None:
    """What was measured counts only if nothing was lost on the way. Raises `NotMeasuredError`."""
    done = subprocess.run(
        [sys.executable, "-m", "orderctl", "audit", "--expect-ended"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotMeasuredError(f"The audit failed:\n{done.stdout}{done.stderr}")
