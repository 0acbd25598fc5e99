"""Every cell of every party's table: reached by a search, or impossible for a reason that is given here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.orders.domain.decide import TABLE
from services.orders.domain.state import Phase
from services.payment.state import End, Status
from simulation.checker.cells import Cell, Cells
from simulation.checker.impossible import IN_INVENTORY, IN_ORDERS, IN_PAYMENT, Reasons

RESERVATIONS: Final = ("unknown", "held", "refused", "released", "shipped", "tombstone")
ASKED_OF_INVENTORY: Final = ("ReserveStock", "ReleaseStock", "OrderCompleted", "ExtendReservation", "TimerFired")
CHARGES: Final = ("unknown to us", *(status.value for status in Status))
_ENDS: Final = {
    "charge": (End.CAPTURED, End.DECLINED, End.VOIDED, End.FAILED, End.UNKNOWN),
    "void": (End.CAPTURED, End.DECLINED, End.VOIDED, End.FAILED),
    "refund": (End.REFUNDED, End.REFUSED, End.FAILED),
}
ASKED_OF_PAYMENT: Final = (
    "Charge",
    "VoidCharge",
    "Refund",
    "TimerFired",
    *(f"{kind} {end.value}" for kind, ends in _ENDS.items() for end in ends),
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """`reached` of `cells` were reached and `impossible` have a reason. `missing` have neither; `refuted` have both."""

    cells: int
    reached: int
    impossible: int
    missing: tuple[str, ...]
    refuted: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to be explained."""
        return not self.missing and not self.refuted

    def __str__(self) -> str:
        lines = [f"{self.cells} cells: {self.reached} reached, {self.impossible} impossible for a given reason"]
        lines += [f"NEITHER REACHED NOR EXPLAINED: {cell}" for cell in self.missing]
        lines += [f"REACHED, THOUGH SAID TO BE IMPOSSIBLE: {cell}" for cell in self.refuted]
        return "\n".join(lines)


def coverage(cells: Cells) -> Coverage:
    """How much of all tables was reached."""
    tables = (
        (
            "orders",
            _pairs((kind.__name__ for kind in TABLE), (phase.value for phase in Phase)),
            cells.orders,
            IN_ORDERS,
        ),
        ("inventory", _pairs(ASKED_OF_INVENTORY, RESERVATIONS), cells.inventories, IN_INVENTORY),
        ("payment", _pairs(ASKED_OF_PAYMENT, CHARGES), cells.payments, IN_PAYMENT),
    )
    every = reached = impossible = 0
    missing: list[str] = []
    refuted: list[str] = []
    for name, table, seen, reasons in tables:
        every, reached = every + len(table), reached + len(seen)
        explained = {cell for cell in table if _reason(cell, reasons)}
        impossible += len(explained - seen)
        missing += [f"{name}: {message} in {state}" for message, state in sorted(table - seen - explained)]
        refuted += [f"{name}: {message} in {state}" for message, state in sorted((seen & explained) | (seen - table))]
    return Coverage(every, reached, impossible, tuple(missing), tuple(refuted))


def _pairs(messages: Iterable[str], states: Iterable[str]) -> set[Cell]:
    columns = tuple(states)
    return {(message, state) for message in messages for state in columns}


def _reason(cell: Cell, reasons: Reasons) -> str | None:
    message, state = cell
    return next((why for messages, states, why in reasons if message in messages and state in states), None)
