"""Charged, cancelled, timed out, late: whatever comes in whatever order, an order and its money end together.

Exhaustively for all that can happen within a few faults, and by chance for longer ones. Both sides of the gateway are looked at
after every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limbo_world import TOTAL, Left, Step, World, at_rest, begin, steps, tell_order

from contracts.orders import PauseOrder, ResumeOrder, RetryNow
from services.orders.domain import Order
from services.orders.domain.policies import DEFAULTS, Policies, RetryPolicy
from services.orders.domain.retries import is_left_to_a_person
from services.orders.domain.state import ENDED, Phase
from services.payment.gateway.domain import Method
from simulation.checker.gateway import money

MAX_STATES = 200_000


def holds_always(world: World) -> None:
    """What is true at every moment."""
    taken, given = money(world.gate, world.now)
    assert 0 <= given <= taken <= TOTAL, "the gateway gave back more than it took"
    charge, order = world.charge, world.order
    assert order is not None
    if charge is not None:
        assert 0 <= charge.refunded_minor <= charge.captured_minor <= taken, "payment tells of money that was not moved"
        assert charge.refunded_minor <= given
    assert not (world.cancelled and order.phase in {Phase.COMPLETED, Phase.FAILED}), (
        "an accepted cancellation was dropped"
    )


def holds_at_rest(world: World) -> None:
    """What is true when nothing is under way any more."""
    order, charge = world.order, world.charge
    assert order is not None
    assert order.phase in ENDED, f"the order rests as {order.phase}, waiting for {order.waiting_for}"
    assert order.attention is None
    due = TOTAL if order.phase is Phase.COMPLETED else 0
    taken, given = money(world.gate, world.now)
    assert taken - given == due, f"{order.phase}, but the gateway keeps {taken - given}"
    known = (0, 0) if charge is None else (charge.captured_minor, charge.refunded_minor)
    assert known == (taken, given), "payment and the gateway disagree"
    if world.cancelled:
        assert order.phase is Phase.CANCELLED


_MOMENTS = ("approval_deadline", "asked_at", "retry_at", "timer_at")
_PLAIN = [name for name in (f.name for f in fields(Order)) if name not in {*_MOMENTS, "created_at", "updated_at"}]


def key(world: World) -> Any:
    """Worlds that differ in the date alone are the same."""

    def since(at: datetime | None) -> float | None:
        return None if at is None else (at - world.now).total_seconds()

    order, row = world.order, world.gate.row
    known = [getattr(order, name) for name in _PLAIN] + [since(getattr(order, name)) for name in _MOMENTS]
    ledger = None if row is None else (row.state, row.calls, row.refunded_minor, max(since(row.lands_at) or -1, -1))
    calls = [(c.effect.id, c.resumed, repr(c.answers), max(since(c.ready_at) or 0, 0)) for c in world.under_way.calls]
    given = [(refund.request.refund_id, refund.failures, refund.refunded_at is None) for refund in world.gate.refunds]
    timers = [(timer.name, timer.step, since(timer.due_at)) for timer in world.payment_timers]
    ends = [(done.effect_id, done.outcome.end) for done in world.under_way.outcomes]
    topics = (world.to_payment, world.to_orders, world.last_asked, world.last_told, world.under_way.delayed)
    lists = tuple(map(tuple, (known, calls, given, timers, ends)))
    return lists, ledger, world.charge, topics, world.left, world.approved, world.cancelled, since(world.order_timer)


def explore(first: World) -> int:
    """Go every way there is, each state once. Returns how many there are; a broken promise is told with the way to it."""
    came: dict[Any, tuple[Any, str]] = {key(first): (None, "")}
    todo = [first]
    while todo:
        world = todo.pop()
        here = key(world)
        for name, step in steps(world):
            try:
                after = step()
                holds_always(after)
                if at_rest(after):
                    holds_at_rest(after)
            except AssertionError as error:
                raise AssertionError("\n".join([str(error), *_way(came, here), name])) from error
            there = key(after)
            if there not in came:
                came[there] = here, name
                todo.append(after)
        assert len(came) < MAX_STATES, "it does not come to an end"
    return len(came)


def _way(came: dict[Any, tuple[Any, str]], here: Any) -> list[str]:
    way = []
    while here is not None:
        here, name = came[here]
        way.append(name)
    return [name for name in reversed(way) if name]


METHODS = [method.value for method in Method]
#: What may go wrong, besides one cancellation at any moment.
TROUBLES = {
    "two faults of the gateway": Left(faults=2),
    "a fault while time runs away": Left(faults=1, haste=1),
    "a fault and a crash": Left(faults=1, crashes=1),
    "a repeat while time runs away": Left(haste=1, repeats=1),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("left", TROUBLES.values(), ids=TROUBLES)
def test_whatever_comes_in_whatever_order_the_order_and_its_money_end_together(left: Left, method: str) -> None:
    assert explore(begin(method, left)) > 1_000


# --- longer ways, by chance -------------------------------------------------------------------------------------------

BY: dict[str, Any] = {"operator": "op", "reason": "ticket 7"}
PLENTY = Left(cancels=3, faults=12, haste=6, crashes=4)
#: As little patience as can be: everything is soon left to a person.
IMPATIENT = Policies(
    charge=RetryPolicy(1, 1, 1, 2, frozenset({"unknown"})),
    void=RetryPolicy(1, 1, 1, 1),
    refund=RetryPolicy(1, 1, 1, 2),
    no_answer=RetryPolicy(3, 1, 3, 2),
)


@dataclass
class Walk:
    """A way through the world that somebody chooses, with operators and old messages on it."""

    world: World
    asked: list[Any] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    way: list[str] = field(default_factory=list)

    def choices(self) -> list[Step]:
        world = self.world
        found = list(steps(world))
        found += [(type(c).__name__, partial(tell_order, world, c)) for c in (RetryNow(**BY), PauseOrder(**BY))]
        found.append(("ResumeOrder", partial(tell_order, world, ResumeOrder(**BY))))
        if self.asked:
            found.append(("an old command", lambda: replace(world, to_payment=(*world.to_payment, self.asked[0]))))
        if self.told:
            found.append(("an old event", lambda: replace(world, to_orders=(*world.to_orders, self.told[0]))))
        return found

    def go(self, chosen: Step) -> None:
        name, step = chosen
        self.way.append(name)
        self.world = step()
        holds_always(self.world)
        for last, seen in ((self.world.last_asked, self.asked), (self.world.last_told, self.told)):
            if last is not None and last not in seen:
                seen.append(last)
                seen.sort(key=repr)

    def settle(self) -> None:
        """Nothing goes wrong any more, and where a person is needed there is one."""
        self.world = replace(self.world, left=Left(cancels=0))
        for _ in range(2_000):
            busy = [choice for choice in steps(self.world) if choice[0] != "approve"]
            order = self.world.order
            assert order is not None
            if busy:
                self.go(busy[0])
            elif order.paused_at is not None:
                self.go(("ResumeOrder", partial(tell_order, self.world, ResumeOrder(**BY))))
            elif is_left_to_a_person(order):
                self.go(("RetryNow", partial(tell_order, self.world, RetryNow(**BY))))
            else:
                return
        raise AssertionError("it does not come to rest")


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(METHODS),
    policies=st.sampled_from([DEFAULTS, IMPATIENT]),
    choices=st.lists(st.integers(0, 30), max_size=80),
)
def test_longer_ways_with_operators_and_old_messages_end_so_too(
    method: str, policies: Policies, choices: list[int]
) -> None:
    walk = Walk(begin(method, PLENTY, policies))
    try:
        for choice in choices:
            possible = walk.choices()
            walk.go(possible[choice % len(possible)])
        walk.settle()
        holds_at_rest(walk.world)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *walk.way])) from error
