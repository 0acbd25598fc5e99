"""What a world is made of. Everything is frozen; times are told from the one moment at which all is decided (`values.NOW`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from contracts.values import EventData
from messaging.decision import SetTimer
from services.inventory.ledger import Reservation
from services.orders.domain.policies import DEFAULTS, Policies
from services.orders.domain.state import Order, Verdict
from services.payment.gateway.domain import Method
from services.payment.state import Charge

#: The key of every order: each has a world of its own, and shares nothing but the stock and the customer. See `steps`.
KEY: Final = "O-1"
CUSTOMER: Final = "C-1"
SKU: Final = "tea"
PRICE_MINOR: Final = 250


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may still go wrong, or come from outside. `duplicates`: a message that was read comes again, at any later moment;
    `crashes`: a party dies after it has published and before that is recorded (payment: with its calls under way); `hastes`: time
    passes although somebody had something to do; `faults`: the gateway does not answer as it should; `odd`: any command of
    `Scenario.odd`."""

    duplicates: int = 0
    crashes: int = 0
    hastes: int = 0
    faults: int = 0
    cancels: int = 0
    lines: int = 0
    odd: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is searched: where it begins, and what may happen. `pieces`: how many there are of the one product."""

    name: str
    budget: Budget
    orders: int = 1
    version: int = 1
    method: str = Method.VISA.value
    pieces: int = 5
    price_minor: int = PRICE_MINOR
    quantity: int = 1
    known_customer: bool = True
    odd: tuple[str, ...] = ()
    policies: Policies = DEFAULTS


@dataclass(frozen=True, slots=True)
class Record:
    """A message on a topic. `at`: when it was appended."""

    data: Any
    id: str
    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What the orchestrator has in its database: the order, the verdicts on its commands, its timer's row."""

    order: Order | None = None
    verdicts: tuple[Verdict, ...] = ()
    timer: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An order's history, as far as any rule can see it: the events in their order, verdicts apart (no rule asks when one was told,
    only whether), and the kind of the last entry about an attempt."""

    events: tuple[tuple[str, EventData], ...] = ()
    verdicts: frozenset[tuple[str, str, str, str | None, bool]] = frozenset()
    last_attempt: str | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What inventory has on record about one order. `armed_for`: what its process believes about the sweep's timer; `timer`: its
    row; `irregular`: what should never have been asked."""

    reservations: tuple[Reservation, ...] = ()
    armed_for: datetime | None = None
    timer: datetime | None = None
    irregular: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Payments:
    """What payment has in its database about one order."""

    charge: Charge | None = None
    timers: tuple[SetTimer, ...] = ()


@dataclass(frozen=True, slots=True)
class Buyers:
    """What the customer service has on record because of one order. (What other orders add to it makes no difference: a tier needs
    more completed orders than any scenario has.)"""

    completed: int = 0
    counted: bool = False


# --- groups -----------------------------------------------------------------------------------------------------------
# An order's part of a world is three groups, in numbers, and what comes again. What stands in a group changes together; there are
# far fewer groups than worlds, so what happens to a group is worked out once.


class Desk(NamedTuple):
    """The orchestrator's: what it knows and has told, what was sent to it, what the customer service knows; and unread, what came
    from clients, customer and recommendation."""

    known: int
    told: int
    sent: int
    buyers: int
    from_clients: int
    from_customer: int
    from_recommendation: int


class Store(NamedTuple):
    """Inventory's: what it knows; and unread, what it was asked, what it has said, and what was told of the order's completion."""

    room: int
    to_inventory: int
    from_inventory: int
    completed: int


class Till(NamedTuple):
    """Payment's: what it and the gateway know and what is under way between them; and unread, what it was asked and has said."""

    payments: int
    gate: int
    under_way: int
    to_payment: int
    from_payment: int


class Part(NamedTuple):
    """An order's part of a world, opened."""

    desk: Desk
    store: Store
    till: Till
    echoes: int
