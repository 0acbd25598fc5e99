"""Plays a script, looks after every step whether a promise is broken, lets everything come to rest, and judges it all."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Final

from simulation.campaign.faults import Faults
from simulation.campaign.judge import Judge
from simulation.campaign.letters import Letters
from simulation.campaign.script import Entry, Script
from simulation.campaign.words import WORDS
from simulation.parts import SERVICES
from simulation.process import Lane
from simulation.schedule import COARSE, FINE, Shuffled
from simulation.system import System

#: What happens at one moment happens in so many steps, or it never ends.
MOST_STEPS: Final = 20_000
#: As in production.
TIDY_EVERY: Final = timedelta(seconds=1)
#: Without faults an order has ended after some of these, and what people have to do they do between one and the next.
ROUND: Final = timedelta(hours=2)
MOST_ROUNDS: Final = 20


class BrokenPromiseError(Exception):
    """Promises are broken, told in words; each is told behind the name of its rule."""

    def __init__(self, told: list[str]) -> None:
        super().__init__("\n".join(told))
        self.told = told


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a script. `broken` is empty where every promise held; each is `rule: what is wrong`. `trace` is the hash of
    everything that happened, in order, and of every record."""

    seed: int
    orders: int
    steps: int
    records: int
    happened: Counter[str]
    broken: tuple[str, ...]
    trace: str

    @property
    def rules(self) -> frozenset[str]:
        """The rules that are broken."""
        return frozenset(told.split(":", 1)[0] for told in self.broken)


