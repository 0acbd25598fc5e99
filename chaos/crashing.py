"""Has services come to grief at their crash points, cell by cell, and makes sure that they did."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from chaos.cells import FREEZE, Cell
from chaos.errors import DidNotHappenError
from chaos.provoke import broken_word, letters
from chaos.round import Scene
from chaos.sender import Since
from devstack.errors import DevstackError
from devstack.records import runs

#: A point that is not reached within so long under load counts as not hit.
_HIT_DEADLINE_S: Final = 90.0
_DEATH_DEADLINE_S: Final = 10.0
RECOVERY_DEADLINE_S: Final = 90.0
_POLL_S: Final = 0.02
_SMTP: Final = "smtp-sink"


@dataclass(slots=True)
class Hit:
    """A cell that was hit: when, which process, and how long after it the next new order was through."""

    cell: Cell
    at: float
    pid: int
    recovered_s: float | None = None

    def row(self) -> dict[str, Any]:
        """As it stands in the result."""
        return {**asdict(self.cell), "at": self.at, "pid": self.pid, "recovered_s": self.recovered_s}


async def crash(scene: Scene, cells: Sequence[Cell], folder: Path, hits: list[Hit], at_once: int) -> None:
    """Every cell in turn, `at_once` services at a time; one that is not hit makes the run invalid."""
    room_for, began = asyncio.Semaphore(at_once), time.monotonic()

    async def one(service: str) -> None:
        for number, cell in enumerate(cell for cell in cells if cell.service == service):
            async with room_for:
                try:
                    hits.append(await _Cell(scene, cell, folder, f"{service}-{number}").play())
                    scene.say(f"[{time.monotonic() - began:5.1f} s] {len(hits)}/{len(cells)}: {cell.label}")
                except DidNotHappenError as error:
                    scene.verdict.invalid.append(f"{cell.label}: {error}")
                    scene.say(f"INVALID: {cell.label}: {error}")

    await asyncio.gather(*(one(service) for service in dict.fromkeys(cell.service for cell in cells)))


class _Cell:
    def __init__(self, scene: Scene, cell: Cell, folder: Path, nonce: str) -> None:
        self._scene = scene
        self._cell = cell
        self._armed = folder / f"{cell.service}.armed"
        self._hit = folder / f"{cell.service}.hit"
        self._line = f"{cell.point} {cell.kind} {cell.nth} {nonce}"

    async def play(self) -> Hit:
        """Arm it, wait until it was hit and had its effect, and until orders go through again."""
        self._hit.unlink(missing_ok=True)
        making = self._armed.with_suffix(".making")
        making.write_text(self._line)
        making.rename(self._armed)
        try:
            async with self._provoked():
                await self._until(self._was_hit, f"{self._cell.point} was not reached", _HIT_DEADLINE_S)
        finally:
            self._armed.unlink(missing_ok=True)
        found = self._read()
        hit = Hit(self._cell, found["at"], found["pid"])
        if self._cell.kind == "kill":
            process = hit.pid
            await self._until(lambda: not _runs(process), f"process {process} did not die", _DEATH_DEADLINE_S)
        if self._cell.kind == FREEZE:
            await self._until(lambda: bool(self._read()["woke"]), "it never woke", _DEATH_DEADLINE_S * 3)
            hit.at = self._read()["at"]
        await self._recovered(hit)
        return hit

    @asynccontextmanager
    async def _provoked(self) -> AsyncIterator[None]:
        """Points that a calm service does not pass are brought about."""
        stack, cell = self._scene.room.stack, self._cell
        if cell.point == "after-take-over":
            await self._scene.room.process_ready(cell.service)
            await asyncio.to_thread(stack.kill, cell.service)
        nonce = self._line.split()[-1]
        match cell.service, cell.point:
            case "payment", "after-timer-claim":
                async with _meanwhile(broken_word(self._scene.room, nonce)):
                    yield
            case "notification", "before-publish" | "after-publish" | "after-mark":
                async with _meanwhile(letters(self._scene.room, nonce, self._scene.verdict.broken)):
                    yield
            case "notification", "after-timer-claim":
                # No mail can be sent: it is tried again by a timer.
                await asyncio.to_thread(stack.kill, _SMTP, signal.SIGSTOP)
                try:
                    yield
                finally:
                    await asyncio.to_thread(stack.kill, _SMTP, signal.SIGCONT)
            case _:
                yield

    async def _recovered(self, hit: Hit) -> None:
        recovery = Since(hit.at)
        self._scene.sender.follower.recovery_of(recovery)
        deadline = time.monotonic() + RECOVERY_DEADLINE_S
        while recovery.recovered_s is None:
            if time.monotonic() > deadline:
                self._scene.verdict.violations.append(
                    f"no new order was through {RECOVERY_DEADLINE_S:.0f} s after {self._cell.label}"
                )
                return
            await asyncio.sleep(_POLL_S)
        hit.recovered_s = recovery.recovered_s
        try:
            await self._scene.room.process_ready(self._cell.service)
        except DevstackError as error:
            self._scene.verdict.violations.append(f"{self._cell.label}: {error}")

    def _was_hit(self) -> bool:
        return self._hit.exists() and self._read()["line"] == self._line

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._hit.read_text())
        return found

    async def _until(self, fact: Callable[[], bool], otherwise: str, deadline_s: float) -> None:
        deadline = time.monotonic() + deadline_s
        while not fact():
            if time.monotonic() > deadline:
                raise DidNotHappenError(otherwise)
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def _meanwhile(doing: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Until the end of what is inside; what was not reached because this failed is told with the reason."""
    task = asyncio.create_task(doing)
    try:
        yield
    except DidNotHappenError as error:
        if task.done() and not task.cancelled() and (failure := task.exception()) is not None:
            raise DidNotHappenError(f"{error}; it could not be brought about: {failure!r}") from failure
        raise
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _runs(pid: int) -> bool:
    try:
        return runs(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False
