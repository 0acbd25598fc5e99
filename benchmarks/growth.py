"""`python -m benchmarks growth`: whether an order costs the same in full tables, and after ten minutes as in the first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import OnKafka
from benchmarks.durability import require_durable
from benchmarks.grown import grow, shrink, table_sizes
from benchmarks.measure import OUTSIDE, Measurement, Run, measure
from benchmarks.place import HOME, Place, place
from benchmarks.report import print_all, write_json
from benchmarks.run import audit
from devstack.settings import DATABASES

_SECTION_S: Final = 60
_MB: Final = 2**20
#: Smaller tables double with a page or two.
_WORTH_TELLING: Final = 4 * _MB


@dataclass(frozen=True, slots=True)
class Grown:
    """What was found: the same runs in empty and in full tables, the long run minute by minute, and the tables around it."""

    empty: list[Measurement]
    full: list[Measurement]
    minutes: list[Measurement]
    sizes: tuple[Mapping[str, int], Mapping[str, int]]


def growth(
    ended: Annotated[int, typer.Option(help="Orders made up; a tenth of them await approval.")] = 1_100_000,
    timers: Annotated[int, typer.Option(help="Timers that are not due.")] = 1_000_000,
    orders: Annotated[int, typer.Option(help="Orders of a closed loop.")] = 10_000,
    rate: Annotated[float, typer.Option(help="The rate of the open loop.")] = 20.0,
    minutes: Annotated[int, typer.Option(help="Length of the long run at --share of the highest rate.")] = 10,
    share: Annotated[float, typer.Option(help="Of the closed loop's rate in full tables.")] = 0.7,
    output: Annotated[Path, typer.Option(help="Where the result goes as JSON.")] = HOME / "results" / "growth.json",
) -> None:
    """CPU per order, latency, memory and sizes: with empty tables, with a million ended orders and timers, and over time."""
    console = Console(stderr=True)
    runs = [Run("closed", orders), Run(f"open {rate:g}/s", int(rate * 30), rate)]
    with place() as at:
        found = uvloop.run(_all(at, (ended, timers), runs, (minutes, share), console))
        print_all([*found.empty, *found.full, *found.minutes], console)
        print_growth(found, console)
        write_json(output, [*found.empty, *found.full, *found.minutes], sizes=found.sizes)
        console.print(f"Written: {output}")


async def _all(
    at: Place, filled: tuple[int, int], runs: Sequence[Run], long: tuple[int, float], console: Console
) -> Grown:
    await require_durable(at.superuser_dsn, DATABASES)
    contender, settings = OnKafka("", at.services()), at.stack.settings
    tables = tuple(name for name in DATABASES if name not in ("console", "gateway"))

    async def measured(when: str, wanted: Sequence[Run]) -> list[Measurement]:
        found = []
        for run in wanted:
            console.print(f"{when}, {run.name}: {run.orders} orders")
            one = await measure(run, contender, at)
            if not run.warm_up:
                found.append(replace(one, contender=when))
        return found

    warm_up = Run("warm-up", 2_000, max_open=200, warm_up=True)
    await contender.fleet.start()
    try:
        empty = await measured("empty", [warm_up, *runs])
        await asyncio.to_thread(audit)
        contender.fleet.stop()
        await grow(settings, *filled, console)
        await contender.fleet.start()
        full = await measured("full", [warm_up, *runs])
        minutes, share = long
        rate = full[0].orders_per_s * share
        before = await table_sizes(settings, tables)
        section = Run(f"open {rate:.0f}/s", int(rate * _SECTION_S), rate)
        by_minute = []
        for minute in range(minutes):
            by_minute += await measured(f"minute {minute + 1}", [section])
        after = await table_sizes(settings, tables)
    finally:
        contender.fleet.stop()
    console.print("Taking away what was made up, for the audit")
    await shrink(settings)
    await asyncio.to_thread(audit)
    return Grown(empty, full, by_minute, (before, after))


def ratio_rows(before: Sequence[Measurement], after: Sequence[Measurement]) -> dict[str, tuple[float, float]]:
    """By what is told: the median before and after, over the runs of each."""
    told: dict[str, Callable[[Measurement], float]] = {
        "CPU ms per order": lambda m: m.cpu_ms_per_order,
        "p50 ms": lambda m: (m.outcome.latency.p50_s or 0) * 1000,
        "p99 ms": lambda m: (m.outcome.latency.p99_s or 0) * 1000,
        "orders/s": lambda m: m.orders_per_s,
        "resident MB of the services": services_mb,
    }
    return {name: (median(map(of, before)), median(map(of, after))) for name, of in told.items()}


def services_mb(m: Measurement) -> float:
    """Memory of all our own processes."""
    return sum(mb for name, mb in m.rss_mb.items() if name not in (OUTSIDE, "kafka", "postgres", "load generator"))


def print_growth(found: Grown, console: Console) -> None:
    """The tables that are quoted."""
    pairs = [
        (f"full against empty tables, {empty.run.name}", ratio_rows([empty], [full]))
        for empty, full in zip(found.empty, found.full, strict=True)
    ]
    third = max(1, len(found.minutes) // 3)
    pairs.append(
        (f"the last {third} minutes against the first", ratio_rows(found.minutes[:third], found.minutes[-third:]))
    )
    for title, rows in pairs:
        table = Table(title=title)
        for column in ("", "before", "after", "ratio"):
            table.add_column(column, justify="left" if not column else "right")
        for name, (before, after) in rows.items():
            table.add_row(name, f"{before:.1f}", f"{after:.1f}", f"{after / before:.2f}" if before else "")
        console.print(table)
    table = Table(title=f"Tables and their indexes over {_WORTH_TELLING // _MB} MB, before and after the long run")
    for column in ("table", "MB before", "MB after", "ratio"):
        table.add_column(column, justify="left" if column == "table" else "right")
    before_sizes, after_sizes = found.sizes
    for name, size in sorted(after_sizes.items(), key=lambda item: -item[1]):
        if size >= _WORTH_TELLING:
            old = before_sizes.get(name, 0)
            table.add_row(name, f"{old / _MB:.1f}", f"{size / _MB:.1f}", f"{size / old:.2f}" if old else "")
    console.print(table)
