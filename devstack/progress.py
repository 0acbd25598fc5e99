"""How long-running work tells what it is doing."""

from __future__ import annotations

from collections.abc import Callable

#: Called with a short line whenever something new begins.
Report = Callable[[str], None]


def silent(line: str) -> None:
    """Tell nobody."""
