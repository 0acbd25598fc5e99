"""Faults staged under a real Prometheus: each fires the alerts that it should and no other, and what is soon over fires none."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import psutil
import pytest
from waiting import until

from e2e.prometheus import BINARY, WITHOUT, Prometheus, beside
from e2e.shop import Shop
from e2e.stack import Stack

#: Each alert's `for` here, longer than a restart takes. The conditions are the real ones.
FOR_S: Final = 45
#: Some conditions look back for a minute before they are true.
FIRES_WITHIN_S: Final = 240.0
Alerts = set[tuple[str, str]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason=WITHOUT),
    pytest.mark.not_in_containers("processes of this machine are stopped"),
]


@dataclass(frozen=True, slots=True)
class Watched:
    """A stack that works, and a Prometheus that looks at all of it each second."""

    stack: Stack
    shop: Shop
    prometheus: Prometheus

    async def told(self, expected: Alerts) -> None:
        """Wait until these alerts fire."""

        async def all_fire() -> bool:
            return await self.prometheus.firing() >= expected

        await until(all_fire, f"{sorted(expected)} fire", FIRES_WITHIN_S, every_s=1)

    async def quiet(self) -> None:
        """Wait until none does."""
        await until(self._quiet, "all is quiet again", FIRES_WITHIN_S, every_s=1)

    async def _quiet(self) -> bool:
        return await self.prometheus.firing() == set()

    async def pending_is_over(self) -> None:
        """Wait as long as what is pending now takes to fire."""
        await passed(FOR_S)

    def freezer(self, name: str) -> Callable[[], AbstractContextManager[None]]:
        """What freezes a process and all that it has started, at once: they neither run nor end for as long as it lasts."""
        (pid,) = (one["pid"] for one in self.stack.status()["processes"] if one["name"] == name)
        return partial(frozen, psutil.Process(pid))


@contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    processes = [process, *process.children(recursive=True)]
    try:
        for one in processes:
            one.suspend()
        yield
    finally:
        for one in processes:
            one.resume()


async def passed(seconds: float) -> None:
    """Wait until so much time has passed."""
    over = time.monotonic() + seconds
    await until(lambda: time.monotonic() > over, "time passes", seconds + 60, every_s=1)


@asynccontextmanager
async def watched(folder: Path, for_s: int = FOR_S, rate: str = "0") -> AsyncIterator[Watched]:
    stack = Stack("staged-faults", PAYMENT_FAILURE_RATE=rate)
    place = stack.up()
    try:
        async with beside(place, folder, for_s) as prometheus, Shop(place) as shop:
            yield Watched(stack, shop, prometheus)
    finally:
        stack.down(wipe=True)


@pytest.mark.proof
async def test_what_is_killed_wakes_nobody_and_a_frozen_service_is_told_of_by_its_two_alerts_alone(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as found:
        shop, stack = found.shop, found.stack
        sku = await shop.shelf(100)
        await shop.buy({sku: 1})
        began = time.time()

        # Killed: it is started again, and nobody is woken for that. (The broker's restart can take longer than `FOR_S`.)
        for name in ("orders", "payment", "postgres"):
            await stack.kill(name)
            await stack.wait_ready()
            await shop.buy({sku: 1})
        await found.pending_is_over()
        assert await found.prometheus.fired_since(began) == set()

        # Frozen, while an order waits for it: it does not answer, and its partition stands still.
        expected = {("ProcessDown", "payment"), ("LagWithoutProgress", "payment")}
        waiting = await shop.held({sku: 1})
        began = time.time()
        with found.freezer("payment")():
            await shop.approve(waiting)
            await found.told(expected)
        await shop.ended(waiting)
        await found.quiet()
        assert await found.prometheus.fired_since(began) == expected
