"""One command to many orders, planned and sent by the code of `orderctl bulk`; the receipts are kept in the console's database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

import asyncpg

from contracts.registry import COMMANDS
from contracts.values import CommandData
from messaging.logs import get_logger
from orderctl.bulk.forecast import forecast
from orderctl.bulk.receipts import Receipt, Run, new_run
from orderctl.bulk.run import GIVE_UP_AFTER, Runner, Tally
from orderctl.errors import OrderctlError
from orderctl.http import Apis
from services.console.bulk_store import BulkStore, Meant
from services.console.live import VERDICT_WITHIN_S, Hub

log = get_logger(__name__)

#: A run is about so many orders at most; who has more narrows the filter, or uses `orderctl bulk`.
MOST: Final = 5_000
_MODELS: Final = {kind: model for models in COMMANDS.values() for kind, model in models.items()}
#: A run that another process was at when it ended still says `running`.
_CAN_GO: Final = frozenset({"planned", "running", "stopped", "failed"})
#: Receipts are written together, so often.
TOGETHER_S: Final = 0.3


class Bulks:
    """The runs of this process. Use it as `async with`: what is under way when it ends can be gone on with."""

    def __init__(self, store: BulkStore, apis: Apis, hub: Hub) -> None:
        self.store = store
        self._apis = apis
        self._hub = hub
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runners: dict[str, Runner] = {}
        self._beginning = asyncio.Lock()
        #: How many orders of a run are planned so far.
        self.plans: dict[str, int] = {}

    async def __aenter__(self) -> Bulks:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def active(self, run_id: str) -> bool:
        """Whether this process is at it."""
        return run_id in self._tasks

    async def plan(self, data: CommandData, order_ids: tuple[str, ...], meant: Meant) -> str:
        """A new run, whose plan is being made: nothing is sent. Returns its id."""
        run = new_run(data, order_ids)
        await self.store.add(run, meant)
        self._begin(run.run_id, self._foresee(run, data))
        return run.run_id

    async def plan_anew(self, run_id: str) -> None:
        """Make the plan of a run whose planning did not come to its end."""
        async with self._beginning:
            found = await self.store.find(run_id)
            if found is None or found["plan"] is not None or self.active(run_id):
                return
            run = Run(run_id, found["type"], found["data"], await self.store.order_ids(run_id, left=False))
            await self.store.state(run_id, "planning")
            self._begin(run_id, self._foresee(run, _MODELS[found["type"]].model_validate(found["data"])))

    async def go(self, run_id: str, ended: Callable[[str], Awaitable[None]]) -> bool:
        """Send what has no receipt yet, from the plan or from where it stopped; whether it begins. `ended` is told the outcome."""
        # Pressed twice at once it begins once.
        async with self._beginning:
            found = await self.store.find(run_id)
            if found is None or found["plan"] is None or found["state"] not in _CAN_GO:
                return False
            if found["state"] != "running" and (task := self._tasks.get(run_id)):
                # It has said its last word, and is about to end.
                await asyncio.wait({task}, timeout=1)
            if self.active(run_id):
                return False
            left = await self.store.order_ids(run_id, left=True)
            data = _MODELS[found["type"]].model_validate(found["data"])
            run = Run(run_id, found["type"], found["data"], left)
            await self.store.state(run_id, "running")
            self._begin(run_id, self._send(run, data, float(found["rate_per_s"]), ended))
            return True

    def stop(self, run_id: str) -> None:
        """Begin nothing more; what is under way is heard to its verdict."""
        if (runner := self._runners.get(run_id)) is not None:
            runner.stop()

    def _begin(self, run_id: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._kept(run_id, work))
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run_id, None))

    async def _kept(self, run_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Nobody awaits the task: what ends it is said on the run's page."""
        try:
            await work
        except (OrderctlError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("bulk-failed", error=error)
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self.store.state(run_id, "failed", str(error))
        finally:
            self._runners.pop(run_id, None)
            self.plans.pop(run_id, None)

    async def _foresee(self, run: Run, data: CommandData) -> None:
        self.plans[run.run_id] = 0

        def planned() -> None:
            self.plans[run.run_id] += 1

        commands = [run.command(order_id, data) for order_id in run.order_ids]
        found = await forecast(self._apis, commands, planned)
        await self.store.planned(run.run_id, found.as_json())

    async def _send(
        self, run: Run, data: CommandData, rate_per_s: float, ended: Callable[[str], Awaitable[None]]
    ) -> None:
        receipts: list[Receipt] = []
        runner = Runner(self._hub.client(), rate_per_s, VERDICT_WITHIN_S, receipts.append)
        self._runners[run.run_id] = runner
        writing = asyncio.create_task(self._write(run.run_id, receipts))
        tally, trouble = runner.tally, ""
        try:
            await runner.run(run.command(order_id, data) for order_id in run.order_ids)
        except OrderctlError as error:
            trouble = str(error)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await self._flush(run.run_id, receipts)
        done = tally.receipts == len(run.order_ids)
        told = trouble or ("" if done else _why_not(runner, tally))
        await self.store.state(run.run_id, "done" if done else "failed" if trouble else "stopped", told)
        await ended(in_words(tally, len(run.order_ids)))

    async def _write(self, run_id: str, receipts: list[Receipt]) -> None:
        while True:
            await asyncio.sleep(TOGETHER_S)
            await self._flush(run_id, receipts)

    async def _flush(self, run_id: str, receipts: list[Receipt]) -> None:
        if ready := receipts[:]:
            await self.store.receipts(run_id, ready)
            del receipts[: len(ready)]


def in_words(tally: Tally, orders: int) -> str:
    """What came of a run."""
    left = orders - tally.receipts
    rejected = "".join(f", {count} rejected: {reason}" for reason, count in sorted(tally.rejected.items()))
    return f"{tally.accepted} accepted{rejected}" + (f", {left} left" if left else "")


def _why_not(runner: Runner, tally: Tally) -> str:
    if runner.gave_up:
        return f"{GIVE_UP_AFTER} commands in a row got no verdict; is the orders service running?"
    return f"{len(tally.silent)} got no verdict in time." if tally.silent else "It was stopped."


def filters_in_words(asked: Mapping[str, str]) -> str:
    """How the orders were chosen."""
    words = {
        "q": "id begins with",
        "status": "status",
        "waiting_for": "waits for",
        "reason": "ended because",
        "sku": "SKU",
        "customer": "customer",
        "older": "older than",
    }
    told = [f"{words[name]} {asked[name].strip()}" for name in words if asked.get(name, "").strip()]
    return "; ".join(told) or "all that have not ended"
