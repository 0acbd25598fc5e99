"""The load: `orderctl load` as a program of its own, run after run until it is enough, and what its records say."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from chaos.errors import ChaosError
from devstack.settings import CLONE

START: Final = "orders.start-order.v1"
_POLL_S: Final = 0.1
#: The last run's orders may take so long to end.
_REST_S: Final = 240
#: Unapproved orders end by themselves after this.
APPROVAL_TIMEOUT_S: Final = 20
#: So long before a run has sent its last order the next one is started.
_OVERLAP_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Mix:
    """What is sent: the rate, and the shares of orders that are cancelled, declined, and approved by nobody."""

    rate_per_s: float
    cancelled: float = 0.12
    declined: float = 0.08
    unapproved: float = 0.06

    @property
    def shares(self) -> dict[str, float]:
        """By the ends that they lead to, as results name them."""
        return {
            "cancelled:customer-request": self.cancelled,
            "failed:payment-declined": self.declined,
            "cancelled:approval-timeout": self.unapproved,
        }


class Recovery(Protocol):
    """What is recovered from: from when on (seconds since 1970), and after how long the first order was through."""

    over_at: float
    recovered_s: float | None


@dataclass(slots=True)
class Since:
    """The plainest one."""

    over_at: float
    recovered_s: float | None = None


class Follower:
    """Reads the records while they grow: when orders were sent and when they were through."""

    def __init__(self) -> None:
        self.sent = 0
        self.first_sent_at = self.last_sent_at = 0.0
        self.outcomes: Counter[str] = Counter()
        self._files: dict[Path, BinaryIO] = {}
        self._partial: dict[Path, bytes] = {}
        self._open: dict[str, float] = {}
        self._waiting: list[Recovery] = []

    def follow(self, path: Path) -> None:
        """Read this record too."""
        path.touch()
        self._files[path] = path.open("rb")
        self._partial[path] = b""

    def recovery_of(self, done: Recovery) -> None:
        """Note there when the first order is through that was sent after its end."""
        self._waiting.append(done)

    @property
    def unfinished(self) -> int:
        """How many orders were sent and have not ended."""
        return len(self._open)

    @property
    def waiting(self) -> bool:
        """Whether a fault has not been recovered from."""
        return bool(self._waiting)

    def look(self) -> None:
        """Read what is new."""
        for path, file in self._files.items():
            *lines, self._partial[path] = (self._partial[path] + file.read()).split(b"\n")
            for line in lines:
                self._note(json.loads(line))

    def _note(self, line: dict[str, Any]) -> None:
        if line["kind"] == "command" and line["type"] == START:
            self.sent += 1
            self.last_sent_at = self._open[line["key"]] = _seconds(line["at"])
            self.first_sent_at = self.first_sent_at or self.last_sent_at
        elif line["kind"] == "outcome":
            self.outcomes[line["outcome"]] += 1
            sent_at = self._open.pop(line["key"], None)
            if line["outcome"] == "completed" and sent_at is not None:
                self._completed(sent_at, _seconds(line["at"]))

    def _completed(self, sent_at: float, at: float) -> None:
        for done in [done for done in self._waiting if done.over_at <= sent_at]:
            done.recovered_s = round(at - done.over_at, 3)
            self._waiting.remove(done)

    @property
    def rate_per_s(self) -> float:
        """Orders sent per second, from the first to the last one."""
        span_s = self.last_sent_at - self.first_sent_at
        return (self.sent - 1) / span_s if self.sent > 1 and span_s > 0 else 0.0


class Sender:
    """The runs, one overlapping the next, so that there is always load."""

    def __init__(self, mix: Mix, seed: int, folder: Path, env: Mapping[str, str]) -> None:
        self.follower = Follower()
        self.records: list[Path] = []
        self.results: list[dict[str, Any]] = []
        self._mix = mix
        self._seed = seed
        self._folder = folder
        self._env = {**env, "ORDERCTL_CONNECT_TIMEOUT_S": "120"}
        self._enough = False
        #: Orders of all runs that were begun, sent or not.
        self._asked_for = 0
        self._ends: list[asyncio.Task[None]] = []

    def ends(self) -> Counter[str]:
        """How orders ended, and why, over all runs that have come to their end."""
        found: Counter[str] = Counter()
        for result in self.results:
            found["completed"] += result["outcomes"]["completed"]
            found.update(result["reasons"])
        return found

    def stop(self) -> None:
        """No further run is begun."""
        self._enough = True

    async def run(self, first_s: float, later_s: float) -> None:
        """Send until `stop`, the first run for `first_s`, each later one for `later_s`; returns when every order has ended.
        Raises `ChaosError` where some have not."""
        looking = asyncio.create_task(self._look())
        try:
            length_s = first_s
            while not self._enough:
                await self._start(max(1, round(self._mix.rate_per_s * length_s)))
                length_s = later_s
            await asyncio.gather(*self._ends)
            self.follower.look()
        finally:
            looking.cancel()
            for end in self._ends:
                end.cancel()
            await asyncio.gather(looking, *self._ends, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            self.follower.look()
            await asyncio.sleep(_POLL_S)

    async def _start(self, orders: int) -> None:
        """One more run; returns when it has sent almost all of its orders."""
        number = len(self.records)
        record = self._folder / f"record-{number}.jsonl"
        self.records.append(record)
        self.follower.follow(record)
        mix = self._mix
        argv = (
            *(sys.executable, "-m", "orderctl", "load", "--json", "--orders", str(orders)),
            *("--rate", str(mix.rate_per_s), "--seed", str(self._seed * 1_000 + number), "--record", str(record)),
            *("--cancel-rate", str(mix.cancelled), "--decline-rate", str(mix.declined)),
            *("--unapproved-rate", str(mix.unapproved), "--approval-timeout", str(APPROVAL_TIMEOUT_S)),
            *("--timeout", str(_REST_S), "--retry", "300"),
        )
        # What the run before it has still to send does not count as this one's: the overlaps would add up.
        self._asked_for += orders
        wanted = self._asked_for - round(mix.rate_per_s * _OVERLAP_S)
        end = asyncio.create_task(self._to_its_end(argv, self._folder / f"load-{number}.log"))
        self._ends.append(end)
        while self.follower.sent < wanted and not end.done():  # noqa: ASYNC110 - the fact is in a file
            await asyncio.sleep(_POLL_S)
        if end.done():
            end.result()

    async def _to_its_end(self, argv: tuple[str, ...], log: Path) -> None:
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *argv, cwd=CLONE, env=self._env, stdout=asyncio.subprocess.PIPE, stderr=errors
            )
            try:
                output, _ = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
        if output.strip():
            self.results.append(json.loads(output))
        if process.returncode:
            raise ChaosError(f"the sender ended with {process.returncode}, see {log}: {output.decode()[:2000]}")


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
