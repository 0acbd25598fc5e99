"""`python -m benchmarks client`: how fast `orderctl` itself is. Nobody answers: only the client and the broker run."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console

from benchmarks.place import HOME, place
from messaging.ports import Wire
from orderctl.client import utc_now
from orderctl.command import wire_of
from orderctl.commands.import_ import Naming, order_scripts, plan_of, setup_commands
from orderctl.events import RawRecord
from orderctl.importer import SAMPLE
from orderctl.load import LoadPlan, Target, run_load
from orderctl.load.engine import Engine, Pace
from orderctl.load.record import Recorder
from orderctl.load.run import kafka_transport
from orderctl.transport import Transport

_UNLIMITED: Final = 10_000_000
_NO_WAIT_S: Final = 0.01
_BATCH: Final = 500


@dataclass(slots=True)
class Timed:
    """A transport that remembers when it last sent: wall clock and this process's CPU."""

    way: Transport
    last: float = 0.0
    last_cpu: float = 0.0
    records: int = 0

    async def listen(self, topics: Sequence[str]) -> None:
        """See `Transport`. The run begins after it."""
        await self.way.listen(topics)

    async def read(self, timeout_s: float) -> Sequence[RawRecord]:
        """See `Transport`."""
        return await self.way.read(timeout_s)

    async def read_all(self, topics: Sequence[str]) -> Sequence[RawRecord]:
        """See `Transport`."""
        return await self.way.read_all(topics)

    async def partitions_of(self, topic: str) -> int:
        """See `Transport`."""
        return await self.way.partitions_of(topic)

    async def publish(self, wires: Sequence[Wire], give_up_after_s: float) -> None:
        """See `Transport`."""
        await self.way.publish(wires, give_up_after_s)
        self.records += len(wires)
        self.last, self.last_cpu = time.perf_counter(), time.process_time()

    async def close(self) -> None:
        """See `Transport`."""
        await self.way.close()


@dataclass(frozen=True, slots=True)
class Speed:
    """`items` in so many seconds, of which this process worked `cpu_s`."""

    items: int
    elapsed_s: float
    cpu_s: float

    def told(self, what: str) -> str:
        """For people."""
        return (
            f"{self.items} {what} in {self.elapsed_s:.2f} s: {self.items / self.elapsed_s:,.0f}/s; "
            f"{self.cpu_s / self.items * 1e6:.1f} us of CPU each, {self.items / self.cpu_s:,.0f}/s on one core"
        )


def client(
    orders: Annotated[int, typer.Option(help="Orders that `load` sends, of two commands each.")] = 20_000,
    rows: Annotated[int, typer.Option(help="Rows that `import` sends.")] = 200_000,
    file: Annotated[Path, typer.Option(help="Invoice lines, repeated until there are so many.")] = SAMPLE,
    times: Annotated[int, typer.Option(help="How often each is done; the first warms the broker.")] = 3,
) -> None:
    """Commands per second that `orderctl load` sends, and rows per second that `orderctl import` reads, plans and sends."""
    console = Console(stderr=True)
    with place() as at:
        target = Target(at.stack.settings.bootstrap)
        long_file = repeated(file, rows, HOME / "rows.csv")
        for _ in range(times):
            console.print("load:   " + uvloop.run(load_speed(target, orders)).told("commands"))
        for _ in range(times):
            console.print("import: " + uvloop.run(import_speed(target, long_file, rows)).told("rows"))


async def load_speed(target: Target, orders: int) -> Speed:
    """As `orderctl load` without a rate, with any number of orders open; all commands are acknowledged by the broker."""
    way = kafka_transport(target)
    timed = Timed(way)
    plan = LoadPlan(
        run_id=f"client-{time.time_ns():x}",
        orders=orders,
        max_open=_UNLIMITED,
        setup=False,
        timeout_s=_NO_WAIT_S,
        target=target,
    )
    await way.partitions_of("orders.commands.v1")  # connected: that is not what is measured
    began, began_cpu = time.perf_counter(), time.process_time()
    await run_load(plan, transport=timed)
    return Speed(timed.records, timed.last - began, timed.last_cpu - began_cpu)


async def import_speed(target: Target, file: Path, rows: int) -> Speed:
    """As `orderctl import` with any number of orders open, from opening the file to the last acknowledgement."""
    timed = Timed(kafka_transport(target))
    await timed.partitions_of("orders.commands.v1")
    began, began_cpu = time.perf_counter(), time.process_time()
    plan, naming = plan_of(file), Naming(f"{time.time_ns():016x}"[-16:])
    setup = setup_commands(plan, naming)
    for start in range(0, len(setup), _BATCH):
        batch = setup[start : start + _BATCH]
        now = utc_now()
        wires = [wire_of(command, await timed.partitions_of(command.topic), now) for command in batch]
        await timed.publish(wires, 30)
    with Recorder(None) as recorder:
        pace = Pace(False, _UNLIMITED, _NO_WAIT_S, 30)
        await Engine(timed, len(plan.orders), pace, recorder).run(order_scripts(plan, naming, approve=True))
    await timed.close()
    return Speed(rows, timed.last - began, timed.last_cpu - began_cpu)


def repeated(source: Path, rows: int, target: Path) -> Path:
    """A file of so many rows: the source's good ones again and again, with other invoice numbers each time."""
    names, *lines = csv.reader(source.read_text(encoding="utf-8-sig").splitlines())
    place = names.index("InvoiceNo")
    good = [cells for cells in lines if len(cells) == len(names)]
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for number in range(rows):
            turn, line = divmod(number, len(good))
            cells = list(good[line])
            cells[place] = f"{cells[place]}-{turn}"
            writer.writerow(cells)
    return target
