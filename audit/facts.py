"""What the rules judge: what each party has on record, as plain frozen data. Nothing here says how it was found out.

Facts are kept by their subject (an order, a SKU, a partition, a currency), so that a large system can be judged piece by piece,
and a simulation can judge again only what has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from audit.partitions import PartitionFacts

COMPLETED: Final = "COMPLETED"
ENDED: Final = frozenset({COMPLETED, "CANCELLED", "FAILED"})

ACCEPTED: Final = "orders.command-accepted.v1"
REJECTED: Final = "orders.command-rejected.v1"
VERDICTS: Final = frozenset({ACCEPTED, REJECTED})

#: A greeting's outcome: it is complete, and neither stock nor money nor a mail belongs to it.
GREETED: Final = "orders.greeted.v1"

#: The events that tell an order's outcome, and the status that each of them means.
OUTCOMES: Final[Mapping[str, str]] = {
    "orders.order-completed.v1": COMPLETED,
    "orders.order-cancelled.v1": "CANCELLED",
    "orders.order-failed.v1": "FAILED",
    GREETED: COMPLETED,
}


@dataclass(frozen=True, slots=True)
class Line:
    """So many pieces of a product; the price is None until the stock is held."""

    sku: str
    quantity: int
    unit_price_minor: int | None = None


@dataclass(frozen=True, slots=True)
class OrderRow:
    """The orchestrator's row of an order."""

    status: str
    workflow: str
    workflow_version: int
    customer_id: str
    items: tuple[Line, ...]
    currency: str | None = None
    total_minor: int | None = None
    reason: str | None = None
    paused: bool = False

    @property
    def ended(self) -> bool:
        """Whether the order has had its outcome."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An entry of an order's history; `event_id` is None for a note that is not published."""

    seq: int
    type: str
    event_id: str | None
    data: Mapping[str, Any]
    cause: str = ""


@dataclass(frozen=True, slots=True)
class CommandRow:
    """What the orchestrator remembers of a command; `accepted` None: it is not decided."""

    source: str
    id: str
    type: str
    accepted: bool | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SentCommand:
    """A command in the sender's own record. `acknowledged`: the broker took it. What the sender heard of it, if anything."""

    source: str | None
    id: str
    type: str
    acknowledged: bool
    heard: bool | None = None
    heard_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Inventory's row of a reservation: held, shipped, released, refused or a tombstone. `over_for_s`: how long ago it was to
    expire; None where it was not yet, or never."""

    reservation_id: str
    state: str
    lines: tuple[Line, ...]
    currency: str | None = None
    over_for_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Payment's row of a refund. `done`: the gateway said that it gave the money back."""

    refund_id: str
    amount_minor: int
    currency: str
    done: bool


@dataclass(frozen=True, slots=True)
class Charge:
    """Payment's row of a charge."""

    charge_id: str
    status: str
    amount_minor: int | None
    currency: str | None
    captured_minor: int
    refunded_minor: int
    refunds: tuple[Refund, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayEntry:
    """Money that moved, in the gateway's own ledger. `kind`: charge or refund."""

    kind: str
    charge_id: str
    amount_minor: int
    currency: str
    refund_id: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """An event on orders.events.v1; of its data only what the rules ask for."""

    event_id: str
    type: str
    sequence: int | None
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Mail:
    """Notification's row of a mail."""

    kind: str
    cause: str
    message_id: str


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """Everything that anybody has on record under one order's id, which may be no order at all.

    `at_rest`: nothing about it is under way, so what different parties have on record can be compared. Events of the
    history up to `published_to` are on the topic (None: all of them). `timers` are the due times of its timers.
    `heard_outcome`: what the sender heard of its end. `parked_at`: services where messages of it wait behind one that failed.
    `counted_for`: the customers for whose tiers it counts (None: nobody has looked).
    """

    order_id: str
    row: OrderRow | None = None
    history: tuple[HistoryEntry, ...] = ()
    commands: tuple[CommandRow, ...] = ()
    timers: tuple[datetime, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    charges: tuple[Charge, ...] = ()
    entries: tuple[GatewayEntry, ...] = ()
    mails: tuple[Mail, ...] = ()
    published: tuple[Published, ...] = ()
    sent: tuple[SentCommand, ...] = ()
    heard_outcome: str | None = None
    at_rest: bool = True
    published_to: int | None = None
    parked_at: tuple[str, ...] = ()
    counted_for: tuple[str, ...] | None = None

    @property
    def ended(self) -> bool:
        """Whether there is an order here and it has had its outcome."""
        return self.row is not None and self.row.ended


@dataclass(frozen=True, slots=True)
class StockRow:
    """Inventory's row of a SKU."""

    received: int
    adjusted: int
    on_hand: int
    held: int
    shipped: int


@dataclass(frozen=True, slots=True)
class StockFacts:
    """A SKU: its row, the pieces in all lines of held and of shipped reservations, and the sums of all answers to receipts
    and to adjustments."""

    sku: str
    row: StockRow | None
    held_in_lines: int = 0
    shipped_in_lines: int = 0
    receipts: int = 0
    adjustments: int = 0


@dataclass(frozen=True, slots=True)
class Irregularity:
    """Something that inventory was asked and that should never happen; it changed nothing."""

    order_id: str
    reservation_id: str
    kind: str
    state: str


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """A customer: the count that decides the tier, and how many orders were counted one by one. `left_at`: where name or address
    of one who was erased still stand."""

    customer_id: str
    completed_orders: int = 0
    counted_orders: int = 0
    left_at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MoneyFacts:
    """Sums over all orders that are not open, in one currency, each added up by the party's own database."""

    currency: str
    completed_minor: int = 0
    payment_captured_minor: int = 0
    payment_refunded_minor: int = 0
    gateway_charged_minor: int = 0
    gateway_refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record on orders.events.v1 that is no event of an order."""

    partition: int
    offset: int
    problem: str


@dataclass(frozen=True, slots=True)
class SentElsewhere:
    """A command to inventory or customer in the sender's record. `answered`: the service remembers its answer."""

    topic: str
    key: str
    id: str
    type: str
    answered: bool


@dataclass(frozen=True, slots=True)
class CommonFacts:
    """What belongs to no order. `money` is None where the books were not at rest."""

    stock: tuple[StockFacts, ...] = ()
    irregularities: tuple[Irregularity, ...] = ()
    partitions: tuple[PartitionFacts, ...] = ()
    money: tuple[MoneyFacts, ...] | None = ()
    unreadable: tuple[UnreadableRecord, ...] = ()
    sent_elsewhere: tuple[SentElsewhere, ...] = ()
    customers: tuple[CustomerFacts, ...] = ()
