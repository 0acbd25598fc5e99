"""Named points at which a test stops this process, in the code that runs in production.

A point costs a comparison until `arm` finds `CRASH_POINTS` in the environment: a folder in which a test leaves what is to happen
next to this service, as `<service>.armed` with a line `POINT KIND NTH NONCE`. The NTH time that the point is reached, the process
claims the file (of several processes one does), writes `<service>.hit` and does it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from messaging.errors import TransientStoreError

Point = Literal[
    "after-fetch",
    "before-begin",
    "after-load",
    "before-commit",
    "after-commit",
    "before-publish",
    "after-publish",
    "after-mark",
    "after-timer-claim",
    "before-effect",
    "after-effect",
    "after-take-over",
]
#: `kill`: SIGKILL; `exception`: one that nobody foresaw; `error`: one that mends itself by trying again; `freeze`: nothing of the
#: process moves for a while.
Kind = Literal["kill", "exception", "error", "freeze"]
POINTS: Final[tuple[Point, ...]] = get_args(Point)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
VARIABLE: Final = "CRASH_POINTS"
#: Of the session timeout: long enough for the group to give the partitions to somebody else.
FREEZE_SESSIONS: Final = 1.5


class CrashPointError(Exception):
    """What a test has happen here, and nobody foresaw."""


def reached(point: Point) -> None:
    """The process is at this point."""
    if _trap is not None:
        _trap.spring(point)


def arm(service: str, session_timeout_ms: int, env: Mapping[str, str] = os.environ) -> None:
    """Look at `CRASH_POINTS`, once, when the process starts."""
    global _trap  # noqa: PLW0603 - the points are all over the runtime, and off
    folder = env.get(VARIABLE)
    _trap = _Trap(Path(folder), service, session_timeout_ms / 1000 * FREEZE_SESSIONS) if folder else None


class _Trap:
    def __init__(self, folder: Path, service: str, freeze_s: float) -> None:
        self._armed = folder / f"{service}.armed"
        self._hit = folder / f"{service}.hit"
        self._freeze_s = freeze_s
        self._line = ""
        self._left = 0

    def spring(self, point: Point) -> None:
        try:
            line = self._armed.read_text()
        except FileNotFoundError:
            return
        wanted, kind, times, _ = line.split()
        if wanted != point:
            return
        if line != self._line:
            self._line, self._left = line, int(times)
        self._left -= 1
        if self._left <= 0 and self._claim():
            self._tell(line, woke=False)
            self._do(kind, line)

    def _claim(self) -> bool:
        try:
            self._armed.rename(self._hit.with_suffix(f".claimed-{os.getpid()}"))
        except FileNotFoundError:
            return False
        return True

    def _tell(self, line: str, woke: bool) -> None:
        claimed = self._hit.with_suffix(f".claimed-{os.getpid()}")
        claimed.write_text(json.dumps({"line": line, "pid": os.getpid(), "at": time.time(), "woke": woke}))
        claimed.rename(self._hit)

    def _do(self, kind: str, line: str) -> None:
        match kind:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "freeze":
                # The one thread that does everything: no heartbeat, no answer, no timer.
                time.sleep(self._freeze_s)
                self._tell(line, woke=True)
            case "error":
                raise TransientStoreError("a test has it so")
            case _:
                raise CrashPointError(line.split(maxsplit=1)[0])


_trap: _Trap | None = None
