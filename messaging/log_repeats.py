"""Lines that a library repeats: while a broker is away, each client of a process tells of each attempt to reach it, forty times a
second in all. That hides what matters, and costs as much as the attempts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection


class OnceInAWhile(logging.Filter):
    """Of the lines of these `libraries` that differ in their arguments alone, lets one through in `every_s` seconds. It tells how
    many were left out since the last."""

    def __init__(
        self, libraries: Collection[str], every_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._libraries = frozenset(libraries)
        self._every_s = every_s
        self._clock = clock
        self._told_at: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        if record.name.partition(".")[0] not in self._libraries or not isinstance(record.msg, str):
            return True
        # A library's formats are few; what it has formatted itself is cut, or each line would be remembered.
        line = (record.name, record.msg[:40])
        now = self._clock()
        if now - self._told_at.get(line, -self._every_s) < self._every_s:
            self._left_out[line] = self._left_out.get(line, 0) + 1
            return False
        self._told_at[line] = now
        left_out = self._left_out.pop(line, 0)
        if left_out:
            record.msg = f"{record.msg} ({left_out} more like it since the last)"
        return True
