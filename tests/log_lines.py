"""Log lines as a process would write them, kept for a test to look at."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from messaging import logs


class Kept(logging.Handler):
    """Keeps the lines as the formatter makes them."""

    def __init__(self, format_: logs.Format) -> None:
        super().__init__()
        self.setFormatter(logs.formatter(format_, "orders", "order-worker-1"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def kept(format_: logs.Format, logger: str | None = None) -> Iterator[list[str]]:
    """Everything that is logged meanwhile, by everybody or by one logger and those below it, from debug on."""
    found, handler = logging.getLogger(logger), Kept(format_)
    level = found.level
    found.addHandler(handler)
    found.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        found.removeHandler(handler)
        found.setLevel(level)
