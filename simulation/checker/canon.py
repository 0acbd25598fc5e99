"""One form for what makes no difference. Two values that get the same form here decide the same for ever after.

What is dropped, and why nobody can tell:

- when an order or a reservation was made and last changed: no decision reads it;
- an order's time for approval, and when its hold was announced, outside AWAITING_APPROVAL; until when a recommendation is waited
  for, outside ENRICHING: only rules of that phase read them, and no order comes back to a phase (`tests/unit` walks the table);
- when a reservation expires that is not held any more: only what is held is announced or extended;
- how long ago money moved, or an answer became ready: only whether it has is asked;
- the words of a verdict, and when it was told: the rules ask what was told, never in which words or when.

`tests/system/test_checker.py` checks this: whatever is decided on a form is decided on what it stands for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from contracts import orders
from contracts.registry import TYPE_OF
from services.orders.domain.state import Order, Phase
from simulation.checker.gateway import Gate, UnderWay
from simulation.checker.values import NOW
from simulation.checker.world import Known, Room, Told

_ACCEPTED = TYPE_OF[orders.CommandAccepted][1]


def known(known: Known) -> Known:
    """What the orchestrator knows."""
    verdicts = tuple(replace(verdict, message="") for verdict in known.verdicts)
    return Known(None if known.order is None else _order(known.order), verdicts, known.timer)


def _order(order: Order) -> Order:
    changed: dict[str, Any] = {"created_at": NOW, "updated_at": NOW}
    if order.phase is not Phase.AWAITING_APPROVAL:
        changed |= {"approval_deadline": None, "hold_expired_at": None}
    if order.phase is not Phase.ENRICHING and order.enrichment is not None:
        changed["enrichment"] = replace(order.enrichment, recommend_by=None)
    return replace(order, **changed)


def room(room: Room) -> Room:
    """What inventory knows."""
    rows = []
    for row in room.reservations:
        plain = replace(row, created_at=NOW, updated_at=NOW)
        if row.state != "held":
            plain = replace(plain, expires_at=None, announce_at=None, announced=0)
        rows.append(plain)
    return replace(room, reservations=tuple(sorted(rows, key=lambda row: row.reservation_id)))


def gate(gate: Gate) -> Gate:
    """The gateway's rows."""
    row = gate.row
    if row is not None and row.lands_at is not None and row.lands_at < NOW:
        row = replace(row, lands_at=NOW)
    refunds = [replace(r, refunded_at=NOW) if r.refunded_at is not None else r for r in gate.refunds]
    return Gate(row, tuple(sorted(refunds, key=lambda refund: refund.request.refund_id)))


def under_way(under_way: UnderWay) -> UnderWay:
    """The calls under way."""
    calls = tuple(replace(call, ready_at=max(call.ready_at, NOW)) for call in under_way.calls)
    return replace(under_way, calls=calls)


def tell(told: Told, said: Any) -> Told:
    """A history with one entry more: an event (its type and data), or the type of an entry about an attempt."""
    if isinstance(said, str):
        return replace(told, last_attempt=said)
    named, data = said
    if isinstance(data, orders.CommandAccepted | orders.CommandRejected):
        reason = data.reason if isinstance(data, orders.CommandRejected) else None
        first = named, data.command_id, data.command_type, reason, False
        # A verdict that is told again says nothing new, but one that was never told before would.
        again = data.duplicate and first not in told.verdicts
        return replace(told, verdicts=told.verdicts | {(*first[:4], again)})
    if isinstance(data, orders.StockReserved):
        data = data.model_copy(update={"deadline": NOW})
    return replace(told, events=(*told.events, (named, data)))
