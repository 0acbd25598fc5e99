"""`python -m benchmarks scale`: whether an order becomes dearer when several processes of orders share the partitions, and when
several database servers do."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import OnKafka
from benchmarks.durability import require_durable
from benchmarks.fleet import Fleet
from benchmarks.measure import Measurement, Run
from benchmarks.place import HOME, SPREAD, Place, place
from benchmarks.report import print_all, write_json
from benchmarks.rounds import Side, take_turns
from benchmarks.run import audit
from devstack.ports import free_port
from devstack.processes import ProcessSpec
from devstack.settings import DATABASES, LOOPBACK

_WARM_UP: Final = Run("warm-up", 2_000, max_open=200, warm_up=True)


def scale(
    processes: Annotated[str, typer.Option(help="Processes of orders, with commas; against the first.")] = "1,2,4",
    servers: Annotated[
        int, typer.Option(help="Also one process, with orders and payment on so many database servers; 0: no.")
    ] = 2,
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = 3,
    orders: Annotated[int, typer.Option(help="Orders of a turn, as fast as possible.")] = 5_000,
    max_open: Annotated[int, typer.Option(help="Unfinished orders at a time.")] = 1_000,
    output: Annotated[Path, typer.Option(help="Where the result goes as JSON.")] = HOME / "results" / "scale.json",
) -> None:
    """One, two and four processes of the orders service, then two database servers, in turns: CPU per order and orders/s against
    one of each."""
    console = Console(stderr=True)
    counts = [int(count) for count in processes.split(",")]
    run = Run("closed", orders, max_open=max_open)
    found: list[Measurement] = []
    for turn in range(rounds):
        console.print(f"Turn {turn + 1} of {rounds}.")
        with place() as at:
            # Tables grow from one to the next: nobody is always the first.
            found += uvloop.run(_all(at, counts[::-1] if turn % 2 else counts, run, console))
        if servers:
            with place(servers) as at:
                found += uvloop.run(_all(at, counts[:1], run, console))
    print_all(found, console)
    names = [_called(count) for count in counts] + ([_called(counts[0], servers)] if servers else [])
    print_against_first(found, names, console)
    write_json(output, found)
    console.print(f"Written: {output}")


async def _all(at: Place, counts: Sequence[int], run: Run, console: Console) -> list[Measurement]:
    await require_durable(at.superuser_dsn, tuple(name for name in DATABASES if not at.spread or name not in SPREAD))
    for dsn in at.spread:
        await require_durable(dsn, SPREAD)
    sides = [
        Side(
            OnKafka(_called(count, len(at.spread)), _fleet(at, count)),
            [_WARM_UP, run],
            lambda: asyncio.to_thread(audit),
        )
        for count in counts
    ]
    return await take_turns(sides, 1, at, console)


def _called(count: int, servers: int = 0) -> str:
    return f"orders x{count}, {servers} database servers" if servers else f"orders x{count}"


def _fleet(at: Place, count: int) -> Fleet:
    """All services, of orders so many processes."""
    usual = at.services()
    more = [another(usual.specs["orders"], number) for number in range(2, count + 1)]
    return Fleet([*usual.specs.values(), *more], at.stack.settings.home)


def another(spec: ProcessSpec, number: int) -> ProcessSpec:
    """One more process of the same service: a port, and a membership in the group, of its own."""
    url = f"http://{LOOPBACK}:{free_port()}"
    own = {
        "HTTP_PORT": url.rsplit(":", 1)[1],
        "KAFKA_GROUP_INSTANCE_ID": f"{spec.env['KAFKA_GROUP_INSTANCE_ID']}-{number}",
    }
    return spec.model_copy(
        update={
            "name": f"{spec.name}-{number}",
            "env": {**spec.env, **own},
            "address": url,
            "target": f"{url}/readyz",
        }
    )


def against_first(found: Sequence[Measurement], first: str, other: str) -> list[tuple[float, float]]:
    """Round by round, of `other` as a multiple of `first`: orders/s, and CPU per order."""
    of = {name: [m for m in found if m.contender == name] for name in (first, other)}
    return [
        (theirs.orders_per_s / ours.orders_per_s, theirs.cpu_ms_per_order / ours.cpu_ms_per_order)
        for ours, theirs in zip(of[first], of[other], strict=True)
    ]


def print_against_first(found: Sequence[Measurement], names: Sequence[str], console: Console) -> None:
    """The table that is quoted."""
    table = Table(title=f"As a multiple of {names[0]}: median (all rounds)")
    for column in ("", "orders/s", "CPU per order"):
        table.add_column(column)
    for name in names[1:]:
        rates, costs = zip(*against_first(found, names[0], name), strict=True)
        table.add_row(name, _told(rates), _told(costs))
    console.print(table)


def _told(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({', '.join(f'{value:.2f}' for value in values)})"
