"""How long an order waits, and until when its stock is to be held meanwhile. All of it follows from the order's state."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from services.orders.domain.policies import APPROVAL_TIMEOUT_S
from services.orders.domain.state import Order, Phase

#: A hold outlives the order's own deadline by this, so that normally the order ends the wait, not the hold. It has to cover the
#: way to inventory and back: the time for approval runs from the answer, the hold's from the request.
HOLD_GRACE: Final = timedelta(seconds=60)
#: For how long at a time a hold is extended while nothing but an answer is awaited.
HOLD_WHILE_ASKING: Final = timedelta(minutes=5)


def default_approval_timeout_s(order: Order) -> int:
    """How long an approval is waited for where the start-order does not say: in version 2 the customer's tier decides, once it is
    known."""
    tier = order.enrichment.tier if order.enrichment is not None else None
    return APPROVAL_TIMEOUT_S["STANDARD" if tier is None else tier]


def approval_timeout_s(order: Order) -> int:
    """How long an approval of this order is waited for."""
    if order.approval_timeout_s is not None:
        return order.approval_timeout_s
    # An order that was started before there were tiers has what its request says.
    return order.ordered.approval_timeout_s if order.enrichment is None else default_approval_timeout_s(order)


def held_until(order: Order) -> datetime | None:
    """Until when what is asked for now is to be held. While the stock is being reserved nobody knows yet when the time for approval
    begins; later it stands."""
    if order.phase is Phase.AWAITING_APPROVAL and order.approval_deadline is not None:
        return order.approval_deadline + HOLD_GRACE
    return None if order.asked_at is None else _whole_wait(order, order.asked_at)


def extended_until(order: Order, now: datetime) -> datetime:
    """Until when the order needs what it holds, as far as anybody can say now. Whoever has paused it for long is expected to do so
    for as long again: a pause of days is not an exchange of a thousand messages."""
    if order.paused_at is not None:
        return _whole_wait(order, now + (now - order.paused_at))
    if order.phase is Phase.RESERVING:
        return _whole_wait(order, now)
    if order.phase is Phase.AWAITING_APPROVAL and order.approved_by is None and order.approval_deadline is not None:
        return max(order.approval_deadline, now) + HOLD_GRACE
    return now + HOLD_WHILE_ASKING


def _whole_wait(order: Order, since: datetime) -> datetime:
    return since + timedelta(seconds=approval_timeout_s(order)) + HOLD_GRACE


def hold_expired_before_approval(order: Order) -> bool:
    """Whether the order was told that its hold is over, when the time for its approval was over too. (The time may have been moved
    since, by a pause.)"""
    deadline, expired_at = order.approval_deadline, order.hold_expired_at
    return expired_at is not None and deadline is not None and deadline < expired_at
