"""Instructions per order, where the machine counts them. The steadiest measure of all; most virtual machines have none."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

_EVENT: Final = "instructions:u"


@asynccontextmanager
async def counted_instructions(pids: Sequence[int]) -> AsyncIterator[list[int]]:
    """Within, the instructions of these processes and of all their threads are counted; after, the list holds the number, or stays
    empty where there is no `perf` or no counter."""
    found: list[int] = []
    if shutil.which("perf") is None:
        yield found
        return
    process = await asyncio.create_subprocess_exec(
        *("perf", "stat", "-x", ",", "-e", _EVENT, "-p", ",".join(map(str, pids))),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield found
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        _, told = await process.communicate()
        count = count_in(told.decode())
        if count is not None:
            found.append(count)


def count_in(told: str) -> int | None:
    """The number in what `perf stat -x ,` says, or None where it says that it did not count."""
    for line in told.splitlines():
        cells = line.split(",")
        if len(cells) > 2 and cells[2].startswith("instructions") and cells[0].isdigit():
            return int(cells[0])
    return None
