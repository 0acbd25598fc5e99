"""The sender's account of its orders: what was sent, what was heard, what is still open. Pure; time is an argument."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orderctl.events import ENDS, short_name
from orderctl.load.plan import OrderScript
from orderctl.load.result import LoadResult, Progress
from orderctl.load.statistics import Histogram

ACCEPTED: Final = "orders.command-accepted.v1"
REJECTED: Final = "orders.command-rejected.v1"
#: The types that the account needs, as they stand in the records' headers; others need not even be parsed.
RELEVANT: Final = frozenset(name.encode() for name in (ACCEPTED, REJECTED, *ENDS))


@dataclass(slots=True)
class _Open:
    order_id: str
    start_id: str
    intended_at: float
    waiting: set[str]
    outcome: str | None = None
    reached: set[bytes] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class HeardVerdict:
    """The first verdict on one of our commands."""

    order_id: str
    command_id: str
    accepted: bool
    reason: str | None
    duplicate: bool


@dataclass(frozen=True, slots=True)
class HeardOutcome:
    """One of our orders ended."""

    order_id: str
    outcome: str
    reason: str | None
    total_minor: int | None
    latency_s: float


class Book:
    """Counts every order to its end. An order is closed when its outcome and the verdicts on all of its commands are known."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._open: dict[bytes, _Open] = {}
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._latency = Histogram()
        self._phases: defaultdict[bytes, Histogram] = defaultdict(Histogram)
        self._sent = self._commands = self._accepted = self._duplicates = 0
        #: Orders that had begun before this run and whose end may never be told again: somebody has to ask.
        self.unclear: dict[str, None] = {}

    @property
    def open(self) -> int:
        """How many orders are not closed."""
        return len(self._open)

    def sent(self, script: OrderScript, intended_at: float) -> None:
        """The order is about to be sent."""
        waiting = {command.id for command in script.commands}
        start_id = script.commands[0].id
        self._open[script.order_id.encode()] = _Open(script.order_id, start_id, intended_at, waiting)
        self._sent += 1
        self._commands += len(waiting)

    def knows(self, key: bytes | None) -> bool:
        """Whether a record of this key is about an open order of ours."""
        return key in self._open

    def reach(self, key: bytes, event_type: bytes, now: float) -> None:
        """An event of this type came for an open order; told again, it counts once."""
        order = self._open[key]
        if event_type not in order.reached:
            order.reached.add(event_type)
            self._phases[event_type].add(now - order.intended_at)

    def hear(
        self, key: bytes, event_type: str, data: Mapping[str, Any], now: float
    ) -> list[HeardVerdict | HeardOutcome]:
        """An event came; returns what it told for the first time."""
        order = self._open.get(key)
        if order is None:
            return []
        told: list[HeardVerdict | HeardOutcome] = []
        if event_type in ENDS:
            told += self._end(order, ENDS[event_type], data.get("reason"), data.get("total_minor"), now)
        elif event_type in (ACCEPTED, REJECTED):
            told += self._verdict(order, event_type == ACCEPTED, data, now)
        self._close(key, order)
        return told

    def looked_up(self, order_id: str, outcome: str, reason: str | None, total_minor: int | None) -> list[HeardOutcome]:
        """The query API says that the order has ended; when, nobody measured."""
        key = order_id.encode()
        order = self._open.get(key)
        if order is None:
            return []
        told = self._end(order, outcome, reason, total_minor, None)
        self._close(key, order)
        return told

    def _verdict(
        self, order: _Open, accepted: bool, data: Mapping[str, Any], now: float
    ) -> list[HeardVerdict | HeardOutcome]:
        command_id, duplicate = str(data.get("command_id")), bool(data.get("duplicate"))
        reason = None if accepted else str(data.get("reason"))
        if command_id not in order.waiting:
            return []
        order.waiting.discard(command_id)
        self._accepted += accepted
        self._duplicates += duplicate
        if reason is not None:
            self._refusals[reason] += 1
        told: list[HeardVerdict | HeardOutcome] = [
            HeardVerdict(order.order_id, command_id, accepted, reason, duplicate)
        ]
        if command_id == order.start_id:
            if not accepted:
                told += self._end(order, "rejected", reason, None, now)
            elif duplicate:
                self.unclear[order.order_id] = None
        return told

    def _end(
        self, order: _Open, outcome: str, reason: str | None, total_minor: int | None, now: float | None
    ) -> list[HeardOutcome]:
        if order.outcome is not None:
            return []
        order.outcome = outcome
        self.unclear.pop(order.order_id, None)
        self._outcomes[outcome] += 1
        if reason is not None:
            self._reasons[f"{outcome}:{reason}"] += 1
        latency_s = 0.0 if now is None else now - order.intended_at
        if outcome == "completed" and now is not None:
            self._latency.add(latency_s)
        return [HeardOutcome(order.order_id, outcome, reason, total_minor, latency_s)]

    def _close(self, key: bytes, order: _Open) -> None:
        if order.outcome is not None and not order.waiting:
            del self._open[key]

    def progress(self, elapsed_s: float) -> Progress:
        """Where the run stands."""
        count = self._outcomes
        return Progress(
            total=self._total,
            sent=self._sent,
            open=len(self._open),
            completed=count["completed"],
            failed=count["failed"],
            cancelled=count["cancelled"],
            rejected=count["rejected"],
            p50_s=self._latency.percentile(50),
            p99_s=self._latency.percentile(99),
            elapsed_s=elapsed_s,
        )

    def result(self, elapsed_s: float, lookup_error: str | None = None) -> LoadResult:
        """What became of everything."""
        return LoadResult(
            orders=self._sent,
            commands=self._commands,
            elapsed_s=elapsed_s,
            outcomes=dict(self._outcomes),
            reasons=dict(sorted(self._reasons.items())),
            accepted=self._accepted,
            rejected_commands=dict(sorted(self._refusals.items())),
            duplicates=self._duplicates,
            latency=self._latency.summary(),
            unfinished=tuple(order.order_id for order in self._open.values()),
            lookup_error=lookup_error,
            phases={short_name(name.decode()): phase.summary() for name, phase in self._phases.items()},
        )
