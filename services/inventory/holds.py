"""When a hold is over: pure functions. The clock of the stock room frees nothing; it announces, and the order decides.

A hold's expiry is announced once, and again at growing intervals as long as nobody extends or releases it. Each partition has
one timer for all of its holds, set no later than the next announcement. It is left where it stands when that hold ends before:
then it fires once for nothing and is set anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from contracts.inventory import ExtendReservation, ReservationExpired
from messaging.decision import Decision, Outgoing, SetTimer, TimerFired
from services.inventory.ledger import Changes, Ledger, Reservation, Sweep

#: The name of the timer under a partition's `sweep_key`.
SWEEP: Final = "sweep"
#: A sweep comes no sooner than this after what it follows: holds that expire close together are announced together.
SWEEP_EVERY: Final = timedelta(seconds=5)
#: At most so many holds are announced by one sweep.
SWEEP_LIMIT: Final = 500
#: How long after the first announcement the second one comes, where nobody answers; from then on each wait is twice as long...
REPEAT_FIRST: Final = timedelta(seconds=60)
#: ... up to this.
REPEAT_MOST: Final = timedelta(hours=1)


def sweep_key(partition: int) -> str:
    """The key of a partition's timer. Its due time goes into the ids of what it says, so no two partitions share one."""
    return f"holds/{partition}"


def first_announcement(expires_at: datetime | None, now: datetime) -> datetime | None:
    """When a hold that is made or extended now is first announced. One whose expiry is already over has a moment: the order may
    just be about to say how long it needs it."""
    return None if expires_at is None else max(expires_at, now + SWEEP_EVERY)


def armed(sweep: Sweep, held: Reservation) -> tuple[Sweep | None, tuple[SetTimer, ...]]:
    """The timer, where this hold needs it earlier than it stands. Usually it does not: later orders expire later."""
    at = held.announce_at
    if at is None or (sweep.armed_for is not None and sweep.armed_for <= at):
        return None, ()
    return replace(sweep, armed_for=at), (SetTimer(sweep_key(sweep.partition), SWEEP, 0, at),)


def decide_hold(
    ledger: Ledger, order_id: str, data: ExtendReservation | TimerFired, now: datetime
) -> Decision[Changes]:
    """What follows from an extension, or from the partition's timer."""
    if isinstance(data, TimerFired):
        return announce(ledger, data, now)
    return extend(ledger, order_id, data, now)


def extend(ledger: Ledger, order_id: str, data: ExtendReservation, now: datetime) -> Decision[Changes]:
    """The order needs it for longer. An older extension that is delivered again shortens nothing."""
    known = ledger.reservations.get((order_id, data.reservation_id))
    if known is None or known.state != "held" or known.expires_at is None or known.expires_at >= data.expires_at:
        return Decision(Changes())
    longer = replace(
        known,
        expires_at=data.expires_at,
        announce_at=first_announcement(data.expires_at, now),
        announced=0,
        updated_at=now,
    )
    sweep, timers = armed(ledger.sweep, longer)
    return Decision(Changes(reservations={longer.key: longer}, sweep=sweep), (), timers)


def announce(ledger: Ledger, fired: TimerFired, now: datetime) -> Decision[Changes]:
    """Announce what is over, and set the timer for what comes next. What was appended before the timer was due has been decided,
    so an extension that came in time is known here; `due` was looked up before that, and is looked at again."""
    sweep = ledger.sweep
    rows = [ledger.reservations[key] for key in sweep.due]
    over = [row for row in rows if _is_over(row, fired.due_at)]
    again = {
        row.key: replace(row, announced=row.announced + 1, announce_at=_next_announcement(row, now)) for row in over
    }
    says = tuple(
        Outgoing(row.order_id, ReservationExpired(reservation_id=row.reservation_id, expired_at=row.expires_at))
        for row in over
        if row.expires_at is not None
    )
    following = _following(sweep, {**ledger.reservations, **again}.values(), now)
    timers = () if following is None else (SetTimer(sweep_key(sweep.partition), SWEEP, 0, following),)
    return Decision(Changes(reservations=again, sweep=replace(sweep, armed_for=following)), says, timers)


def _is_over(row: Reservation, at: datetime) -> bool:
    return row.state == "held" and row.announce_at is not None and row.announce_at <= at


def _next_announcement(row: Reservation, now: datetime) -> datetime:
    # The exponent is bounded: a hold that nobody ever frees must not end in an overflow.
    return now + min(REPEAT_FIRST * (1 << min(row.announced, 16)), REPEAT_MOST)


def _following(sweep: Sweep, rows: Iterable[Reservation], now: datetime) -> datetime | None:
    """When the next sweep is needed: `rows` are those that this batch knows better than the look-up that came before it."""
    soonest = now + SWEEP_EVERY
    if len(sweep.due) >= SWEEP_LIMIT:
        return soonest
    own = (row for row in rows if row.partition == sweep.partition)
    known = [row.announce_at for row in own if row.state == "held" and row.announce_at is not None]
    following = min((*known, *((sweep.following,) if sweep.following is not None else ())), default=None)
    return None if following is None else max(following, soonest)
