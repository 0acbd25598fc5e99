"""Each trouble has its rule: the facts that show it, the chain that is made of them, and the verb."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from doctor_world import (
    CHARGES,
    NOW,
    ORDER,
    P,
    ago,
    asked,
    at_work,
    down,
    entry,
    failed,
    order,
    partition,
    process,
    world,
)

from contracts.topics import SUBSCRIPTIONS
from messaging.partitioner import partition_of
from orderctl.doctor.chain import Diagnosis
from orderctl.doctor.diagnose import diagnose
from orderctl.doctor.facts import DeadLetter, GroupFacts, KafkaFacts, Lane, OrderFacts, ServiceFacts, Waiting
from orderctl.doctor.rules import RULES

ENDS = {(CHARGES, P): 103}
LETTER = DeadLetter(
    "payment",
    CHARGES,
    P,
    100,
    f"{CHARGES}.payment.dlq",
    7,
    ORDER,
    "payment.charge.v1",
    "handler-error",
    "KeyError",
    ago(50),
)


def told(found: Diagnosis) -> str:
    return " -> ".join(link.fact for link in found.chain)


def verbs(found: Diagnosis) -> list[str]:
    return [advice.command for advice in found.advice if advice.command]


def test_the_chain_goes_from_the_order_over_the_command_and_the_group_to_the_last_failure() -> None:
    stands = at_work("payment", last_error=failed("TransientStoreError: RaiseError: full"), last_progress_at=ago(50))
    found = diagnose(order(history=(*order().history, asked(102))), world(stands, ENDS))
    assert [link.fact for link in found.chain] == [
        "the order is PAYING and waits for payment for 1 min 0 s",
        f"the command payment.charge.v1 at {CHARGES} {P}/102 is not consumed",
        f"payment stands still at {CHARGES} {P}/100, the end is 103",
        "its last failure: TransientStoreError: RaiseError: full",
    ]
    assert (found.state, found.cause, found.subject) == ("stuck", "poisoned-head", "payment")
    assert verbs(found) == ["python -m devstack logs payment"]


def test_a_service_that_is_refused_is_down_and_one_that_is_silent_hangs() -> None:
    group = {"payment": GroupFacts("Empty", 0, {(CHARGES, P): 97})}
    kafka = replace(world().kafka, groups=group)
    found = diagnose(order(), world(down("payment"), kafka=kafka))
    assert (found.cause, found.subject) == ("service-down", "payment")
    assert f"the group stands at {CHARGES} {P}/97 and the topic ends at 100: 3 records wait" in told(found)
    found = diagnose(order(), world(down("payment", "timeout"), kafka=kafka))
    assert (found.cause, verbs(found)) == ("service-hangs", ["python -m devstack restart payment"])


def test_what_answers_there_and_is_no_service_of_ours_is_not_called_down() -> None:
    assert diagnose(order(), world(down("payment", "no-progress"))).cause == "service-unknown"


def test_a_service_whose_group_has_members_may_run_elsewhere() -> None:
    found = diagnose(order(), world(down("payment")))
    assert any("PAYMENT_PROCESS_URLS" in advice.text for advice in found.advice)


def test_the_orders_service_comes_first_because_everything_goes_through_it() -> None:
    both = {**down("payment"), **down("orders")}
    assert diagnose(order(), world(both)).subject == "orders"


@pytest.mark.parametrize(
    ("changed", "cause", "word"),
    [
        (
            {"phase": "starting", "last_error": failed("the database is not there yet: x")},
            "no-database",
            "not there yet",
        ),
        (
            {"phase": "joining", "last_error": failed("no session"), "bootstrap_servers": "elsewhere:9092"},
            "other-broker",
            "it was given elsewhere:9092, and the broker that answers us is at kafka:9092",
        ),
        ({"phase": "joining", "last_error": failed("no session")}, "no-partition", "no session"),
    ],
)
def test_a_process_without_a_partition_tells_why(changed: dict[str, Any], cause: str, word: str) -> None:
    found = diagnose(order(), world({"payment": process("payment", ready=False, **changed)}))
    assert found.cause == cause
    assert word in told(found)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"last_error": failed("TransientStoreError: ConnectionRefusedError: [Errno 111]")}, "database-away"),
        ({"last_error": failed("TransientStoreError: no answer in time")}, "database-locked"),
        ({"busy_since": ago(9)}, "database-locked"),
        ({"last_error": failed("KafkaTimeoutError: no answer in time")}, "broker-trouble"),
        ({"last_error": failed("TransientStoreError: RaiseError: x")}, "poisoned-head"),
        ({"ready": False, "busy_since": ago(1)}, "not-taken-over"),
        ({"timers_overdue": True, "next_due_at": ago(30)}, "timers-stand"),
        ({"outbox_waiting": 4, "outbox_since": ago(30)}, "outbox-stuck"),
    ],
)
def test_a_partition_that_is_in_trouble_tells_which(changed: dict[str, Any], cause: str) -> None:
    stale = {"last_progress_at": ago(40)} | changed
    found = diagnose(order(), world(at_work("payment", **stale), ENDS))
    assert (found.cause, found.subject, found.state) == (cause, "payment", "stuck")


def test_a_failure_that_is_over_is_no_cause() -> None:
    over = at_work("payment", last_error=failed("TransientStoreError: x", 30), last_progress_at=ago(20))
    assert diagnose(order(), world(over)).cause == "unexplained"


def test_a_turn_that_has_just_begun_and_an_outbox_that_was_just_filled_are_no_causes() -> None:
    busy = at_work("payment", busy_since=ago(0.5), outbox_waiting=3, outbox_since=ago(1))
    assert diagnose(order(), world(busy)).cause == "unexplained"


def test_the_last_failure_to_publish_is_told_with_the_outbox_that_stands() -> None:
    stuck = at_work(
        "payment", outbox_waiting=2, outbox_since=ago(30), last_error=failed("publishing: MessageSizeTooLargeError")
    )
    found = diagnose(order(), world(stuck))
    assert "2 messages of partition" in told(found)
    assert "MessageSizeTooLarge" in told(found)


def test_a_missing_topic_explains_a_service_that_ends_at_once() -> None:
    kafka = replace(world().kafka, topics={t: n for t, n in world().kafka.topics.items() if t != "payment.events.v1"})
    found = diagnose(order(), world(down("payment"), kafka=kafka))
    assert (found.cause, verbs(found)) == ("topic-missing", ["python -m devstack topics"])
    assert "the broker has no topic payment.events.v1" in told(found)


def test_a_topic_with_another_partition_count_is_named() -> None:
    kafka = replace(world().kafka, topics={**world().kafka.topics, CHARGES: 8})
    found = diagnose(order(), world(down("payment"), kafka=kafka))
    assert found.cause == "partition-counts"
    assert f"{CHARGES} has 8 partitions, the others have 4" in told(found)


def test_a_broker_that_answers_nobody_is_the_cause_and_one_that_only_we_do_not_reach_is_not() -> None:
    away = KafkaFacts("kafka:9092", "no answer in time")
    stale = {name: process(name, partition(name, ends_at=ago(60))) for name in SUBSCRIPTIONS}
    assert diagnose(order(), world(stale, kafka=away)).cause == "broker-away"
    assert diagnose(order(), world(kafka=away)).cause == "unexplained"


def test_a_dead_letter_of_the_awaited_command_is_named_with_its_reason_and_replayed() -> None:
    found = diagnose(order(history=(*order().history, asked(100))), world(dead_letters=(LETTER,)))
    assert found.cause == "dead-letter"
    assert f"payment could not handle payment.charge.v1 at {CHARGES} {P}/100 and set it aside: handler-error" in told(
        found
    )
    assert verbs(found)[0] == f"orderctl dlq replay payment/{CHARGES}/{P}/100"


def test_what_waits_behind_a_dead_letter_is_told_with_the_letter_to_replay() -> None:
    lane = Lane("payment", ORDER, P, True, 2, CHARGES, 98, "KeyError: the tax")
    found = diagnose(order(), world(lanes=(lane, replace(lane, key="ORDER-2"))))
    assert (found.cause, found.state) == ("parked", "stuck")
    assert f"payment could not handle the record at {CHARGES} {P}/98; 2 more of this order wait behind it" in told(
        found
    )
    assert verbs(found)[0] == f"orderctl dlq replay payment/{CHARGES}/{P}/98"
    assert diagnose(order(), world(lanes=(replace(lane, held=False),))).state == "moving"
    assert diagnose(order(), world(lanes=(replace(lane, key="ORDER-2"),))).cause == "unexplained"


def test_dead_letters_of_others_and_of_before_are_no_cause() -> None:
    others = (replace(LETTER, key="ORDER-2"), replace(LETTER, at=ago(80)), replace(LETTER, service="notification"))
    assert diagnose(order(), world(dead_letters=others)).cause == "unexplained"


def test_a_service_that_moves_is_behind_and_the_time_that_it_takes_is_told() -> None:
    topic = "inventory.commands.v1"
    ends = {(topic, P): 5000}
    here = at_work("inventory", offsets={topic: 1200, "orders.events.v1": 100})
    before = partition("inventory", offsets={topic: 1000, "orders.events.v1": 100}, now=NOW - timedelta(seconds=1))
    earlier = {"inventory": ServiceFacts("inventory", (process("inventory", before),))}
    found = diagnose(order("RESERVING", "stock"), world(here, ends, before=earlier))
    assert (found.state, found.cause, found.fine) == ("behind", "behind", False)
    assert (
        f"it stands at {topic} {P}/1200, 3800 records come first, and it handles about 200 a second: 19 s to go"
        in told(found)
    )


def test_a_service_that_reads_nothing_between_two_looks_stands() -> None:
    still = at_work("payment", last_progress_at=ago(40))
    earlier = {"payment": ServiceFacts("payment", (process("payment", partition("payment")),))}
    found = diagnose(order(), world(still, ENDS, before=earlier))
    assert found.state == "stuck"
    assert "nothing was handled for 40 s" in told(found)


# --- the order itself -------------------------------------------------------------------------------------------------


def retrying(waiting_for: str, due: float, error: str = "the gateway did not answer") -> OrderFacts:
    note = entry("orders.retry-scheduled", 5, failed_attempt=2, error=error, next_attempt_at=ago(-due).isoformat())
    return order(waiting_for=waiting_for, history=(entry("orders.payment-approved.v1", 60), note))


def test_a_payment_whose_attempts_fail_names_the_gateway_and_when_it_is_tried_again() -> None:
    found = diagnose(retrying("payment-outcome", 7), world())
    assert (found.cause, found.state) == ("gateway", "stuck")
    assert "attempt 2 of payment-outcome failed; the next one is due in 7 s" in told(found)
    assert told(found).endswith("the answer was: the gateway did not answer")
    assert verbs(found) == [f"orderctl retry-now {ORDER} --reason TEXT"]


def test_a_payment_service_that_went_down_between_two_attempts_is_the_cause_of_then() -> None:
    assert diagnose(retrying("payment", 7), world(down("payment"))).cause == "service-down"


def test_a_refund_that_keeps_failing_may_be_settled_by_hand() -> None:
    needy = replace(retrying("refund", 30, "refused"), status="NEEDS_ATTENTION")
    told_so = entry("orders.attention-needed.v1", 4, reason="refund-failing", message="refused")
    needy = replace(needy, history=(*needy.history, told_so))
    found = diagnose(needy, world())
    assert found.cause == "refund-failing"
    assert "it is on the list of orders that need a person: refund-failing: refused" in told(found)
    assert verbs(found)[-1] == f"orderctl resolve-attention {ORDER} --resolution settled --evidence TEXT --reason TEXT"


def test_an_attempt_that_is_under_way_has_not_lost_its_timer() -> None:
    late = retrying("payment", -30)
    found = diagnose(replace(late, history=(*late.history, asked(100, seconds_ago=29))), world())
    assert found.cause == "gateway"
    assert "the next one is under way" in told(found)


def test_what_is_left_to_a_person_is_told_so() -> None:
    note = entry("orders.attempt-failed", 5, failed_attempt=1, error="no such charge", next_attempt_at=None)
    found = diagnose(order("NEEDS_ATTENTION", "refund", history=(note,)), world())
    assert found.cause == "refund-failing"
    assert "by itself it is not tried again" in told(found)


def test_a_retry_that_is_long_overdue_has_lost_its_timer() -> None:
    found = diagnose(retrying("payment", -30), world())
    assert found.cause == "timer-lost"
    assert [verb.split()[1] for verb in verbs(found)] == ["pause", "resume"]


def waiting(deadline_in: float) -> OrderFacts:
    return order("AWAITING_APPROVAL", "approval", deadline=ago(-deadline_in))


def test_an_order_that_a_person_has_time_to_approve_is_well() -> None:
    found = diagnose(waiting(600), world())
    assert (found.state, found.fine, verbs(found)) == ("waiting", True, [f"orderctl approve {ORDER}"])


def test_a_deadline_that_passed_without_its_timer_is_told_with_what_holds_the_timer_up() -> None:
    assert diagnose(waiting(-30), world()).cause == "timer-lost"
    found = diagnose(waiting(-30), world(at_work("orders", timers_overdue=True, next_due_at=ago(30))))
    assert found.cause == "timers-stand"
    assert "its deadline has passed and its timer has not fired" in told(found)
    assert diagnose(waiting(-30), world(down("orders"))).cause == "service-down"


def test_a_paused_order_names_who_paused_it() -> None:
    history = (entry("orders.order-paused.v1", 20, operator="m.brown", reason="x"),)
    found = diagnose(order(waiting_for="operator", paused=True, history=history), world())
    assert (found.cause, found.state) == ("paused", "stuck")
    assert "m.brown paused it for 20 s" in told(found)


def test_an_id_that_a_shell_would_run_is_quoted_in_the_advised_command() -> None:
    hostile = next(key for n in range(50) if partition_of(key := f"A; rm -rf $HOME {n}", 4) == P)
    assert verbs(diagnose(replace(waiting(600), order_id=hostile), world())) == [f"orderctl approve '{hostile}'"]


def test_an_order_that_has_ended_and_one_that_has_just_moved_are_well() -> None:
    assert diagnose(order("FAILED", None, reason="out-of-stock"), world()).state == "ended"
    fresh = order(history=(entry("orders.payment-approved.v1", 1),))
    assert diagnose(fresh, world()).state == "moving"


def test_calls_of_the_gateway_that_are_under_way_for_long_are_told() -> None:
    found = diagnose(order(), world(at_work("payment", effects=2)))
    assert (found.cause, found.state) == ("gateway", "stuck")


def test_what_is_asked_in_parallel_is_looked_at_in_turn() -> None:
    enriching = order("ENRICHING", "enrichment")
    assert diagnose(enriching, world(down("customer"))).subject == "customer"
    assert diagnose(enriching, world(down("inventory"))).subject == "inventory"
    # Nobody waits for a recommendation: its absence is no cause.
    assert diagnose(enriching, world(down("recommendation"))).cause == "unexplained"


def test_an_order_nobody_knows_is_unknown_unless_its_command_waits_to_be_read() -> None:
    nobody = OrderFacts(ORDER, False)
    found = diagnose(nobody, world())
    assert (found.cause, found.state) == ("unknown-order", "unknown")
    unread = Waiting("orders.commands.v1", P, 101, "orders.start-order.v1", "c1")
    found = diagnose(nobody, world(down("orders"), waiting=(unread,)))
    assert (found.cause, found.subject) == ("service-down", "orders")
    assert f"orders.start-order.v1 at orders.commands.v1 {P}/101 is not consumed" in told(found)


def test_without_the_orders_api_the_doctor_still_says_what_it_sees() -> None:
    found = diagnose(OrderFacts(ORDER, None), world(down("orders")))
    assert (found.state, found.cause) == ("unknown", "service-down")
    assert "the orders API cannot be asked" in told(found)
    assert diagnose(OrderFacts(ORDER, None), world()).cause == "orders-api-away"


def test_every_rule_has_a_name_of_its_own_and_sees_nothing_where_all_is_well() -> None:
    names = [name for name, _ in RULES]
    assert len(set(names)) == len(names)
    assert diagnose(order(), world()).cause == "unexplained"


#: What a service, a gateway or a person wrote.
WRITTEN = "Zoe Smith, 1 Elm Road"
WROTE = failed(f"TransientStoreError: row (42, {WRITTEN})")


def _needy() -> OrderFacts:
    needy = replace(retrying("refund", 30, WRITTEN), status="NEEDS_ATTENTION")
    told_so = entry("orders.attention-needed.v1", 4, reason="refund-failing", message=WRITTEN)
    return replace(needy, history=(*needy.history, told_so))


def _paused() -> OrderFacts:
    history = (entry("orders.order-paused.v1", 20, operator=WRITTEN, reason=WRITTEN),)
    return order(waiting_for="operator", paused=True, history=history)


@pytest.mark.parametrize(
    ("order_", "world_", "cause"),
    [
        (order(), world({"payment": process("payment", phase="starting", last_error=WROTE)}), "no-database"),
        (
            order(),
            world({"payment": process("payment", phase="joining", last_error=WROTE, bootstrap_servers="b:1")}),
            "other-broker",
        ),
        (order(), world({"payment": process("payment", phase="joining", last_error=WROTE)}), "no-partition"),
        *(
            (
                order(),
                world(at_work("payment", last_error=failed(f"{word} {WRITTEN}"), last_progress_at=ago(40))),
                cause,
            )
            for word, cause in [
                ("ConnectionRefusedError", "database-away"),
                ("no answer in time", "database-locked"),
                ("KafkaTimeoutError", "broker-trouble"),
                ("RaiseError", "poisoned-head"),
            ]
        ),
        (
            order(),
            world(
                at_work(
                    "payment",
                    outbox_waiting=2,
                    outbox_since=ago(30),
                    last_error=failed(f"publishing: {WRITTEN}", 30),
                    last_progress_at=ago(20),
                )
            ),
            "outbox-stuck",
        ),
        (
            order(history=(*order().history, asked(100))),
            world(dead_letters=(replace(LETTER, error=WRITTEN),)),
            "dead-letter",
        ),
        *(
            (order(), world(lanes=(Lane("payment", ORDER, P, held, 3, CHARGES, 100, WRITTEN),)), "parked")
            for held in (True, False)
        ),
        (retrying("payment", 7, WRITTEN), world(), "gateway"),
        (_needy(), world(), "refund-failing"),
        (_paused(), world(), "paused"),
    ],
)
def test_what_others_wrote_is_told_and_can_be_left_out(order_: OrderFacts, world_: Any, cause: str) -> None:
    found = diagnose(order_, world_)
    assert found.cause == cause
    assert WRITTEN in told(found)
    assert WRITTEN not in " ".join(link.unquoted("(hidden)") for link in found.chain)


def test_a_line_that_was_added_changes_nothing_about_since_when_the_approval_is_waited_for() -> None:
    held, added = entry("orders.stock-reserved.v1", 600), entry("orders.line-item-added.v1", 3)
    found = diagnose(order("AWAITING_APPROVAL", "approval", history=(held, added)), world())
    assert found.chain[0].fact == "the order is AWAITING_APPROVAL and waits for approval for 10 min 0 s"
