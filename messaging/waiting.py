"""Waiting for a fact, with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


async def until(fact: Callable[[], bool], signal: asyncio.Event, timeout_s: float) -> None:
    """Wait until the fact holds, looking whenever the signal comes; give up after the timeout."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not fact():
                signal.clear()
                await signal.wait()
