"""A stock room to talk to in tests, and short words for what is said there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from contracts.inventory import CheckStock, ReleaseStock, ReservationRefused, ReserveStock, StockReleased
from contracts.orders import OrderCompleted
from contracts.values import Item, PricedItem
from messaging.decision import Message, Outgoing
from services.inventory.domain import decide
from services.inventory.ledger import Ledger, Stock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Room:
    """A stock room that remembers: says what it answers, and keeps what changed."""

    stock: dict[str, Stock] = field(default_factory=dict)
    reservations: dict[tuple[str, str], Any] = field(default_factory=dict)
    answers: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    seen: dict[str, Stock] = field(default_factory=dict)
    count: int = 0

    def tell(self, key: str, data: Any, id: str | None = None, type: str = "t", source: str = "shop") -> list[Any]:
        self.count += 1
        message = Message(type, key, data, id or f"m{self.count}", source, NOW, f"u{self.count}")
        decision = decide(Ledger(self.stock, self.reservations, self.answers, self.seen), message, NOW, "GBP")
        self.stock.update(decision.state.stock)
        self.reservations.update(decision.state.reservations)
        self.answers.update(decision.state.answers)
        assert all(said.key == key for said in decision.says if isinstance(said, Outgoing))
        for row in self.stock.values():
            assert min(row.on_hand, row.held, row.shipped) >= 0
        return [said.data if isinstance(said, Outgoing) else said for said in decision.says]

    def shelf(self, sku: str) -> tuple[int, int, int]:
        row = self.stock[sku]
        return row.on_hand, row.held, row.shipped


def room(**pieces: int) -> Room:
    return Room({sku: Stock(sku, None, 100 + i, "GBP", received=n) for i, (sku, n) in enumerate(pieces.items())})


def reserve(rid: str = "r1", *items: tuple[str, int], currency: str | None = None) -> ReserveStock:
    return ReserveStock(
        reservation_id=rid, items=tuple(Item(sku=s, quantity=q) for s, q in items or (("A", 2),)), currency=currency
    )


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
