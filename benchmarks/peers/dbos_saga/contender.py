"""DBOS Transact as a contender."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.fleet import Fleet
from benchmarks.measure import AllSent, Outcome, Run
from benchmarks.place import Place
from devstack.errors import DevstackError
from devstack.ports import is_free
from devstack.postgres import ensure_databases
from devstack.processes import ProcessSpec
from devstack.settings import CLONE
from orderctl.load.statistics import Histogram

_PYTHON: Final = CLONE / ".venv-dbos" / "bin" / "python"
_SAGA: Final = Path(__file__).with_name("saga.py")
_DATABASE: Final = "dbos"
_ANSWER_BYTES: Final = 2**24


@dataclass(frozen=True, slots=True)
class Dbos:
    """Driven from within its own process."""

    name: str
    fleet: Fleet
    port: int

    async def drive(self, run: Run, all_sent: AllSent | None) -> Outcome:
        """See `Contender.drive`."""
        plan = {
            "orders": run.orders,
            "rate_per_s": run.rate_per_s,
            "max_open": run.max_open,
            "run_id": f"{time.time_ns():x}",
        }
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=_ANSWER_BYTES)
        writer.write(json.dumps(plan).encode() + b"\n")
        told = json.loads(await reader.readline())
        writer.close()
        latency = Histogram()
        for seconds in told["latencies_s"]:
            latency.add(seconds)
        return Outcome(
            completed=latency.count,
            elapsed_s=told["elapsed_s"],
            latency=latency.summary(),
            sending_s=told["sending_s"] if run.rate_per_s else None,
            problem="" if told["held"] == told["paid"] else f"{told['held']} held, but {told['paid']} paid",
        )


async def dbos(at: Place, pool: int) -> Dbos:
    """The contender, provisioned and not started. `pool`: connections to its system database. Raises `DevstackError`."""
    if not os.access(_PYTHON, os.X_OK):
        raise DevstackError("There is no .venv-dbos: `make bench-peers` makes it.")
    await ensure_databases(at.superuser_dsn, [_DATABASE])
    port = next(port for port in range(43_100, 44_000) if is_free(port))
    address = f"127.0.0.1:{port}"
    spec = ProcessSpec(
        name="dbos",
        argv=(str(_PYTHON), str(_SAGA)),
        env={
            "DBOS_DSN": at.stack.settings.own_dsn(_DATABASE, _DATABASE),
            "DBOS_POOL": str(pool),
            "READY_PORT": str(port),
        },
        address=address,
        probe="tcp",
        target=address,
    )
    return Dbos("dbos", Fleet([spec], at.stack.settings.home), port)
