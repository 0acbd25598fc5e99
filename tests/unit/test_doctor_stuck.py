"""Which orders are listed as stuck, how they are grouped, and what of an order's history says whom it has asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from doctor_world import CHARGES, NOW, P, ago, asked, down, entry, order, world

from messaging.partitioner import partition_of
from orderctl.doctor.diagnose import diagnose
from orderctl.doctor.facts import OrderFacts, parse_process
from orderctl.doctor.story import open_requests, since_of
from orderctl.doctor.stuck import Case, grouped, stands, suspicious

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("told", "worth_a_look"),
    [
        ({"status": "PAYING", "created_at": ago(30).isoformat()}, False),
        ({"status": "PAYING", "created_at": ago(90).isoformat()}, True),
        ({"status": "NEEDS_ATTENTION", "created_at": ago(1).isoformat()}, True),
        ({"status": "AWAITING_APPROVAL", "created_at": ago(500).isoformat(), "deadline": ago(-100).isoformat()}, False),
        ({"status": "AWAITING_APPROVAL", "created_at": ago(50).isoformat(), "deadline": ago(10).isoformat()}, True),
    ],
)
def test_only_what_should_have_moved_is_looked_at(told: dict[str, Any], worth_a_look: bool) -> None:
    assert suspicious(told, NOW, MINUTE) is worth_a_look


def test_an_order_stands_since_the_last_thing_that_moved_it_not_since_it_was_talked_about() -> None:
    talked = (entry("orders.command-rejected.v1", 5), entry("orders.attention-needed.v1", 4))
    long_since = order(history=(*order().history, *talked))
    assert since_of(long_since) == ago(60)
    assert stands(long_since, NOW, MINUTE)
    assert not stands(order(history=(entry("orders.payment-approved.v1", 30),)), NOW, MINUTE)


def case(order_id: str, seconds: float, **more: Any) -> Case:
    found: OrderFacts = replace(
        order(**more), order_id=order_id, history=(entry("orders.payment-approved.v1", seconds),)
    )
    return Case(found, since_of(found), diagnose(found, world(down("payment"))))


def test_orders_are_told_by_cause_the_largest_group_first_and_the_oldest_first_in_it() -> None:
    a, b, c = [key for n in range(50) if partition_of(key := f"O-{n}", 4) == P][:3]
    cases = [case(a, 70), case(b, 90), case(c, 80, paused=True)]
    groups = grouped(cases)
    assert [(group.cause, [one.order.order_id for one in group.cases]) for group in groups] == [
        ("service-down", [b, a]),
        ("paused", [c]),
    ]
    assert (
        groups[0].fact
        == "payment does not run: nothing listens at http://payment -> its group is stable with 1 members"
    )
    assert groups[1].fact.startswith("an operator paused it")


def test_the_last_request_to_a_participant_is_open_until_it_is_answered() -> None:
    before, first, again = (
        asked(5, "r0", seconds_ago=80),
        asked(6, "r1", seconds_ago=50),
        asked(None, "r2", seconds_ago=20),
    )
    told = order(history=(order().history[0], before, order().history[1], first, again))
    (found,) = open_requests(told)
    assert (found.service, found.type, found.topic, found.offset) == ("payment", "payment.charge.v1", CHARGES, 6)
    (found,) = open_requests(replace(told, history=(*told.history[:-2], again)))
    assert (found.topic, found.offset) == (CHARGES, None)
    answer = {**entry("orders.noted", 10), "answers": "r2"}
    assert open_requests(replace(told, history=(*told.history, answer))) == ()


def test_an_answer_of_another_version_is_read_as_far_as_it_goes() -> None:
    told = {"service": "payment", "partitions": [{"partition": 2, "offsets": {CHARGES: 4}}, "nonsense"], "new": 1}
    found = parse_process("http://payment", told, NOW)
    (one,) = found.partitions
    assert (one.partition, one.offsets, one.now, one.last_error) == (2, {CHARGES: 4}, NOW, None)
    assert found.told == told
