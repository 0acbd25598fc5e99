"""A process comes to grief at every crash point in turn, on the real broker and database, and a tally that is idempotent in nothing
stays exact."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tally import MIGRATIONS
from tally_hosts import Fleet, new_fleet
from tally_real import real_world
from test_messaging_host import ALL_KEYS
from waiting import until

from messaging.crash_points import POINTS, VARIABLE, Kind, Point

#: The slowest thing here is a process that starts.
PATIENCE_S = 180.0


@pytest.fixture
async def fleet(kafka: str, new_database: Any) -> AsyncIterator[Fleet]:
    dsn = await new_database(MIGRATIONS)
    async with real_world(kafka, dsn, locking=False) as world, new_fleet(world, kafka, dsn) as found:
        yield found


class Victim:
    """A process that is started again when it has died, and what was asked of it."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.folder = fleet, folder
        self.rounds = 0
        self._process: asyncio.subprocess.Process | None = None

    async def alive(self) -> None:
        if self._process is None or self._process.returncode is not None:
            env = {VARIABLE: str(self.folder), "TALLY_EFFECT_S": "0.02", "LOG_LEVEL": "ERROR"}
            env["KAFKA_GROUP_INSTANCE_ID"] = self.fleet.queue
            self._process = await self.fleet.process(**env)

    async def dead(self) -> None:
        """Killed, if it was not dead yet: the next one takes over."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def load(self) -> None:
        """One more for every key, with a timer that is due soon and an effect."""
        self.rounds += 1
        due = (datetime.now(UTC) + timedelta(seconds=0.1)).isoformat()
        words = f"add timer=t{self.rounds}@{due} effect=KEY-{self.rounds}"
        for key in ALL_KEYS:
            await self.fleet.add(key, 1, words.replace("KEY", key))

    async def hit(self, point: Point, kind: Kind) -> dict[str, Any]:
        """Have it come to grief there."""
        line = f"{point} {kind} 1 {time.monotonic()}"
        (self.folder / "inventory.armed").write_text(line)
        if point == "after-take-over":
            await self.dead()
        for _ in count():
            await self.alive()
            await self.load()
            found = self._hit(line)
            try:
                await until(lambda: self._hit(line) is not None, f"{point} is hit", deadline_s=2)
            except AssertionError:
                assert self.rounds < 200, f"{point} is not reached"
                continue
            found = self._hit(line)
            assert found is not None
            return found
        raise AssertionError

    def _hit(self, line: str) -> dict[str, Any] | None:
        path = self.folder / "inventory.hit"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"line": ""}
        return found if found["line"] == line else None


@pytest.mark.proof
@pytest.mark.parametrize("kind", ["kill", "exception", "error"])
async def test_a_process_that_comes_to_grief_at_any_point_loses_and_repeats_nothing(
    fleet: Fleet, tmp_path: Path, kind: Kind
) -> None:
    victim = Victim(fleet, tmp_path)
    await victim.alive()
    for point in POINTS:
        told = await victim.hit(point, kind)
        if kind == "kill":
            await until(lambda: fleet.processes[-1].returncode == -9, f"dead at {point}: {told}", deadline_s=60)

    async def exact() -> bool:
        await victim.alive()
        return await fleet.totals() == dict.fromkeys(ALL_KEYS, victim.rounds)

    await until(exact, "every total is exact", deadline_s=PATIENCE_S)
    for key in ALL_KEYS:

        async def all_said(key: str = key) -> bool:
            await victim.alive()
            return len(await fleet.said(key)) >= 3 * victim.rounds

        await until(all_said, f"{key}: adds, timers and effects are told", deadline_s=PATIENCE_S)
        lines = await fleet.said(key)
        assert [_total(line) for line in lines if " m" in line] == list(range(1, victim.rounds + 1))
        others = Counter(line.split(" -> ")[0].rsplit(" ", 1)[0] for line in lines if " m" not in line)
        assert set(others.values()) == {1}, "each timer and each effect told once"


def _total(line: str) -> int:
    return int(line.rpartition(" ")[2])
