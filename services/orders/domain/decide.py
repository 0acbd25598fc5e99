"""The workflow as a closed table: for every message, what the order does with it in each phase.

    start-order -> ENRICHING (version 2) -> RESERVING -> AWAITING_APPROVAL -> PAYING -> COMPLETED
                       |                    |            |               |
                       +--------------------+------------+---------------+--> COMPENSATING -> CANCELLED | FAILED

A cell that is missing does not exist: `decide` looks every pair up, and a test walks the whole table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from contracts import customer, inventory, orders, payment, recommendation
from contracts.envelope import InvalidCommand
from contracts.values import CommandData, Item
from messaging.decision import CancelTimer, Decision, Message, SetTimer, TimerFired
from services.orders.domain import compensation, enrichment, holds, operations, replies, signals
from services.orders.domain.evolve import replace, same
from services.orders.domain.greet import greet
from services.orders.domain.move import Move, Situation, awaited, verdict_event
from services.orders.domain.policies import DEFAULTS, Policies
from services.orders.domain.retries import patience_over_at
from services.orders.domain.state import Order, Phase, Verdict, View

Rule = Callable[[Situation], Move]

#: The order's one timer.
TIMER: Final = "order"

_PLACEHOLDER: Final = orders.StartOrder(customer_id="nobody", items=(Item(sku="nothing", quantity=1),))


def _ignore(situation: Situation) -> Move:
    """An answer that was overtaken: the state already holds what it says."""
    return Move(situation.order)


def _row(
    new: Rule, enriching: Rule, reserving: Rule, awaiting: Rule, paying: Rule, compensating: Rule, ended: Rule
) -> Mapping[Phase, Rule]:
    return {
        Phase.NEW: new,
        Phase.ENRICHING: enriching,
        Phase.RESERVING: reserving,
        Phase.AWAITING_APPROVAL: awaiting,
        Phase.PAYING: paying,
        Phase.COMPENSATING: compensating,
        Phase.COMPLETED: ended,
        Phase.CANCELLED: ended,
        Phase.FAILED: ended,
    }


_S, _O, _E, _R, _C, _H = signals, operations, enrichment, replies, compensation, holds
_UNKNOWN, _LATE, _NOTE = signals.unknown_order, signals.too_late, compensation.note_late

# fmt: off
TABLE: Final[Mapping[type[Any], Mapping[Phase, Rule]]] = {
    #                                   NEW         ENRICHING            RESERVING       AWAITING          PAYING               COMPENSATING                  ended
    InvalidCommand:               _row(_S.invalid, _S.invalid,          _S.invalid,     _S.invalid,       _S.invalid,          _S.invalid,                   _S.invalid),
    orders.StartOrder:            _row(_S.start,   _S.start_again,      _S.start_again, _S.start_again,   _S.start_again,      _S.start_again,               _S.start_again),
    orders.StartGreet:            _row(greet,      _S.start_again,      _S.start_again, _S.start_again,   _S.start_again,      _S.start_again,               _S.start_again),
    orders.ApprovePayment:        _row(_UNKNOWN,   _S.approve,          _S.approve,     _S.approve,       _S.approved_already, _LATE,                        _LATE),
    orders.CancelOrder:           _row(_UNKNOWN,   _S.cancel,           _S.cancel,      _S.cancel,        _S.cancel,           _S.cancel_while_compensating, _LATE),
    orders.CancelByOperator:      _row(_UNKNOWN,   _S.cancel,           _S.cancel,      _S.cancel,        _S.cancel,           _S.cancel_while_compensating, _LATE),
    orders.AddLineItem:           _row(_UNKNOWN,   _S.add_line,         _S.add_line,    _S.add_line,      _S.not_allowed,      _LATE,                        _LATE),
    orders.RetryNow:              _row(_UNKNOWN,   _O.retry_now,        _O.retry_now,   _O.retry_now,     _O.retry_now,        _O.retry_now,                 _LATE),
    orders.PauseOrder:            _row(_UNKNOWN,   _O.pause,            _O.pause,       _O.pause,         _O.pause,            _O.pause,                     _LATE),
    orders.ResumeOrder:           _row(_UNKNOWN,   _O.resume,           _O.resume,      _O.resume,        _O.resume,           _O.resume,                    _LATE),
    orders.ResolveAttention:      _row(_UNKNOWN,   _O.resolve,          _O.resolve,     _O.resolve,       _O.resolve,          _O.resolve,                   _LATE),
    customer.CustomerFound:       _row(_ignore,    _E.customer_found,   _ignore,        _ignore,          _ignore,             _ignore,                      _ignore),
    customer.CustomerUnknown:     _row(_ignore,    _E.customer_unknown, _ignore,        _ignore,          _ignore,             _ignore,                      _ignore),
    recommendation.Recommended:   _row(_ignore,    _E.recommended,      _ignore,        _ignore,          _ignore,             _ignore,                      _ignore),
    inventory.StockChecked:       _row(_ignore,    _E.stock_checked,    _ignore,        _ignore,          _ignore,             _ignore,                      _ignore),
    inventory.StockReserved:      _row(_ignore,    _ignore,             _R.reserved,    _R.line_reserved, _ignore,             _ignore,                      _ignore),
    inventory.ReservationRefused: _row(_ignore,    _ignore,             _R.refused,     _R.line_refused,  _ignore,             _ignore,                      _ignore),
    inventory.ReservationExpired: _row(_ignore,    _ignore,             _H.expired,     _H.expired,       _H.expired,          _ignore,                      _ignore),
    inventory.StockReleased:      _row(_ignore,    _ignore,             _ignore,        _ignore,          _ignore,             _C.released,                  _ignore),
    payment.ChargeCaptured:       _row(_ignore,    _NOTE,               _NOTE,          _NOTE,            _R.captured,         _C.captured,                  _NOTE),
    payment.ChargeDeclined:       _row(_ignore,    _NOTE,               _NOTE,          _NOTE,            _R.declined,         _C.charge_failed,             _NOTE),
    payment.ChargeFailed:         _row(_ignore,    _NOTE,               _NOTE,          _NOTE,            _R.failed,           _C.charge_failed,             _NOTE),
    payment.ChargeUnknown:        _row(_ignore,    _NOTE,               _NOTE,          _NOTE,            _R.failed,           _C.charge_failed,             _NOTE),
    payment.ChargeVoided:         _row(_ignore,    _NOTE,               _NOTE,          _NOTE,            _R.voided,           _C.voided,                    _NOTE),
    payment.VoidFailed:           _row(_ignore,    _NOTE,               _NOTE,          _NOTE,            _R.void_failed,      _C.void_failed,               _NOTE),
    payment.Refunded:             _row(_ignore,    _NOTE,               _NOTE,          _NOTE,            _NOTE,               _C.refunded,                  _NOTE),
    payment.RefundFailed:         _row(_ignore,    _NOTE,               _NOTE,          _NOTE,            _NOTE,               _C.refund_failed,             _NOTE),
    TimerFired:                   _row(_ignore,    _R.time_passed,      _R.time_passed, _R.time_passed,   _R.time_passed,      _R.time_passed,               _ignore),
}
# fmt: on


def decide(view: View, message: Message, now: datetime, policies: Policies = DEFAULTS) -> Decision[View]:
    """What one message does to one order. Pure: the same view, message, time and policies always decide the same."""
    if isinstance(message.data, (CommandData, InvalidCommand)):
        known = view.verdicts.get((message.source, message.id))
        if known is not None:
            return _repeated(view, known, message)
    before = view.order
    order = before or _nobody(message.key, now)
    if order.paused_at is not None and isinstance(message.data, TimerFired):
        return Decision(replace(view, fresh=()))  # deadlines stand still; resuming sets the timer anew
    move = TABLE[type(message.data)][order.phase](Situation(order, message, now, policies))
    if order.paused_at is not None and move.order.paused_at is not None:
        move = _stand_still(order.paused_at, order, move, now)
    return _decision(view, before, move, message, now, policies)


def _repeated(view: View, known: Verdict, message: Message) -> Decision[View]:
    """The same command again: its verdict again, or as soon as there is one."""
    if known.accepted is not None:
        return Decision(replace(view, fresh=()), (verdict_event(message.key, known, duplicate=True),))
    order = view.order
    if order is not None:
        order = signals.remember_pending(order, message.source, message.id)
    return Decision(View(order, view.verdicts, ()))


def _decision(
    view: View, before: Order | None, move: Move, message: Message, now: datetime, policies: Policies
) -> Decision[View]:
    fresh = move.verdicts
    pending = {line.command for line in move.order.pending} - {
        line.command for line in (before.pending if before else ())
    }
    fresh = (*fresh, *(Verdict(command, accepted=None) for command in sorted(pending, key=lambda c: (c.source, c.id))))
    verdicts = {**view.verdicts, **{(v.command.source, v.command.id): v for v in fresh}} if fresh else view.verdicts
    if move.order.phase is Phase.NEW:
        return Decision(View(None, verdicts, fresh), move.says)
    order, timers = _arm(move.order, isinstance(message.data, TimerFired), policies)
    # The very same object says that there is nothing to write: a reply that was overtaken costs no row.
    order = before if before is not None and same(order, before) else replace(order, updated_at=now)
    return Decision(View(order, verdicts, fresh), move.says, timers)


def _stand_still(paused_at: datetime, before: Order, move: Move, now: datetime) -> Move:
    """A paused order takes note of what arrives, but asks nobody for anything: what it would have asked for follows from its
    state when it is resumed. (What does not, it says: the stock of a line that cannot be added is given back at once.) A deadline
    that was set meanwhile is kept as if it had been set when the order was paused. An order that ends does not stand still."""
    if move.order.ended:
        return replace(move, order=replace(move.order, paused_at=None))
    order = replace(move.order, asked_at=None)
    stood = now - paused_at
    if order.approval_deadline is not None and order.approval_deadline != before.approval_deadline:
        order = replace(order, approval_deadline=order.approval_deadline - stood)
    if order.retry_at is not None and order.retry_at != before.retry_at:
        order = replace(order, retry_at=order.retry_at - stood)
    later = awaited(move.order)  # as it was when these were said: what is asked for depends on the deadlines
    says = tuple(said for said in move.says if said not in later)
    return Move(order, says, move.verdicts)


def _arm(order: Order, fired: bool, policies: Policies) -> tuple[Order, tuple[SetTimer | CancelTimer, ...]]:
    """Keep the one timer no later than the earliest deadline. A timer that is too early is left: moving it costs more than
    letting it fire for nothing. `fired`: the row is gone."""
    standing = None if fired else order.timer_at
    if order.ended or order.paused_at is not None:
        cancel = () if standing is None else (CancelTimer(order.order_id, TIMER),)
        return _timed(order, None), cancel
    deadlines = (order.deadline, order.retry_at, patience_over_at(order, policies), order.recommend_by)
    needed = min((at for at in deadlines if at is not None), default=None)
    if needed is None or (standing is not None and standing <= needed):
        return _timed(order, standing), ()
    return _timed(order, needed), (SetTimer(order.order_id, TIMER, 0, needed),)


def _timed(order: Order, at: datetime | None) -> Order:
    return order if order.timer_at == at else replace(order, timer_at=at)


def _nobody(key: str, now: datetime) -> Order:
    """What stands for the order where there is none."""
    return Order(
        order_id=key,
        workflow="order",
        workflow_version=1,
        phase=Phase.NEW,
        request=_PLACEHOLDER,
        items=(),
        created_at=now,
        updated_at=now,
    )
