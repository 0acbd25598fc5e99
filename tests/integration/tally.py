"""The smallest service there can be: it adds numbers up, key by key, and is told by words what else to do.

It is not idempotent on purpose: a message that has its effect twice shows in the total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from contracts.envelope import InvalidCommand
from contracts.inventory import AdjustStock, CommandRejected, StockAdjusted
from contracts.orders import OrderCancelled
from contracts.topics import INVENTORY_COMMANDS, ORDERS_EVENTS, SUBSCRIPTIONS
from messaging.decision import CancelTimer, Decision, Effect, EffectDone, Message, Outgoing, SetTimer, TimerFired
from messaging.errors import PermanentStoreError, StaleRowError
from messaging.handler import Parts, partition_by_key
from messaging.memory import MemoryTransaction
from messaging.postgres import PostgresTransaction
from messaging.stamp import Stamped

MIGRATIONS = Path(__file__).parent / "tally_migrations"
SERVICE = "inventory"
TOPICS = SUBSCRIPTIONS[SERVICE]
assert TOPICS == (INVENTORY_COMMANDS, ORDERS_EVENTS)


@dataclass(frozen=True, slots=True)
class Tally:
    """A key's row; version 0 is a row that is not there yet."""

    total: int = 0
    version: int = 0


class Ask(BaseModel):
    """What the tally's effect is asked for."""

    model_config = ConfigDict(frozen=True)
    word: str


def decide(state: Tally, message: Message) -> Decision[Tally]:
    """A command's `reason` may hold words: raise, refuse, timer=NAME@TIME, cancel=NAME, effect=ID."""
    data = message.data
    if isinstance(data, InvalidCommand):
        rejected = CommandRejected(
            command_id=data.command_id,
            command_type=data.command_type,
            reason="invalid",
            message=data.message,
            duplicate=False,
        )
        return Decision(state, (Outgoing(message.key, rejected),))
    if isinstance(data, TimerFired):
        return _said(state, message, 0, f"timer {data.name} {data.step}")
    if isinstance(data, EffectDone):
        return _said(state, message, 0, f"effect {data.effect_id} {data.outcome}")
    if isinstance(data, OrderCancelled):
        return _said(state, message, 1000, message.id)
    assert isinstance(data, AdjustStock)
    timers: list[SetTimer | CancelTimer] = []
    effects: list[Effect] = []
    for word in data.reason.split():
        name, _, value = word.partition("=")
        if name == "raise":
            raise ValueError("told to")
        if name == "refuse":
            return _said(state, message, -(10**9), message.id)
        if name == "timer":
            timer, _, due = value.partition("@")
            timers.append(SetTimer(message.key, timer, data.delta, datetime.fromisoformat(due)))
        if name == "cancel":
            timers.append(CancelTimer(message.key, value))
        if name == "effect":
            effects.append(Effect(message.key, value, "ask", Ask(word=value)))
    said = _said(state, message, data.delta, message.id)
    return Decision(said.state, said.says, tuple(timers), tuple(effects))


def _said(state: Tally, message: Message, delta: int, named: str) -> Decision[Tally]:
    new = Tally(state.total + delta, state.version)
    told = StockAdjusted(command_id=named, sku="A", delta=delta, on_hand=new.total, duplicate=False)
    return Decision(new, (Outgoing(message.key, told),))


class TallyStore(Protocol):
    """Where the numbers stand."""

    async def load(self, transaction: Any, keys: Sequence[str]) -> dict[str, Tally]: ...
    def stage(self, transaction: Any, changed: Mapping[str, Tally]) -> None: ...


LOAD = "SELECT key, total, version FROM tally WHERE key = ANY ($1::text[])"
ADD = "INSERT INTO tally (key, total, version) SELECT r.key, r.total, 1 FROM unnest($1::text[], $2::bigint[]) AS r (key, total)"
CHANGE = """
UPDATE tally SET total = r.total, version = r.version + 1
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS r (key, total, version)
WHERE tally.key = r.key AND tally.version = r.version RETURNING 1
"""


