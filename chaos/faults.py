"""Does what the plan says, and makes sure that it was really done: each fault comes back with its evidence."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import psutil

from chaos.errors import DidNotHappenError
from chaos.plan import Fault, Kind
from chaos.proxy import Proxy
from chaos.room import Room
from devstack.records import runs

#: So long is waited for somebody whom the fault can meet.
_PATIENCE_S: Final = 90.0
_POLL_S: Final = 0.05
#: Who speaks on no half-open connection for so long may never do so, with its next connections open already.
_SILENT_S: Final = 5.0
_DELAY_S: Final = 0.3


@dataclass(slots=True)
class Done:
    """A fault that happened: from when to when (seconds since 1970), how one knows, and how long after its end the next new
    order was through."""

    fault: Fault
    began_at: float
    over_at: float
    evidence: dict[str, Any] = field(default_factory=dict)
    recovered_s: float | None = None

    def row(self) -> dict[str, Any]:
        """As it stands in the result."""
        return {**asdict(self), **asdict(self.fault)}


class Saboteur:
    """Does faults to a room. Two faults at one target come one after the other."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def perform(self, fault: Fault) -> Done:
        """Do it; returns when it is over. Raises `DidNotHappenError`."""
        does: dict[Kind, Callable[[Fault], Awaitable[Done]]] = {
            Kind.KILL: self._kill,
            Kind.STOP: self._stop,
            Kind.CUT: self._cut,
            Kind.DELAY: self._slow,
            Kind.STALL: self._slow,
            Kind.HALF_OPEN: self._half_open,
            Kind.SWALLOW_PRODUCE: self._swallow,
            Kind.SWALLOW_COMMIT: self._swallow,
        }
        async with self._locks[fault.target]:
            try:
                return await does[fault.kind](fault)
            except psutil.NoSuchProcess as error:
                raise DidNotHappenError(f"{fault.label}: process {error.pid} was gone before") from None

    async def _running(self, name: str) -> psutil.Process:
        found = await self._room.process_ready(name)
        if found.pid is None:
            raise DidNotHappenError(f"{name} does not run: there was nobody to meet")
        return psutil.Process(found.pid)

    async def _kill(self, fault: Fault) -> Done:
        process = await self._running(fault.target)
        began = time.time()
        await asyncio.to_thread(self._room.stack.kill, fault.target)
        if runs(process):
            raise DidNotHappenError(f"{fault.target} (process {process.pid}) outlived kill -9")
        return Done(fault, began, began, {"dead": process.pid})

    async def _stop(self, fault: Fault) -> Done:
        process = await self._running(fault.target)
        began = time.time()
        await asyncio.to_thread(self._room.stack.kill, fault.target, signal.SIGSTOP)
        try:
            await self._until(lambda: process.status() == psutil.STATUS_STOPPED, f"{fault.target} was not stopped")
            await asyncio.sleep(fault.lasts_s)
            if process.status() != psutil.STATUS_STOPPED:
                raise DidNotHappenError(f"{fault.target} did not stay stopped")
        finally:
            await asyncio.to_thread(self._room.stack.kill, fault.target, signal.SIGCONT)
        over = time.time()
        await self._until(lambda: process.status() != psutil.STATUS_STOPPED, f"{fault.target} was not thawed")
        return Done(fault, began, over, {"stopped": process.pid})

    async def _cut(self, fault: Fault) -> Done:
        proxy = await self._in_use(fault.target)
        began = time.time()
        return Done(fault, began, began, {"connections": proxy.cut()})

    async def _half_open(self, fault: Fault) -> Done:
        proxy = await self._in_use(fault.target)
        before, began = proxy.lost_bytes, time.time()
        count, again_at = proxy.half_open(), time.monotonic() + _SILENT_S

        def spoken_into() -> bool:
            # A client that was just starting had only the connection on which it asks where the brokers are, and never speaks
            # there again: then what it has opened since goes half-open, too.
            nonlocal count, again_at
            if proxy.lost_bytes == before and time.monotonic() > again_at:
                count, again_at = count + proxy.half_open(), time.monotonic() + _SILENT_S
            return proxy.lost_bytes > before

        await self._until(spoken_into, f"nobody spoke into the half-open {fault.target}")
        return Done(fault, began, began, {"connections": count, "first_bytes_lost": proxy.lost_bytes - before})

    async def _slow(self, fault: Fault) -> Done:
        proxy = await self._in_use(fault.target)
        before, began = proxy.late_bytes, time.time()
        if fault.kind is Kind.STALL:
            proxy.stall()
        else:
            proxy.delay_s = _DELAY_S
        try:
            await asyncio.sleep(fault.lasts_s)
            await self._until(lambda: proxy.late_bytes > before, f"nothing was held up on {fault.target}")
        finally:
            proxy.release()
        return Done(fault, began, time.time(), {"bytes_held_up": proxy.late_bytes - before})

    async def _swallow(self, fault: Fault) -> Done:
        proxy = self._room.proxies[fault.target]
        began = time.time()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await proxy.swallow()
        except TimeoutError:
            raise DidNotHappenError(f"no answer passed on {fault.target} that could be swallowed") from None
        finally:
            proxy.spare()
        return Done(fault, began, time.time(), {"answers_swallowed": 1})

    async def _in_use(self, target: str) -> Proxy:
        proxy = self._room.proxies[target]
        await self._until(lambda: proxy.connections > 0, f"nobody was connected on {target}")
        return proxy

    async def _until(self, fact: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not fact():
            if time.monotonic() > deadline:
                raise DidNotHappenError(otherwise)
            await asyncio.sleep(_POLL_S)
