"""Giving money back: what turned up too late, and what the orchestrator asks for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from payment_talk import CHARGE, NOW, ORDER, REFUND, Conversation, captured, charge, refund, told, void

from contracts import payment as words
from messaging.decision import Message
from services.payment.domain import decide
from services.payment.state import Charge, End, Line, RefundCall, Status


@pytest.fixture
def it() -> Conversation:
    return Conversation()


# --- late success ----------------------------------------------------------------------------------------------------


def late(it: Conversation) -> Conversation:
    """The void was told to have worked, and then the charge call says that it took the money."""
    it.asks(charge(1))
    it.asks(void(1))
    assert it.ends("void", 1, End.VOIDED) == ["charge-voided 1"]
    assert it.ends("charge", 1, End.CAPTURED) == ["charge-voided 1"], "what was told is not taken back"
    return it


def test_a_capture_that_comes_to_light_after_voided_was_told_is_given_back_until_it_works(it: Conversation) -> None:
    late(it)
    assert it.is_(Status.RETURNING)
    assert it.money == (1_000, 0)
    refund_ids = set()
    for attempt in range(1, 10):
        call: RefundCall = it.effects["refund", attempt].request
        refund_ids.add(call.refund_id)
        assert call.amount_minor == 1_000
        assert it.ends("refund", attempt, End.FAILED) == []
        assert it.timers[-1].due_at - it.now == timedelta(seconds=min(2 ** (attempt - 1), 60))
        assert it.timer() == []
    assert it.ends("refund", 10, End.REFUNDED) == []
    assert it.is_(Status.RETURNED)
    assert it.money == (1_000, 1_000)
    assert len(refund_ids) == 1, "one id for all attempts, so that it is given back once"
    assert len(set(it.effect_ids)) == len(it.effect_ids)
    assert it.notes == ["late-capture", *["return-failed"] * 9]


def test_a_timer_for_an_attempt_that_is_over_makes_no_further_one(it: Conversation) -> None:
    late(it)
    it.ends("refund", 1, End.FAILED)
    it.timer()
    it.ends("refund", 2, End.FAILED)
    assert [timer.step for timer in it.timers] == [1, 2]
    it.timers.reverse()
    before = list(it.effect_ids)
    assert it.timer() == []
    assert it.effect_ids == before


def test_a_late_capture_is_given_back_once_whatever_repeats(it: Conversation) -> None:
    late(it)
    assert it.ends("charge", 1, End.CAPTURED) == []
    assert it.asks(void(1)) == ["charge-voided 1"]
    assert it.asks(charge(1)) == ["charge-voided 1"]
    assert it.asks(refund(1)) == ["refund-failed 1"]
    it.ends("refund", 1, End.FAILED)
    it.timer()
    it.timer()
    assert it.calls() == [("charge", 1), ("void", 1), ("refund", 1), ("refund", 2)]
    it.ends("refund", 2, End.FAILED)
    it.timers.append(it.timers[0])
    it.timer()
    assert len(it.calls()) == 4, "a timer of an attempt that is over changes nothing"
    it.ends("refund", 2, End.REFUNDED)
    it.ends("refund", 2, End.REFUNDED)
    it.ends("refund", 1, End.REFUNDED)
    it.timer()
    assert it.money == (1_000, 1_000)
    assert it.asks(void(2)) == ["charge-voided 2"]
    assert len(it.calls()) == 4


@pytest.mark.parametrize(("status", "end"), [("failed", End.FAILED), ("unknown", End.UNKNOWN)])
def test_an_outcome_told_twice_counts_if_the_second_time_it_is_about_money(
    it: Conversation, status: str, end: End
) -> None:
    it.asks(charge(1))
    it.ends("charge", 1, end)
    assert it.ends("charge", 1, End.CAPTURED) == []
    assert it.is_(Status.CAPTURED)
    assert it.asks(charge(2)) == ["charge-captured 2"]


def test_a_void_that_finds_money_behind_a_declined_charge_has_it_given_back(it: Conversation) -> None:
    it.asks(charge(1))
    it.asks(void(1))
    it.ends("charge", 1, End.DECLINED)
    assert it.ends("void", 1, End.CAPTURED) == ["charge-voided 1"]
    assert it.is_(Status.RETURNING)


# --- refunds ---------------------------------------------------------------------------------------------------------


def test_a_refund_is_called_and_told_once_and_a_repeat_gets_the_answer_again(it: Conversation) -> None:
    captured(it)
    assert it.asks(refund(1)) == []
    assert it.asks(refund(1)) == []
    assert it.ends("refund", 1, End.REFUNDED) == ["refunded 1"]
    assert it.money == (1_000, 1_000)
    assert it.is_(Status.CAPTURED)
    assert it.asks(refund(1)) == ["refunded 1"]
    assert it.asks(refund(2)) == ["refunded 2"]
    assert it.ends("refund", 1, End.REFUNDED) == []
    assert it.money == (1_000, 1_000)
    assert it.events[1] == it.events[2]


@pytest.mark.parametrize("end", [End.FAILED, End.REFUSED])
def test_a_failed_refund_is_tried_again_by_its_next_attempt_under_the_same_id(it: Conversation, end: End) -> None:
    captured(it)
    it.asks(refund(1))
    assert it.asks(refund(2)) == ["refund-failed 2"], "the first is still under way"
    assert it.ends("refund", 1, end) == ["refund-failed 1"]
    assert it.asks(refund(1)) == ["refund-failed 1"]
    assert it.asks(refund(3)) == []
    assert it.asks(refund(2)) == ["refund-failed 2"]
    assert it.effects["refund", 3].request.refund_id == REFUND
    assert it.ends("refund", 3, End.REFUNDED) == ["refunded 3"]
    assert it.timers == [], "the orchestrator asks again, nobody else"


def test_a_refund_that_worked_after_all_answers_the_attempt_under_way(it: Conversation) -> None:
    captured(it)
    it.asks(refund(1))
    it.ends("refund", 1, End.FAILED)
    it.asks(refund(2))
    assert it.ends("refund", 1, End.REFUNDED) == ["refunded 2"]
    assert it.ends("refund", 2, End.REFUNDED) == []
    assert it.money == (1_000, 1_000)


def test_refunds_never_exceed_what_was_captured(it: Conversation) -> None:
    captured(it)
    assert it.asks(refund(1, amount=1_001)) == ["refund-failed 1"]
    assert it.asks(refund(1, amount=600)) == []
    assert it.asks(refund(1, amount=401, refund_id="refund-2")) == ["refund-failed 1"]
    assert it.asks(refund(1, amount=400, refund_id="refund-3")) == []
    assert len(it.effect_ids) == 3
    assert it.state is not None
    assert [r.refund_id for r in it.state.refunds] == [REFUND, "refund-3"]


def test_a_refund_that_failed_keeps_its_share_until_the_gateway_refuses_it(it: Conversation) -> None:
    captured(it)
    it.asks(refund(1, amount=600))
    it.ends("refund", 1, End.FAILED)
    assert it.asks(refund(1, amount=600, refund_id="refund-2")) == ["refund-failed 1"]
    it.asks(refund(2, amount=600))
    it.ends("refund", 2, End.REFUSED)
    assert it.asks(refund(2, amount=600, refund_id="refund-2")) == []


@pytest.mark.parametrize("asked", [refund(1, amount=0), refund(1, currency="EUR")])
def test_a_refund_that_cannot_be_is_answered_without_a_call(it: Conversation, asked: words.Refund) -> None:
    captured(it)
    before = it.state
    assert it.asks(asked) == ["refund-failed 1"]
    assert it.state == before


def test_a_refund_id_with_other_content_is_refused_without_a_call(it: Conversation) -> None:
    captured(it)
    it.asks(refund(1, amount=600))
    it.ends("refund", 1, End.REFUNDED)
    assert it.asks(refund(2, amount=300)) == ["refund-failed 2"]
    assert it.notes == ["conflicting-refund"]
    assert it.money == (1_000, 600)


@pytest.mark.parametrize("status", [status for status in [None, *Status] if status is not Status.CAPTURED])
def test_only_what_was_captured_can_be_refunded(status: Status | None) -> None:
    state = None if status is None else Charge(ORDER, CHARGE, status, 1_000, "GBP", "pm_card_visa", Line(1, End.FAILED))
    found = decide(state, Message("Refund", ORDER, refund(1), "id", "orders", NOW, "uid"), NOW)
    assert [told(said.data) for said in found.says] == ["refund-failed 1"]  # type: ignore[arg-type]
    assert found.effects == ()
    assert found.state == state
