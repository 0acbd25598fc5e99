"""A stock room to talk to in tests, and short words for what is said there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.inventory import (
    CheckStock,
    ExtendReservation,
    ReleaseStock,
    ReservationExpired,
    ReservationRefused,
    ReserveStock,
    StockReleased,
)
from contracts.orders import OrderCompleted
from contracts.values import Item, PricedItem
from messaging.decision import Decision, Message, Outgoing, SetTimer, TimerFired
from services.inventory.domain import decide
from services.inventory.ledger import Changes, Ledger, Stock, Sweep

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Room:
    """A stock room that remembers: says what it answers, and keeps what changed."""

    stock: dict[str, Stock] = field(default_factory=dict)
    reservations: dict[tuple[str, str], Any] = field(default_factory=dict)
    answers: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    seen: dict[str, Stock] = field(default_factory=dict)
    sweep: Sweep = field(default_factory=Sweep)
    now: datetime = NOW
    timer: datetime | None = None
    timers_set: int = 0
    count: int = 0

    def tell(self, key: str, data: Any, id: str | None = None, type: str = "t", source: str = "shop") -> list[Any]:
        decision = self._decide(key, data, id, type, source)
        assert all(said.key == key for said in decision.says if isinstance(said, Outgoing))
        return [said.data if isinstance(said, Outgoing) else said for said in decision.says]

    def _decide(self, key: str, data: Any, id: str | None, type: str, source: str) -> Decision[Changes]:
        self.count += 1
        message = Message(type, key, data, id or f"m{self.count}", source, self.now, f"u{self.count}")
        ledger = Ledger(self.stock, self.reservations, self.answers, self.seen, self.sweep)
        decision = decide(ledger, message, self.now, "GBP")
        self.stock.update(decision.state.stock)
        self.reservations.update(decision.state.reservations)
        self.answers.update(decision.state.answers)
        self.sweep = decision.state.sweep or self.sweep
        for timer in decision.timers:
            assert isinstance(timer, SetTimer)
            self.timer = timer.due_at
            self.timers_set += 1
        for row in self.stock.values():
            assert min(row.on_hand, row.held, row.shipped) >= 0
        return decision

    def fire(self) -> list[tuple[str, str]]:
        """Time passes until the partition's timer fires; the holds that are announced, by order and reservation."""
        assert self.timer is not None, "no timer is set"
        due_at, self.timer = self.timer, None
        self.now = max(self.now, due_at)
        held = [r for r in self.reservations.values() if r.state == "held" and r.announce_at is not None]
        due = tuple(row.key for row in sorted(held, key=lambda r: r.announce_at) if row.announce_at <= due_at)
        following = min((row.announce_at for row in held if row.announce_at > due_at), default=None)
        self.sweep = Sweep(0, due_at, due, following)
        said = self._decide("holds/0", TimerFired("sweep", 0, due_at), None, "timer.sweep", "timer").says
        assert all(isinstance(s, Outgoing) and isinstance(s.data, ReservationExpired) for s in said)
        return [(s.key, s.data.reservation_id) for s in said if isinstance(s, Outgoing)]

    def skip(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def shelf(self, sku: str) -> tuple[int, int, int]:
        row = self.stock[sku]
        return row.on_hand, row.held, row.shipped


def room(**pieces: int) -> Room:
    return Room({sku: Stock(sku, None, 100 + i, "GBP", received=n) for i, (sku, n) in enumerate(pieces.items())})


def reserve(
    rid: str = "r1", *items: tuple[str, int], currency: str | None = None, for_s: float | None = None
) -> ReserveStock:
    return ReserveStock(
        reservation_id=rid,
        items=tuple(Item(sku=s, quantity=q) for s, q in items or (("A", 2),)),
        currency=currency,
        expires_at=None if for_s is None else NOW + timedelta(seconds=for_s),
    )


def extend(rid: str = "r1", for_s: float = 900) -> ExtendReservation:
    return ExtendReservation(reservation_id=rid, expires_at=NOW + timedelta(seconds=for_s))


def release(rid: str = "r1") -> ReleaseStock:
    return ReleaseStock(reservation_id=rid)


def check(*skus: str, request_id: str = "enr-1") -> CheckStock:
    return CheckStock(request_id=request_id, skus=skus)


def completed(*rids: str) -> OrderCompleted:
    line = PricedItem(sku="A", quantity=2, unit_price_minor=100)
    return OrderCompleted(items=(line,), total_minor=200, currency="GBP", customer_id="c", reservation_ids=rids)


def freed(rid: str, *items: tuple[str, int]) -> list[Any]:
    return [StockReleased(reservation_id=rid, items=tuple(Item(sku=s, quantity=q) for s, q in items))]


def refusals(said: Sequence[Any]) -> list[tuple[str, str]]:
    return [(refused.reason, refused.message) for refused in said if isinstance(refused, ReservationRefused)]
