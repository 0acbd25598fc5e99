"""Measurements as tables for people and as JSON for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.measure import OUTSIDE, Measurement
from orderctl.load.statistics import LatencySummary

#: The events on an order's way, in their order.
PHASES: Final = (
    "command-accepted",
    "order-started",
    "order-enriched",
    "stock-reserved",
    "payment-approved",
    "payment-captured",
    "order-completed",
)

#: Columns that the names of a table's rows take.
_NAMES_WIDE: Final = 20


def write_json(path: Path, found: Sequence[Measurement], **facts: Any) -> None:
    """Everything, with where and when it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }
    runs = [asdict(m) for m in found]
    path.write_text(json.dumps({**head, **facts, "measurements": runs}, indent=2, default=str) + "\n")


def print_all(found: Sequence[Measurement], console: Console) -> None:
    """The tables."""
    _print_runs(found, console)
    timed = [m for m in found if not m.run.statements]
    _print_phases([m for m in timed if not m.run.burst], console)
    _print_by_name("CPU per order by process, ms", timed, lambda m: _outside_marked(m.cpu_ms), "{:.3f}", console)
    _print_by_name("Counted per order", found, _counted, "{:.2f}", console)
    _print_by_name("Items per transaction", timed, lambda m: m.work.batch_size, "{:.1f}", console)
    _print_by_name("Resident MB after the run", timed, lambda m: m.rss_mb, "{:.0f}", console)


def _print_runs(found: Sequence[Measurement], console: Console) -> None:
    table = Table(title="Whole system: services, PostgreSQL, Kafka, load generator; (the mail sink) is not in the sum")
    for column in ("run", "orders", "orders/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "CPU ms/order", "kept up"):
        table.add_column(column, justify="left" if column == "run" else "right")
    for m in found:
        latency = m.outcome.latency
        # Of a burst only the rate says something, and of a run whose statements were logged neither.
        times = () if m.run.burst or m.run.statements else (latency.p50_s, latency.p95_s, latency.p99_s, latency.max_s)
        table.add_row(
            title(m),
            str(m.outcome.completed),
            "-" if m.run.statements else f"{m.orders_per_s:.0f}",
            *(_ms(seconds) for seconds in times or (None,) * 4),
            "-" if m.run.statements else f"{m.cpu_ms_per_order:.2f}",
            "-" if m.kept_up is None else "yes" if m.kept_up else "NO",
        )
    console.print(table)


def _print_phases(found: Sequence[Measurement], console: Console) -> None:
    for some in _side_by_side(found, console, 30):
        table = Table(title="From the intended time to each event, ms: p50 / p95 / p99 / max")
        table.add_column("event")
        for m in some:
            table.add_column(title(m), justify="right")
        for phase in PHASES:
            table.add_row(phase, *(_spread(m.outcome.phases.get(phase)) for m in some))
        console.print(table)


def _print_by_name(
    heading: str,
    found: Sequence[Measurement],
    part: Callable[[Measurement], Mapping[str, float]],
    form: str,
    console: Console,
) -> None:
    for some in _side_by_side(found, console, 14):
        table = Table(title=heading)
        table.add_column("")
        for m in some:
            table.add_column(title(m), justify="right")
        parts = [part(m) for m in some]
        for name in dict.fromkeys(name for values in parts for name in values):
            table.add_row(name, *(form.format(values[name]) if name in values else "-" for values in parts))
        if table.row_count:
            console.print(table)


def _side_by_side(found: Sequence[Measurement], console: Console, wide: int) -> list[Sequence[Measurement]]:
    """As many at a time as stand beside each other legibly, each contender's together."""
    most = max(1, (console.width - _NAMES_WIDE) // wide)
    alike: dict[str, list[Measurement]] = {}
    for m in found:
        alike.setdefault(m.contender, []).append(m)
    return [runs[n : n + most] for runs in alike.values() for n in range(0, len(runs), most)]


def title(m: Measurement) -> str:
    """How a measurement is called."""
    return f"{m.contender}, {m.run.name}" if m.contender else m.run.name


def _outside_marked(cpu_ms: Mapping[str, float]) -> dict[str, float]:
    return {f"({name})" if name == OUTSIDE else name: value for name, value in cpu_ms.items()}


def _counted(m: Measurement) -> dict[str, float]:
    work = m.work
    statements = {f"statements, {database}": count for database, count in m.statements.items()}
    if statements:
        statements["statements"] = sum(m.statements.values())
    return {
        "messages": work.messages,
        "record batches": work.record_batches,
        "messages per record batch": work.messages_per_batch,
        "bytes on topics": work.log_bytes,
        "the broker's reads and writes": work.broker_calls,
        "WAL bytes": work.wal_bytes,
        "writing transactions": work.write_transactions,
        **statements,
        **({} if m.instructions is None else {"instructions": m.instructions}),
    }


def _spread(latency: LatencySummary | None) -> str:
    if latency is None:
        return "-"
    return " / ".join(_ms(seconds) for seconds in (latency.p50_s, latency.p95_s, latency.p99_s, latency.max_s))


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"