class PostgresTally:
    """The numbers in PostgreSQL."""

    async def load(self, transaction: PostgresTransaction, keys: Sequence[str]) -> dict[str, Tally]:
        return {row["key"]: Tally(row["total"], row["version"]) for row in await transaction.fetch(LOAD, list(keys))}

    def stage(self, transaction: PostgresTransaction, changed: Mapping[str, Tally]) -> None:
        new = {key: tally for key, tally in changed.items() if tally.version == 0}
        old = {key: tally for key, tally in changed.items() if tally.version > 0}
        if new:
            transaction.stage("tally_new", ADD, list(new), [tally.total for tally in new.values()])
        if old:
            totals, versions = [tally.total for tally in old.values()], [tally.version for tally in old.values()]
            transaction.stage("tally_changed", CHANGE, list(old), totals, versions, rows=len(old))


class MemoryTally:
    """The numbers in memory."""

    def __init__(self, rows: dict[str, Tally]) -> None:
        self.rows = rows

    async def load(self, transaction: MemoryTransaction, keys: Sequence[str]) -> dict[str, Tally]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    def stage(self, transaction: MemoryTransaction, changed: Mapping[str, Tally]) -> None:
        def write() -> None:
            if any(tally.total < 0 for tally in changed.values()):
                raise PermanentStoreError("refused by the check")
            if any(self.rows.get(key, Tally()).version != tally.version for key, tally in changed.items()):
                raise StaleRowError("another version")
            self.rows.update({key: Tally(tally.total, tally.version + 1) for key, tally in changed.items()})

        transaction.stage(write)


@dataclass
class TallyBatch:
    """See `messaging.handler.Batch`."""

    handler: TallyHandler
    partitions: dict[str, int]
    rows: dict[str, Tally]
    changed: dict[str, Tally] = field(default_factory=dict)

    def decide(self, message: Message, now: datetime) -> Decision[Tally]:
        if self.handler.broken and isinstance(message.data, AdjustStock) and "fragile" in message.data.reason.split():
            raise ValueError("broken for now")
        if self.handler.broken_verdicts == "raise" and isinstance(message.data, InvalidCommand):
            raise ValueError("broken for now")
        state = self.changed.get(message.key) or self.rows.get(message.key, Tally())
        decision = decide(state, message)
        if self.handler.broken_verdicts == "refuse" and isinstance(message.data, InvalidCommand):
            decision = replace(decision, state=Tally(-1, state.version))
        if decision.state != state:
            self.changed[message.key] = decision.state
        return decision

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        self.handler.store.stage(transaction, self.changed)

    def committed(self) -> None:
        kept = {key: Tally(tally.total, tally.version + 1) for key, tally in self.changed.items()}
        for key, tally in (self.rows | kept).items():
            self.handler.memory.setdefault(self.partitions[key], {})[key] = tally


class TallyHandler:
    """See `messaging.handler.Handler`. Keeps what it has read in memory, as the owner of a partition may."""

    name = SERVICE
    topics = TOPICS
    interests: Mapping[str, frozenset[str]] = {ORDERS_EVENTS: frozenset({"orders.order-cancelled.v1"})}

    def __init__(self, store: TallyStore) -> None:
        self.store = store
        #: As long as this code is broken it cannot handle commands whose words are `fragile`.
        self.broken = False
        #: How the rejection of a command goes wrong: `raise`, `refuse` (by the database) or not at all.
        self.broken_verdicts = ""
        self.memory: dict[int, dict[str, Tally]] = {}

    async def load(self, transaction: Any, parts: Parts) -> TallyBatch:
        partitions = partition_by_key(parts)
        known = {key: self.memory.get(partition, {}).get(key) for key, partition in partitions.items()}
        found = await self.store.load(transaction, sorted(key for key, tally in known.items() if tally is None))
        return TallyBatch(self, partitions, {**{key: tally for key, tally in known.items() if tally}, **found})

    def forget(self, partition: int) -> None:
        self.memory.pop(partition, None)
