"""Deadlines, retries and patience: what the order's one timer does, early, late or twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from orders_talk import (
    ADD,
    APPROVE,
    CANCEL,
    NOW,
    PAUSE,
    RESUME,
    Talk,
    captured,
    charge_failed,
    charge_unknown,
    held,
    in_phase,
    names,
    refund_failed,
    refunded,
    refused,
    released,
    start,
    verdict,
    void_failed,
    voided,
)

from contracts.payment import Charge, VoidCharge
from messaging.decision import Note, Outgoing
from services.orders.domain.move import awaited
from services.orders.domain.policies import DEFAULTS
from services.orders.domain.state import Phase


def seconds(delays: list[timedelta]) -> list[float]:
    return [delay.total_seconds() for delay in delays]


def test_the_policies_wait_as_the_contract_says() -> None:
    assert seconds([DEFAULTS.charge.delay(n) for n in range(1, 8)]) == [1, 2, 4, 8, 16, 30, 30]
    assert [DEFAULTS.charge.exhausted(n) for n in range(1, 7)] == [False] * 4 + [True] * 2
    for compensation in (DEFAULTS.void, DEFAULTS.refund):
        assert seconds([compensation.delay(n) for n in range(1, 9)]) == [1, 2, 4, 8, 16, 32, 60, 60]
        assert not compensation.exhausted(10**6)
    assert seconds([DEFAULTS.refund.delay(10**6), DEFAULTS.no_answer.delay(10**6)]) == [60, 60]


def test_an_order_that_is_not_approved_ends_when_its_deadline_fires() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL, approval_timeout_s=5)
    assert names(talk.fire()) == ["ReleaseStock"]
    assert talk.now == NOW + timedelta(seconds=5)
    talk.tell(released())
    assert (talk.phase, talk.order.reason) == (Phase.CANCELLED, "approval-timeout")


def test_a_timer_that_fires_too_early_changes_nothing_and_is_set_again() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    assert talk.fire(NOW + timedelta(seconds=1)) == []
    assert (talk.phase, talk.timer) == (Phase.AWAITING_APPROVAL, NOW + timedelta(seconds=900))


def test_a_timer_of_an_earlier_moment_that_fires_late_does_not_speak_for_the_deadline() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    early = talk.timer
    assert early is not None
    assert early < NOW + timedelta(seconds=900)
    talk.skip(2_000)
    assert talk.fire(early) == []
    assert verdict(talk.tell(APPROVE, at=NOW + timedelta(seconds=899))) == "accepted"
    assert talk.phase is Phase.PAYING


def test_a_timer_that_fires_twice_ends_the_order_once() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL, approval_timeout_s=5)
    due = talk.timer
    talk.fire(due)
    assert talk.fire(due) == []
    assert talk.phase is Phase.COMPENSATING


@pytest.mark.parametrize(("at_s", "told"), [(899, "accepted"), (900, "accepted"), (900.000001, "too-late")])
def test_an_approval_counts_by_the_moment_it_was_appended(at_s: float, told: str) -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.skip(5_000)
    assert verdict(talk.tell(APPROVE, at=NOW + timedelta(seconds=at_s))) == told
    assert talk.phase is (Phase.PAYING if told == "accepted" else Phase.COMPENSATING)


def test_a_payment_is_tried_five_times_with_back_off_and_then_voided_before_it_is_called_failed() -> None:
    talk = in_phase(Phase.PAYING)
    waits = []
    for attempt in range(1, 5):
        (note,) = talk.tell(charge_failed(attempt))
        waits.append(note.data["delay_s"])
        talk.tell(charge_failed(attempt))  # once more: it was answered
        (again,) = talk.fire()
        assert isinstance(again, Charge)
        assert again.attempt == attempt + 1
    assert waits == [1, 2, 4, 8]
    note, void = talk.tell(charge_failed(5))
    assert (note.type, note.data["failed_attempt"], note.data["next_attempt_at"]) == ("orders.attempt-failed", 5, None)
    assert void == VoidCharge(charge_id=again.charge_id, attempt=1)
    assert talk.order.waiting_for == "payment-outcome"
    assert names(talk.tell(voided())) == ["ReleaseStock"]
    talk.tell(released())
    assert (talk.phase, talk.order.reason) == (Phase.FAILED, "payment-failed")


def test_a_capture_that_comes_to_light_while_voiding_completes_the_order() -> None:
    talk = in_phase(Phase.PAYING)
    for attempt in range(1, 5):
        talk.tell(charge_unknown(attempt))
        talk.fire()
    talk.tell(charge_unknown(5))
    assert names(talk.tell(captured()))[-1] == "OrderCompleted"


def test_a_void_that_keeps_failing_needs_attention_with_the_third_failure() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(CANCEL)
    for attempt in (1, 2):
        assert names(talk.tell(void_failed(attempt))) == ["orders.retry-scheduled"]
        talk.fire()
    assert names(talk.tell(void_failed(3))) == ["orders.retry-scheduled", "AttentionNeeded"]
    assert (talk.order.status, talk.order.waiting_for) == ("NEEDS_ATTENTION", "payment-outcome")
    talk.fire()
    assert names(talk.tell(void_failed(4))) == ["orders.retry-scheduled"]
    assert names(talk.tell(voided())) == ["AttentionResolved", "ReleaseStock"]


def test_a_refund_that_keeps_failing_needs_attention_with_the_third_failure_and_is_never_dropped() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(CANCEL, captured())
    told = []
    for attempt in range(1, 12):
        told.append(names(talk.tell(refund_failed(attempt)))[1:])
        while not (said := talk.fire()):  # an earlier timer may fire for nothing
            pass
        assert names(said) == ["Refund"]
    assert told == [[], [], ["AttentionNeeded"], *([[]] * 8)]
    assert names(talk.tell(refunded())) == ["PaymentRefunded", "AttentionResolved", "ReleaseStock"]


@pytest.mark.parametrize(
    ("before", "failed"),
    [((CANCEL,), void_failed()), ((CANCEL, captured()), refund_failed()), ((charge_failed(),), void_failed())],
)
def test_a_failure_that_is_told_again_does_not_put_the_next_attempt_off(before: tuple[Any, ...], failed: Any) -> None:
    talk = in_phase(Phase.PAYING, replace(DEFAULTS, charge=replace(DEFAULTS.charge, maximum_attempts=1)))
    talk.tell(*before, failed)
    due = talk.order.retry_at
    talk.skip(0.9)
    assert talk.tell(failed) == []
    assert talk.order.retry_at == due


@pytest.mark.parametrize("before", [(), (CANCEL, captured())], ids=["charge", "refund"])
def test_a_failure_of_an_older_attempt_says_nothing_about_the_one_under_way(before: tuple[Any, ...]) -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(*before)
    older = refund_failed if before else charge_failed
    talk.tell(older(1))
    while not talk.fire():
        pass
    under_way = talk.order
    assert talk.tell(older(1)) == []
    assert talk.order == under_way


def test_an_order_that_ends_while_it_needs_a_person_needs_one_no_more() -> None:
    talk = in_phase(Phase.ENRICHING)
    while talk.order.attention is None:
        talk.fire()
    assert names(talk.tell(CANCEL))[-2:] == ["AttentionResolved", "OrderCancelled"]
    assert talk.order.status == "CANCELLED"


def test_a_time_for_approval_that_begins_while_the_order_is_paused_counts_from_when_it_is_resumed() -> None:
    talk = in_phase(Phase.RESERVING)
    talk.tell(PAUSE)
    talk.skip(100)
    talk.tell(held())
    talk.skip(200)
    talk.tell(RESUME)
    assert talk.order.deadline == talk.now + timedelta(seconds=900)


def test_a_wait_for_the_next_attempt_that_begins_while_the_order_is_paused_counts_from_when_it_is_resumed() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(PAUSE)
    talk.skip(100)
    talk.tell(charge_failed(1))
    talk.skip(200)
    talk.tell(RESUME)
    assert talk.order.retry_at == talk.now + timedelta(seconds=1)


@pytest.mark.parametrize(("failures", "attempt"), [(0, 1), (1, 2), (4, 5)])
def test_a_cancellation_goes_on_with_a_void_that_was_begun_while_paying(failures: int, attempt: int) -> None:
    talk = in_phase(Phase.PAYING)
    for number in range(1, 6):
        talk.tell(charge_failed(number))
        talk.fire()
    for number in range(1, failures + 1):
        talk.tell(void_failed(number))
        while number < failures and not talk.fire():
            pass
    said = talk.tell(CANCEL)
    assert said[-1] == VoidCharge(charge_id=said[-1].charge_id, attempt=attempt)
    assert names(talk.tell(voided(attempt)))[-1] == "ReleaseStock"


@pytest.mark.parametrize("phase", [Phase.RESERVING, Phase.PAYING, Phase.COMPENSATING])
def test_who_does_not_answer_is_asked_again_and_with_the_third_time_a_person_is(phase: Phase) -> None:
    talk = in_phase(phase)
    (asked,) = awaited(talk.order)
    waiting_for = talk.order.waiting_for
    talk.timer = talk.timer or NOW
    heard: list[list[str]] = []
    gaps = []
    while len(heard) < 4:
        before = talk.now
        said = talk.fire()
        if said:
            heard.append(names(said))
            gaps.append((talk.now - before).total_seconds())
            note, request = said[:2]
            assert (note.type, note.data["error"]) == ("orders.asked-again", f"There is no answer about {waiting_for}.")
            # Only until when the stock is to be held follows from when it is asked for.
            assert request.model_dump(exclude={"expires_at"}) == asked.data.model_dump(exclude={"expires_at"})
    assert [("AttentionNeeded" in said) for said in heard] == [False, False, True, False]
    assert gaps == [15, 30, 60, 60]


@pytest.mark.parametrize(
    ("phase", "answer"),
    [(Phase.RESERVING, held()), (Phase.RESERVING, refused()), (Phase.PAYING, captured()), (Phase.PAYING, voided()),
     (Phase.PAYING, charge_failed()), (Phase.COMPENSATING, released())],
)  # fmt: skip
def test_an_answer_ends_the_worry_about_silence(phase: Phase, answer: Any) -> None:
    talk = in_phase(phase)
    while talk.order.attention is None:
        talk.fire()
    assert talk.order.status == "NEEDS_ATTENTION"
    assert "AttentionResolved" in names(talk.tell(answer))
    assert talk.order.attention is None


CONVERSATIONS: list[tuple[Any, ...]] = [
    (start(),),
    (start(), ADD),
    (start(), ADD, held()),
    (start(), held(), ADD, ADD),
    (start(), held(), ADD, APPROVE),
    (start(), held(), APPROVE),
    (start(), held(), APPROVE, CANCEL),
    (start(), held(), APPROVE, CANCEL, captured()),
    (start(), held(), APPROVE, CANCEL, captured(), refunded()),
    (start(), held(), ADD, CANCEL),
    (start(), CANCEL),
]


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_what_is_awaited_follows_from_the_state_and_has_been_asked(conversation: tuple[Any, ...]) -> None:
    talk = Talk()
    talk.tell(*conversation)
    asked = [request.data for request in awaited(talk.order)]
    assert asked
    assert all(request in talk.said for request in asked)
    assert talk.timer is not None


def test_while_a_retry_is_scheduled_nothing_is_awaited() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(charge_failed())
    assert awaited(talk.order) == ()
    assert isinstance(talk.said[-1], Note)
    assert not isinstance(talk.said[-1], Outgoing)
