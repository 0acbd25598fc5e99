"""What the audit's rules let pass: what is not late yet, what is in motion, what comes again, what nobody can know."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from audit_world import (
    APPROVE,
    CAPTURED,
    CHARGED,
    NOW,
    PRICED,
    TOTAL,
    cancelled,
    common,
    completed,
    event,
    failed,
    note,
    waiting,
    with_history,
)

from audit.facts import CommonFacts, GatewayEntry, Reservation, SentCommand
from audit.partitions import Effect, OutboxRow, PartitionFacts, Timer
from audit.rules import PROMISES, Terms, check_common, check_order

JUST_NOW = NOW - timedelta(seconds=1)


def partition(**changes: object) -> CommonFacts:
    return replace(common(), partitions=(replace(PartitionFacts("orders", 0, NOW), **changes),))  # type: ignore[arg-type]


def test_what_is_late_by_less_than_the_grace_is_no_breach() -> None:
    row = OutboxRow(7, "orders.events.v1", "orders.order-completed.v1", JUST_NOW)
    for facts_ in (
        partition(outbox=(row,)),
        partition(timers=(Timer("o", "order", JUST_NOW),)),
        partition(effects=(Effect("f", "o", "charge", JUST_NOW),)),
    ):
        assert check_common(facts_) == []
        assert len(check_common(facts_, Terms(grace_s=0))) == 1


def test_an_open_order_is_a_breach_only_where_none_is_expected() -> None:
    assert check_order(waiting()) == []
    assert [b.rule for b in check_order(waiting(), Terms(expect_ended=True))] == ["everything-has-ended"]
    assert check_order(completed(), Terms(expect_ended=True)) == []


def test_an_order_in_motion_is_not_compared_between_the_parties() -> None:
    assert check_order(replace(completed(), charges=(), reservations=(), at_rest=False)) == []
    assert [b.rule for b in check_order(replace(waiting(), timers=(), at_rest=False))] == ["deadline-while-open"]


def test_what_is_not_published_yet_is_not_looked_for_on_the_topic() -> None:
    late = replace(completed(), published=completed().published[:-1])
    assert check_order(replace(late, published_to=6)) == []
    assert [b.rule for b in check_order(replace(late, published_to=7))] == ["history-is-published"]


def test_the_same_event_again_is_no_breach() -> None:
    order = completed()
    again = tuple(replace(old, offset=500 + n) for n, old in enumerate(order.published))
    assert check_order(replace(order, published=order.published + again)) == []


def test_the_gateway_may_know_more_of_a_charge_than_payment_while_it_is_open() -> None:
    paying = replace(waiting().row, status="PAYING")  # type: ignore[type-var]
    order = with_history(
        replace(waiting(), row=paying), *waiting().history, event(4, "payment-approved", approved_by="me")
    )
    unknown = replace(CAPTURED, status="unknown", captured_minor=0)
    assert check_order(replace(order, charges=(unknown,), entries=(CHARGED,))) == []
    assert check_order(replace(order, charges=(unknown,), entries=())) == []
    assert [
        b.rule
        for b in check_order(
            replace(order, charges=(unknown,), entries=(GatewayEntry("charge", "ch", TOTAL // 2, "GBP"),))
        )
    ] == ["gateway-agrees"]


def test_an_order_may_need_a_person_and_be_giving_back_what_it_took() -> None:
    needs = event(9, "attention-needed", reason="refund-failing", message="closed")
    retrying = note(8, "retry-scheduled", waiting_for="refund")
    order = cancelled()
    captured = replace(CAPTURED, refunds=())
    going_back = replace(
        with_history(order, *order.history[:7], retrying, needs),
        row=replace(order.row, status="NEEDS_ATTENTION", reason=None),  # type: ignore[type-var]
        timers=(NOW,),
        charges=(captured,),
        entries=(CHARGED,),
        reservations=(Reservation("r0", "held", (PRICED,), "GBP"),),
        mails=(),
        heard_outcome=None,
    )
    assert check_order(going_back) == []
    assert {
        b.rule for b in check_order(replace(going_back, row=replace(order.row, status="COMPENSATING", reason=None)))
    } == {"history-folds-to-state"}


def test_what_the_broker_never_took_may_be_unknown() -> None:
    lost = SentCommand("shop", "c99", APPROVE, acknowledged=False)
    assert check_order(replace(completed(), sent=(lost,))) == []


def test_a_hold_that_is_over_may_wait_a_moment_for_its_release_and_as_long_as_its_order_is_open() -> None:
    held = Reservation("r0", "held", (PRICED,), "GBP", over_for_s=89.0)
    assert check_order(replace(failed(), reservations=(held,), at_rest=False)) == []
    long_over = replace(held, over_for_s=10_000.0)
    assert check_order(replace(waiting(), reservations=(long_over,))) == []
    assert check_order(replace(completed(), reservations=(long_over,), at_rest=False)) == []
    assert check_order(replace(failed(), reservations=(long_over,), at_rest=False), Terms(grace_s=20_000)) == []


def test_every_rule_says_what_it_promises() -> None:
    for name, promise in PROMISES.items():
        assert promise.endswith("."), name
        assert len(promise) > 20, name


def test_every_rule_and_its_promise_stand_in_the_documentation() -> None:
    told = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    for name, promise in PROMISES.items():
        assert f"| `{name}` | {promise} |" in told, name


def test_an_order_that_is_left_to_a_person_has_no_timer_and_one_that_only_needs_a_person_has() -> None:
    needs = event(9, "attention-needed", reason="refund-failing", message="the account is closed")
    order = cancelled()
    left = replace(
        with_history(order, *order.history[:7], note(8, "attempt-failed", waiting_for="refund"), needs),
        row=replace(order.row, status="NEEDS_ATTENTION", reason=None),  # type: ignore[type-var]
        timers=(),
        charges=(replace(CAPTURED, refunds=()),),
        entries=(CHARGED,),
        reservations=(Reservation("r0", "held", (PRICED,), "GBP"),),
        mails=(),
        heard_outcome=None,
    )
    assert check_order(left) == []
    retrying = with_history(left, *left.history[:7], note(8, "retry-scheduled", waiting_for="refund"), needs)
    assert [b.rule for b in check_order(retrying)] == ["deadline-while-open"]
