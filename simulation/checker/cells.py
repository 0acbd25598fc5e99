"""Which cells of the parties' tables are reached: for every message, in each state of who reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from contracts.envelope import InvalidCommand
from contracts.inventory import ReserveStock
from contracts.orders import OrderCompleted
from contracts.values import CommandData
from messaging.decision import EffectDone, TimerFired
from services.orders.domain.state import Phase
from simulation.checker.world import Known, Payments, Record, Room

Cell = tuple[str, str]


@dataclass(slots=True)
class Cells:
    """Cells are (message, state). Of the orders' table only what is really looked up counts."""

    orders: set[Cell] = field(default_factory=set)
    inventories: set[Cell] = field(default_factory=set)
    payments: set[Cell] = field(default_factory=set)

    def order(self, known: Known, record: Record) -> None:
        """The orchestrator is about to decide."""
        data, order = record.data, known.order
        if isinstance(data, CommandData | InvalidCommand):
            if any((v.command.source, v.command.id) == (record.source, record.id) for v in known.verdicts):
                return  # it gets its verdict again
        elif isinstance(data, TimerFired) and order is not None and order.paused_at is not None:
            return  # deadlines stand still
        self.orders.add((type(data).__name__, Phase.NEW.value if order is None else order.phase.value))

    def inventory(self, room: Room, record: Record) -> None:
        """Inventory is about to decide."""
        states = {row.reservation_id: row.state for row in room.reservations}
        data = record.data
        if isinstance(data, TimerFired):
            self.inventories.update(("TimerFired", state) for state in states.values())
        elif isinstance(data, OrderCompleted):
            self.inventories.update(("OrderCompleted", states.get(name, "unknown")) for name in data.reservation_ids)
        elif isinstance(data, ReserveStock) or hasattr(data, "reservation_id"):
            self.inventories.add((type(data).__name__, states.get(data.reservation_id, "unknown")))

    def payment(self, payments: Payments, record: Record) -> None:
        """Payment is about to decide."""
        status = "unknown to us" if payments.charge is None else payments.charge.status.value
        self.payments.add((_kind(record.data), status))

    def add(self, other: Cells) -> None:
        """What another search has reached too."""
        self.orders |= other.orders
        self.inventories |= other.inventories
        self.payments |= other.payments


def _kind(data: Any) -> str:
    if isinstance(data, EffectDone):
        return f"{data.kind} {data.outcome.end.value}"
    return type(data).__name__
