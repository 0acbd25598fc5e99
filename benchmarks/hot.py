"""`python -m benchmarks hot`: all orders want the same piece, or are one customer's, against orders of all kinds."""

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

from benchmarks.contenders import CUSTOMERS, SKUS, OnKafka
from benchmarks.durability import require_durable
from benchmarks.measure import Measurement, Run
from benchmarks.place import HOME, Place, place
from benchmarks.report import print_all, write_json
from benchmarks.rounds import Side, take_turns
from benchmarks.run import audit
from devstack.settings import DATABASES

USUAL: Final = f"{SKUS} SKUs, {CUSTOMERS} customers"
ONE_SKU: Final = "all want one SKU"
ONE_CUSTOMER: Final = "one customer has all"
_WARM_UP: Final = Run("warm-up", 1_000, max_open=200, warm_up=True)


def hot(
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = 3,
    orders: Annotated[int, typer.Option(help="Orders of a turn, as fast as possible.")] = 4_000,
    max_open: Annotated[int, typer.Option(help="Unfinished orders at a time.")] = 1_000,
    output: Annotated[Path, typer.Option(help="Where the result goes as JSON.")] = HOME / "results" / "hot.json",
) -> None:
    """Orders of all kinds, orders that all want one SKU, and orders of one customer, in turns: rates as shares of the first."""
    console = Console(stderr=True)
    with place() as at:
        found = uvloop.run(_all(at, rounds, Run("closed", orders, max_open=max_open), console))
        print_all(found, console)
        print_shares(found, console)
        write_json(output, found)
        console.print(f"Written: {output}")


async def _all(at: Place, rounds: int, run: Run, console: Console) -> list[Measurement]:
    await require_durable(at.superuser_dsn, DATABASES)
    fleet = at.services()
    kinds = (OnKafka(USUAL, fleet), OnKafka(ONE_SKU, fleet, skus=1), OnKafka(ONE_CUSTOMER, fleet, customers=1))
    # The audit knows whether anything was sold twice.
    sides = [Side(kind, [_WARM_UP, run], lambda: asyncio.to_thread(audit)) for kind in kinds]
    return await take_turns(sides, rounds, at, console)


def shares(found: Sequence[Measurement], kind: str) -> list[float]:
    """The rate of this kind's orders as a share of the usual ones', round by round."""
    rates = {name: [m.orders_per_s for m in found if m.contender == name] for name in (USUAL, kind)}
    return [rate / usual for rate, usual in zip(rates[kind], rates[USUAL], strict=True)]


def print_shares(found: Sequence[Measurement], console: Console) -> None:
    """The table that is quoted."""
    table = Table(title=f"Orders/s as a share of those with {USUAL}: median (all rounds)")
    table.add_column("orders")
    table.add_column("share")
    for kind in (ONE_SKU, ONE_CUSTOMER):
        each = shares(found, kind)
        table.add_row(kind, f"{statistics.median(each):.2f} ({', '.join(f'{one:.2f}' for one in each)})")
    console.print(table)
