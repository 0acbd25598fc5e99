"""What the stock room decides: pure functions over stock, reservations and the answers given so far.

    state of a reservation | reserve-stock           | release-stock                 | order-completed
    -----------------------+-------------------------+-------------------------------+--------------------
    unknown                | -> held | refused       | -> tombstone, nothing freed   | irregular
    held                   | recorded answer         | -> released, all lines freed  | -> shipped
    refused                | recorded answer         | nothing freed                 | irregular
    released               | recorded answer         | recorded answer               | irregular
    shipped                | recorded answer         | nothing freed, irregular      | nothing (a repeat)
    tombstone              | refused: released       | recorded answer               | irregular

A reservation belongs to the order under whose key it was asked for: another order can neither free nor ship it. What was shipped
never comes back. An irregular message changes nothing and leaves a note.

Both answers about a reservation follow from its state and from what it recorded, so a repeat gets the very same one. Prices and
currency are frozen into the reservation: a change of the catalogue, even of a SKU's currency, never touches what is held.

How long something is held is the order's affair: extend-reservation and the sweep (`holds.py`) change until when, never whether.

check-stock asks for no reservation and makes none, whatever is held: the stock as it is now is told, in the order of the question,
with nothing on hand and no price where a SKU is not in the catalogue. It is not recorded: a repeat is told the stock as it is then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from contracts.envelope import InvalidCommand
from contracts.inventory import (
    AdjustStock,
    CheckStock,
    ExtendReservation,
    ReceiveStock,
    ReleaseStock,
    ReservationRefused,
    ReserveStock,
    StockChecked,
    StockLevel,
    StockReleased,
    StockReserved,
    StockShipped,
)
from contracts.orders import OrderCompleted
from contracts.values import Item, PricedItem
from messaging.decision import Decision, Message, Note, Outgoing, TimerFired
from services.inventory.holds import armed, decide_hold, first_announcement
from services.inventory.ledger import (
    Changes,
    IrregularKind,
    Ledger,
    Refusal,
    Reservation,
    ReservationKey,
    Stock,
)
from services.inventory.shop import decide_shop_command

_UNCHANGED: Final = Changes()
_RELEASED_BEFORE: Final = Refusal("released", "The reservation was released before it was asked for.")


def decide(ledger: Ledger, message: Message, now: datetime, default_currency: str) -> Decision[Changes]:
    """What follows from one message. `default_currency` is that of a new SKU whose receipt names none."""
    data = message.data
    if isinstance(data, ReserveStock):
        return _reserve(ledger, message.key, data, now)
    if isinstance(data, OrderCompleted):
        return _ship(ledger, message.key, data, now)
    if isinstance(data, ReleaseStock):
        return _release(ledger, message.key, data, now)
    if isinstance(data, CheckStock):
        return _check(ledger, message.key, data)
    if isinstance(data, ExtendReservation | TimerFired):
        return decide_hold(ledger, message.key, data, now)
    if isinstance(data, InvalidCommand | ReceiveStock | AdjustStock):
        return decide_shop_command(ledger, message, data, default_currency)
    raise TypeError(f"The inventory does not know what to do with {type(data).__name__}.")


def _reserve(ledger: Ledger, order_id: str, data: ReserveStock, now: datetime) -> Decision[Changes]:
    known = ledger.reservations.get((order_id, data.reservation_id))
    if known is not None:
        return Decision(_UNCHANGED, (Outgoing(order_id, reserve_answer(known)),))
    wanted = _sums(data.items)
    refusal = _refusal(ledger.stock, wanted, data.currency)
    if refusal is not None:
        asked = tuple(PricedItem(sku=item.sku, quantity=item.quantity) for item in data.items)
        made = Reservation(order_id, data.reservation_id, "refused", asked, None, refusal, now, now)
        return Decision(Changes(reservations={made.key: made}), (Outgoing(order_id, reserve_answer(made)),))
    rows = {sku: replace(ledger.stock[sku], held=ledger.stock[sku].held + count) for sku, count in wanted.items()}
    lines = tuple(
        PricedItem(sku=item.sku, quantity=item.quantity, unit_price_minor=rows[item.sku].unit_price_minor)
        for item in data.items
    )
    currency = rows[lines[0].sku].currency
    made = Reservation(
        order_id,
        data.reservation_id,
        "held",
        lines,
        currency,
        None,
        now,
        now,
        partition=ledger.sweep.partition,
        expires_at=data.expires_at,
        announce_at=first_announcement(data.expires_at, now),
    )
    sweep, timers = armed(ledger.sweep, made)
    return Decision(Changes(rows, {made.key: made}, sweep=sweep), (Outgoing(order_id, reserve_answer(made)),), timers)


def _refusal(stock: Mapping[str, Stock], wanted: Mapping[str, int], currency: str | None) -> Refusal | None:
    """Why these pieces cannot be held, if they cannot; what the order can never have comes before what is merely sold out."""
    for sku in wanted:
        if sku not in stock:
            return Refusal("unknown-sku", f"{sku} is not in the catalogue.")
    expected = currency
    for sku in wanted:
        found = stock[sku].currency
        if expected is not None and found != expected:
            return Refusal("currency-mismatch", f"{sku} is sold in {found}, not in {expected}.")
        expected = found
    for sku, count in wanted.items():
        left = stock[sku].on_hand
        if left < count:
            return Refusal("out-of-stock", f"{sku}: {count} asked for, {left} left.")
    return None


def _release(ledger: Ledger, order_id: str, data: ReleaseStock, now: datetime) -> Decision[Changes]:
    known = ledger.reservations.get((order_id, data.reservation_id))
    if known is None:
        # The reservation may still be on its way: it must find that nobody wants it any more.
        stone = Reservation(order_id, data.reservation_id, "tombstone", (), None, _RELEASED_BEFORE, now, now)
        return Decision(Changes(reservations={stone.key: stone}), (Outgoing(order_id, release_answer(stone)),))
    if known.state == "shipped":
        note = _irregular("release-after-shipping", known.reservation_id, known.state)
        return Decision(_UNCHANGED, (Outgoing(order_id, release_answer(known)), note))
    if known.state != "held":
        return Decision(_UNCHANGED, (Outgoing(order_id, release_answer(known)),))
    freed = replace(known, state="released", updated_at=now)
    rows = {
        sku: replace(ledger.stock[sku], held=ledger.stock[sku].held - count)
        for sku, count in _sums(known.lines).items()
    }
    return Decision(Changes(rows, {freed.key: freed}), (Outgoing(order_id, release_answer(freed)),))


def _ship(ledger: Ledger, order_id: str, data: OrderCompleted, now: datetime) -> Decision[Changes]:
    rows: dict[str, Stock] = {}
    shipped: dict[ReservationKey, Reservation] = {}
    says: list[Outgoing | Note] = []
    for reservation_id in dict.fromkeys(data.reservation_ids):
        known = ledger.reservations.get((order_id, reservation_id))
        if known is None or known.state != "held":
            if known is None or known.state != "shipped":
                says.append(_irregular("shipping-not-held", reservation_id, known.state if known else "unknown"))
            continue
        for sku, count in _sums(known.lines).items():
            row = rows.get(sku) or ledger.stock[sku]
            rows[sku] = replace(row, held=row.held - count, shipped=row.shipped + count)
        shipped[known.key] = replace(known, state="shipped", updated_at=now)
        says.append(Outgoing(order_id, StockShipped(reservation_id=reservation_id, items=_unpriced(known.lines))))
    return Decision(Changes(rows, shipped), tuple(says))


def _check(ledger: Ledger, order_id: str, data: CheckStock) -> Decision[Changes]:
    # What this batch holds and has changed comes first: it is newer than what was only looked at.
    rows = [ledger.stock.get(sku) or ledger.seen.get(sku) for sku in data.skus]
    levels = tuple(_level(sku, row) for sku, row in zip(data.skus, rows, strict=True))
    return Decision(_UNCHANGED, (Outgoing(order_id, StockChecked(request_id=data.request_id, levels=levels)),))


def _level(sku: str, row: Stock | None) -> StockLevel:
    if row is None:
        return StockLevel(sku=sku, on_hand=0)
    return StockLevel(sku=sku, on_hand=row.on_hand, unit_price_minor=row.unit_price_minor, currency=row.currency)


def reserve_answer(reservation: Reservation) -> StockReserved | ReservationRefused:
    """The recorded answer to reserve-stock; it does not change when the reservation is released or shipped."""
    refusal = reservation.refusal
    if refusal is not None:
        return ReservationRefused(
            reservation_id=reservation.reservation_id, reason=refusal.reason, message=refusal.message
        )
    assert reservation.currency is not None, "what was held has a currency"
    return StockReserved(
        reservation_id=reservation.reservation_id, items=reservation.lines, currency=reservation.currency
    )


def release_answer(reservation: Reservation) -> StockReleased:
    """The recorded answer to release-stock: what the release has freed."""
    freed = _unpriced(reservation.lines) if reservation.state == "released" else ()
    return StockReleased(reservation_id=reservation.reservation_id, items=freed)


def _irregular(kind: IrregularKind, reservation_id: str, state: str) -> Note:
    return Note(kind, {"reservation_id": reservation_id, "state": state})


def _sums(items: Iterable[Item | PricedItem]) -> dict[str, int]:
    """Pieces per SKU, in the order in which the SKUs first appear."""
    sums: Counter[str] = Counter()
    for item in items:
        sums[item.sku] += item.quantity
    return sums


def _unpriced(lines: Iterable[PricedItem]) -> tuple[Item, ...]:
    return tuple(Item(sku=line.sku, quantity=line.quantity) for line in lines)
