"""What an order does when inventory announces that one of its holds is over. Inventory's clock frees nothing: the order decides.

    the order                                                | what it does
    ---------------------------------------------------------+-------------------------------------------------------------------
    is paused, or its stock or an added line is asked for    | extends the hold, unless a person is already needed for the answer
    waits for approval, and still has time                   | extends it to the end of that time
    waits for approval past its time                         | ends with `reservation-timeout`, if nobody has approved in time
    is being paid                                            | extends it, again and again
    does not know the reservation as its own                 | releases it
    gives back, or has ended                                 | nothing: the release, or the shipping, is on its way

What is approved or being paid for is never given up because a hold is over.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from contracts.inventory import ExtendReservation, ReleaseStock, ReservationExpired
from messaging.decision import Note, Outgoing
from services.orders.domain.compensation import compensate
from services.orders.domain.deadlines import extended_until
from services.orders.domain.evolve import replace
from services.orders.domain.move import Move, Situation
from services.orders.domain.state import Order, Phase, business_id

_MESSAGE: Final = "What was held for the order had to be given back before it could be paid."


def expired(situation: Situation) -> Move:
    """A hold is over and the stock is still held: see the table above."""
    order, data = situation.order, situation.message.data
    assert isinstance(data, ReservationExpired)
    if data.reservation_id not in _needed(order):
        return Move(order, (Outgoing(order.order_id, ReleaseStock(reservation_id=data.reservation_id)),))
    if order.phase is Phase.PAYING or order.paused_at is not None:
        return _extend(situation, data.reservation_id)
    if order.phase is Phase.RESERVING or order.approved_by is not None:
        # An answer that a person is needed for was asked for again and again. Inventory is up, for it speaks: it will not come.
        hopeless = order.attention is not None
        return reservation_timed_out(order, situation.now) if hopeless else _extend(situation, data.reservation_id)
    if order.deadline is not None and order.deadline < situation.message.at:
        # The order's timer is due. It alone knows when every approval that came in time has been read, so it ends the wait.
        return Move(replace(order, hold_expired_at=situation.message.at))
    return _extend(situation, data.reservation_id)


def reservation_timed_out(order: Order, now: datetime) -> Move:
    """The order has no reason to hold its stock any longer."""
    return compensate(order, now, ending="FAILED", reason="reservation-timeout", message=_MESSAGE)


def _needed(order: Order) -> tuple[str, ...]:
    """The reservations that the order holds or has asked for."""
    if order.phase is Phase.RESERVING:
        return (business_id("rsv", order.order_id, "0"),)
    return (*order.reservations, *(line.reservation_id for line in order.pending))


def _extend(situation: Situation, reservation_id: str) -> Move:
    order = situation.order
    until = extended_until(order, situation.now)
    longer = Outgoing(order.order_id, ExtendReservation(reservation_id=reservation_id, expires_at=until))
    facts = {"reservation_id": reservation_id, "expires_at": until.isoformat(), "waiting_for": order.waiting_for}
    return Move(order, (longer, Note("orders.hold-extended", facts)))
