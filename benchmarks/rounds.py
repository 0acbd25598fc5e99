"""`python -m benchmarks peers` (`make bench-peers`): this system and others in turns, in one run; what counts are the ratios."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import OnKafka
from benchmarks.durability import require_durable
from benchmarks.measure import Contender, Measurement, Run, measure
from benchmarks.peers.dbos_saga.contender import dbos
from benchmarks.peers.usual.shop import APART, TOGETHER, check_books, usual
from benchmarks.place import HOME, Place, place
from benchmarks.report import print_all, write_json
from benchmarks.run import audit
from devstack.settings import DATABASES

OURS: Final = "this system"


@dataclass(frozen=True, slots=True)
class Side:
    """A contender with the runs of its turn; `verify` raises `NotMeasuredError` where its books are wrong."""

    contender: Contender
    runs: Sequence[Run]
    verify: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times better this system was, in each round: more orders/s, less CPU per order."""

    peer: str
    orders_per_s: tuple[float, ...]
    cpu_per_order: tuple[float, ...]


def peers(
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = 3,
    orders: Annotated[int, typer.Option(help="Orders of this system's turn.")] = 6_000,
    peer_orders: Annotated[int, typer.Option(help="Orders of a peer's turn.")] = 600,
    max_open: Annotated[int, typer.Option(help="Unfinished orders at a time; for this system.")] = 1_000,
    peer_open: Annotated[int, typer.Option(help="The same for the usual way: more only makes its queue longer.")] = 100,
    together: Annotated[bool, typer.Option(help="The usual way's services share one process.")] = False,
    dbos_pool: Annotated[int, typer.Option(help="DBOS's connections to its system database; 0 leaves it out.")] = 20,
    rate: Annotated[float, typer.Option(help="Also an open loop at this rate, for each.")] = 20.0,
    seconds: Annotated[int, typer.Option(help="Its length.")] = 10,
    output: Annotated[Path, typer.Option(help="Where the result goes as JSON.")] = HOME / "results" / "peers.json",
) -> None:
    """The same order here and elsewhere, in turns. Ratios of orders/s and of CPU per order, with their spread."""
    console = Console(stderr=True)
    paced = [Run(f"open {rate:g}/s", int(rate * seconds), rate)] if rate else []
    with place() as at:

        async def everything() -> list[Measurement]:
            await require_durable(at.superuser_dsn, DATABASES)
            ours = our_side(at, [*paced, Run("closed", orders, max_open=max_open)])
            peer = await usual_side(
                at, [*paced, Run("closed", peer_orders, max_open=peer_open)], TOGETHER if together else APART
            )
            sides = [ours, peer]
            if dbos_pool:
                sides.append(await dbos_side(at, [*paced, Run("closed", peer_orders, max_open=peer_open)], dbos_pool))
            return await take_turns(sides, rounds, at, console)

        found = uvloop.run(everything())
        print_all(found, console)
        ratios = ratios_of(found)
        print_ratios(ratios, console)
        write_json(output, found, ratios=ratios)
        console.print(f"Written: {output}")


def our_side(at: Place, runs: Sequence[Run]) -> Side:
    """This system."""
    warm_up = Run("warm-up", 1_500, max_open=200, warm_up=True)
    return Side(OnKafka(OURS, at.services()), [warm_up, *runs], lambda: asyncio.to_thread(audit))


async def usual_side(at: Place, runs: Sequence[Run], layout: Sequence[Sequence[str]] = APART) -> Side:
    """The usual way, provisioned."""
    warm_up = Run("warm-up", 100, max_open=50, warm_up=True)
    return Side(await usual(at, layout), [warm_up, *runs], lambda: check_books(at))


async def dbos_side(at: Place, runs: Sequence[Run], pool: int) -> Side:
    """DBOS Transact, provisioned. Its books are looked at with each run's answer."""
    warm_up = Run("warm-up", 100, max_open=50, warm_up=True)
    return Side(await dbos(at, pool), [warm_up, *runs], lambda: asyncio.sleep(0))


async def take_turns(sides: Sequence[Side], rounds: int, at: Place, console: Console) -> list[Measurement]:
    """Each side runs alone, one after the other, again and again: what disturbs the machine disturbs all of them."""
    found: list[Measurement] = []
    for turn in range(rounds):
        for side in sides:
            fleet = side.contender.fleet
            await fleet.start()
            try:
                for run in side.runs:
                    console.print(f"round {turn + 1}, {side.contender.name}, {run.name}: {run.orders} orders")
                    measured = await measure(run, side.contender, at)
                    if not run.warm_up:
                        found.append(measured)
                await side.verify()
            finally:
                fleet.stop()
    return found


def ratios_of(found: Sequence[Measurement], run_name: str = "closed") -> list[Ratio]:
    """This system against each other contender, round by round, in the runs of this name."""
    by_name: dict[str, list[Measurement]] = {}
    for m in found:
        if m.run.name == run_name:
            by_name.setdefault(m.contender, []).append(m)
    ours = by_name.pop(OURS)
    return [
        Ratio(
            peer,
            tuple(our.orders_per_s / their.orders_per_s for our, their in zip(ours, theirs, strict=True)),
            tuple(their.cpu_ms_per_order / our.cpu_ms_per_order for our, their in zip(ours, theirs, strict=True)),
        )
        for peer, theirs in by_name.items()
    ]


def print_ratios(ratios: Sequence[Ratio], console: Console) -> None:
    """The table that is quoted."""
    table = Table(title="This system against the others, closed loop: median (all rounds)")
    for column in ("against", "orders/s, times", "CPU per order, times less"):
        table.add_column(column)
    for ratio in ratios:
        table.add_row(ratio.peer, _told(ratio.orders_per_s), _told(ratio.cpu_per_order))
    console.print(table)


def _told(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({', '.join(f'{value:.1f}' for value in values)})"
