"""Watches `/progress`: for how long a partition stands still although records wait on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any, Final

import aiohttp

LOOK_EVERY_S: Final = 0.25


class Standing:
    """`longest_s` is the longest time that a partition was seen standing, `where` which one; it may have stood for up to `blind_s`
    more, the longest time between two looks. `waiting`: what each service still has to read and to publish.

    It looks from a thread of its own: whoever makes and reads records beside it is busy for seconds on end."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self.longest_s = 0.0
        self.where = ""
        self.blind_s = 0.0
        self.looks = 0
        self.unanswered = 0
        self.waiting: dict[str, int] = {}
        self._urls = urls
        self._moved: dict[tuple[str, int], tuple[Any, float]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look until the end of the block. What goes wrong with it is raised there."""
        over = Event()
        with ThreadPoolExecutor(1) as threads:
            watching = threads.submit(asyncio.run, self._watch(over))
            try:
                yield
            finally:
                over.set()
            watching.result()

    async def _watch(self, over: Event) -> None:
        timeout = aiohttp.ClientTimeout(total=5)
        looked_at = time.monotonic()
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            while not over.is_set():
                await asyncio.gather(*(self._look(session, name, url) for name, url in self._urls.items()))
                self.looks += 1
                self.blind_s = max(self.blind_s, time.monotonic() - looked_at)
                looked_at = time.monotonic()
                await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, session: aiohttp.ClientSession, name: str, url: str) -> None:
        try:
            async with session.get(f"{url}/progress") as response:
                told = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.unanswered += 1
            return
        now, waiting = time.monotonic(), 0
        for partition in told["partitions"]:
            place = name, partition["partition"]
            lag, outbox = partition["lag"], partition["outbox"]["waiting"]
            waiting += outbox + (1 if lag is None else lag)
            stands = partition["offsets"]
            known, since = self._moved.get(place, (None, now))
            if stands != known or not lag:
                self._moved[place] = stands, now
            elif now - since > self.longest_s:
                self.longest_s, self.where = now - since, f"{name}/{place[1]}"
        self.waiting[name] = waiting if told["partitions"] else 1
