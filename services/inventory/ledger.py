"""What the stock room keeps: stock, reservations, and the answers to the shop's commands. Frozen data, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from contracts.inventory import CommandRejected, RefusalReason, StockAdjusted, StockReceived
from contracts.values import PricedItem

ReservationKey = tuple[str, str]  # order id, reservation id
CommandKey = tuple[str, str, str]  # the record's key, the envelope's source, its id
ReservationState = Literal["held", "refused", "released", "shipped", "tombstone"]
ShopAnswer = StockReceived | StockAdjusted | CommandRejected
IrregularKind = Literal["shipping-not-held", "release-after-shipping"]


@dataclass(frozen=True, slots=True)
class Stock:
    """A SKU: its price in the catalogue and its pieces. received + adjusted = on_hand + held + shipped."""

    sku: str
    description: str | None
    unit_price_minor: int
    currency: str
    received: int = 0
    adjusted: int = 0
    held: int = 0
    shipped: int = 0

    @property
    def on_hand(self) -> int:
        """What can still be held."""
        return self.received + self.adjusted - self.held - self.shipped


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was held."""

    reason: RefusalReason
    message: str


@dataclass(frozen=True, slots=True)
class Reservation:
    """What became of one reservation. `lines` are priced where it was ever held; a refused one keeps what was asked for. What was
    ever held has the `partition` that sweeps it and may have an expiry: `announce_at` is when that is announced next, `announced`
    how often it was."""

    order_id: str
    reservation_id: str
    state: ReservationState
    lines: tuple[PricedItem, ...]
    currency: str | None
    refusal: Refusal | None
    created_at: datetime
    updated_at: datetime
    partition: int | None = None
    expires_at: datetime | None = None
    announce_at: datetime | None = None
    announced: int = 0

    @property
    def key(self) -> ReservationKey:
        """What tells it from every other."""
        return self.order_id, self.reservation_id


@dataclass(frozen=True, slots=True)
class Sweep:
    """A partition's timer for all of its holds. `armed_for`: no hold is announced before that, and by then the timer has fired;
    None: there is nothing to announce. Where it fires, `due` are the holds that were found to be over, and `following` is when the
    first of the others is."""

    partition: int = 0
    armed_for: datetime | None = None
    due: tuple[ReservationKey, ...] = ()
    following: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is known of everything that the messages touch: a SKU that is absent is not in the catalogue. What is only `seen` may
    be told; it is not locked, so nothing is decided by it."""

    stock: Mapping[str, Stock] = field(default_factory=dict)
    reservations: Mapping[ReservationKey, Reservation] = field(default_factory=dict)
    answers: Mapping[CommandKey, ShopAnswer] = field(default_factory=dict)
    seen: Mapping[str, Stock] = field(default_factory=dict)
    sweep: Sweep = Sweep()


@dataclass(frozen=True, slots=True)
class Changes:
    """What one message changed in the ledger; `sweep` None: the timer stands as it stood."""

    stock: Mapping[str, Stock] = field(default_factory=dict)
    reservations: Mapping[ReservationKey, Reservation] = field(default_factory=dict)
    answers: Mapping[CommandKey, ShopAnswer] = field(default_factory=dict)
    sweep: Sweep | None = None
