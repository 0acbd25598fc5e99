"""Waiting for facts that nobody tells: the one place where a test sleeps."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

T = TypeVar("T")


async def until(
    fact: Callable[[], T | Awaitable[T | None] | None],
    what: str | Callable[[], str],
    deadline_s: float = 120,
    every_s: float = 0.05,
) -> T:
    """The first answer that is neither None nor false. Raises `AssertionError` with `what` did not become true in time, also where
    an answer itself does not come."""
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                answer = fact()
                found = await answer if inspect.isawaitable(answer) else answer
                if found is not None and found is not False:
                    return cast(T, found)
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise AssertionError(f"not within {deadline_s:.0f} s: {what if isinstance(what, str) else what()}") from None