class Run:
    """A script being played."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.faults = Faults(script)
        self.scheduler = Shuffled(script.seed, COARSE if script.coarse else FINE, together=script.together)
        self.system = System(
            partitions=script.partitions,
            payment_failure_rate=script.failure_rate,
            scheduler=self.scheduler,
            outside=self.faults.outside(),
        )
        self.faults.system = self.system
        self.judge = Judge(self.system, self.faults)
        self.letters = Letters(self.system)
        #: Services that are down on purpose.
        self.down: set[str] = set()
        #: Whether any process's clock was ever wrong.
        self.skewed = bool(script.ahead)
        self._pace = Random(f"pace {script.seed}")  # noqa: S311 - it must repeat, that is all
        self._steps = 0
        self._tidy_at = self.system.now
        self._later: list[tuple[int, Callable[[], None]]] = []

    # --- going on -----------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Let one thing happen, and judge what it touched. Returns whether anything could happen."""
        self._steps += 1
        while self._later and self._later[0][0] <= self._steps:
            self._later.pop(0)[1]()
        going = self.system.step()
        found = self.judge.look()
        if found:
            raise BrokenPromiseError(found)
        return going

    def after(self, steps: int, do: Callable[[], None]) -> None:
        """Do this when so many steps have been made."""
        self._later.append((self._steps + steps, do))
        self._later.sort(key=lambda one: one[0])

    def steps(self, count: int) -> None:
        """So much happens."""
        for _ in range(count):
            if not self.step():
                return

    def pass_time(self, seconds: float) -> None:
        """Time passes, whether everybody has done what there was to do or not."""
        end = self.system.now + timedelta(seconds=seconds)
        while True:
            self.steps(self._pace.choice((0, 3, 8, 20)))
            at = self.next_at()
            if at is None or at >= end:
                break
            self.move_to(at)
        self.move_to(end)

    def next_at(self) -> datetime | None:
        """When something happens by time alone."""
        moments = [at for at in (self.system.next_at(), self.faults.ledger.next_late()) if at is not None]
        return min(moments, default=None)

    def move_to(self, at: datetime) -> None:
        """It is later now."""
        self.system.clock.move_to(max(at, self.system.now))
        self.faults.ledger.arrive(self.system.now)
        if self.system.now >= self._tidy_at:
            self._tidy_at = self.system.now + TIDY_EVERY
            self.system.tidy()

    def lanes(self, service: str) -> list[Lane]:
        """The partitions of all processes of a service."""
        return [lane for process in self.system.processes if process.service == service for lane in process.lanes]

    def revive(self) -> None:
        """Whoever died by accident is started again, as a supervisor does."""
        for service in SERVICES:
            if service not in self.down:
                self.system.up(service)

    # --- the two phases -----------------------------------------------------------------------------------------------

    def play(self) -> Result:
        """Both phases, and what came of them."""
        broken: list[str] = []
        try:
            for entry in self.script.entries:
                self.revive()
                self._do(entry)
            self.rest()
            broken = self.judge.in_the_end()
        except BrokenPromiseError as error:
            broken = error.told
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the script has found, with its seed and its script
            where = traceback.extract_tb(error.__traceback__)[-1]
            broken = [f"{type(error).__name__}: {error} ({where.name}, {Path(where.filename).name} {where.lineno})"]
        return Result(
            seed=self.script.seed,
            orders=len(self.system.parts.orders.states),
            steps=self._steps,
            records=len(self.system.broker.journal),
            happened=Counter({kind: times for kind, times in sorted(self.faults.tally.items()) if times}),
            broken=tuple(broken),
            trace=self._hash(),
        )

    def _do(self, entry: Entry) -> None:
        word, *arguments = entry
        WORDS[word](self, *arguments)

    def rest(self) -> None:
        """Nothing goes wrong any more: everything must come to rest."""
        for _, do in self._later:
            do()
        self._later.clear()
        self.down.clear()
        WORDS["cure"](self)
        if self.faults.old:
            WORDS["deploy"](self)
        self.faults.end()
        for process in self.system.processes:
            process.ahead = timedelta()
        self.system.mailbox.away = False
        for _ in range(MOST_ROUNDS):
            at_rest = self._settles()
            if not self._help() and at_rest:
                return
        raise BrokenPromiseError([f"everything-comes-to-rest: {self._open()} after {MOST_ROUNDS} rounds"])

    def _settles(self) -> bool:
        """Let time pass, some hours of it at most. Returns whether nothing is left to happen by itself."""
        end = self.system.now + ROUND
        while True:
            self.revive()
            for _ in range(MOST_STEPS):
                if not self.step():
                    break
            else:
                raise BrokenPromiseError([f"everything-comes-to-rest: it goes on with {self.system.trace[-1]}"])
            self.system.tidy()
            at = self.next_at()
            if at is None:
                return True
            self.move_to(min(at, end))
            if at > end:
                return False

    def _help(self) -> bool:
        """What people do about orders and letters that wait for them. Returns whether there was anything to do."""
        helped = self.letters.redrive(self.faults, 1000, blocking=True)
        for order in self.system.orders():
            if order["paused"]:
                verb, extra = "orders.resume-order.v1", {}
            elif order["status"] == "NEEDS_ATTENTION":
                verb, extra = "orders.resolve-attention.v1", {"resolution": "retry"}
            else:
                continue
            data = {"operator": "op", "reason": "help", **extra}
            WORDS["say"](self, order["order_id"], verb, data, f"help-{self._steps}", "desk")
            helped = True
        return helped

    def _open(self) -> str:
        ended = ("COMPLETED", "CANCELLED", "FAILED")
        found = [f"{o['order_id']} {o['status']}" for o in self.system.orders() if o["status"] not in ended]
        return ", ".join(found) or "no order is open, and still something waits"

    def _hash(self) -> str:
        digest = sha256()
        for line in self.system.trace:
            digest.update(line.encode())
        for record in self.system.broker.journal:
            digest.update(f"{record.topic}/{record.partition} {record.timestamp.isoformat()}".encode())
            digest.update(record.key or b"-")
            digest.update(record.value or b"-")
            for name, value in record.headers:
                digest.update(name.encode())
                digest.update(value or b"-")
        return digest.hexdigest()


def play(script: Script) -> Result:
    """Play a script."""
    return Run(script).play()
