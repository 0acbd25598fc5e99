"""Charging, read as conversations, and the tables behind it."""

from __future__ import annotations

import pytest
from payment_talk import CHARGE, NOW, ORDER, Conversation, charge, refund, void

from contracts import payment as words
from contracts.envelope import InvalidCommand
from messaging.decision import EffectDone, TimerFired
from messaging.errors import PoisonError
from services.payment import domain, refunds
from services.payment.answers import NEVER_TAKEN
from services.payment.domain import charge_id_of
from services.payment.state import ChargeCall, End, Status, VoidCall


@pytest.fixture
def it() -> Conversation:
    return Conversation()


# --- charging --------------------------------------------------------------------------------------------------------


def test_a_charge_is_called_first_and_answered_when_the_call_has_ended(it: Conversation) -> None:
    assert it.asks(charge(1)) == []
    assert it.is_(Status.CALLING)
    assert it.calls() == [("charge", 1)]
    assert it.ends("charge", 1, End.CAPTURED) == ["charge-captured 1"]
    assert it.is_(Status.CAPTURED)
    assert it.money == (1_000, 0)
    assert it.events == [words.ChargeCaptured(charge_id=CHARGE, amount_minor=1_000, currency="GBP", attempt=1)]


@pytest.mark.parametrize(
    ("end", "status", "answer"),
    [
        (End.CAPTURED, Status.CAPTURED, "charge-captured"),
        (End.DECLINED, Status.DECLINED, "charge-declined"),
        (End.VOIDED, Status.VOIDED, "charge-voided"),
        (End.FAILED, Status.FAILED, "charge-failed"),
        (End.UNKNOWN, Status.UNKNOWN, "charge-unknown"),
    ],
)
def test_every_end_of_a_call_has_its_answer_and_a_repeat_gets_it_again(
    it: Conversation, end: End, status: Status, answer: str
) -> None:
    it.asks(charge(1))
    assert it.asks(charge(1)) == [], "its answer will come"
    assert it.ends("charge", 1, end) == [f"{answer} 1"]
    assert it.is_(status)
    assert it.asks(charge(1)) == [f"{answer} 1"]
    assert it.events[0] == it.events[1]
    kinds = {End.DECLINED: "permanent", End.FAILED: "transient", End.UNKNOWN: "unknown"}
    assert getattr(it.events[1], "failure", None) == kinds.get(end)
    assert it.ends("charge", 1, end) == [], "an outcome that comes twice is told once"
    assert it.calls() == [("charge", 1)]


def test_after_a_transient_failure_the_next_attempt_charges_at_once(it: Conversation) -> None:
    it.asks(charge(1))
    it.ends("charge", 1, End.FAILED)
    assert it.asks(charge(2)) == []
    request = it.effects["charge", 2].request
    assert request == ChargeCall(
        order_id=ORDER,
        charge_id=CHARGE,
        attempt=2,
        amount_minor=1_000,
        currency="GBP",
        payment_method="pm_card_visa",
        ask_first=False,
        asked_by="id",
    )
    assert it.asks(charge(1)) == ["charge-unknown 1"], "never silence, and never a promise"
    assert it.ends("charge", 2, End.CAPTURED) == ["charge-captured 2"]
    assert it.asks(charge(1)) == ["charge-captured 1"], "what is settled is told to every attempt"


def test_after_an_unknown_outcome_the_next_attempt_asks_before_it_charges(it: Conversation) -> None:
    it.asks(charge(1))
    it.ends("charge", 1, End.UNKNOWN)
    it.asks(charge(2))
    assert it.effects["charge", 2].request.ask_first
    assert it.ends("charge", 2, End.UNKNOWN) == ["charge-unknown 2"]
    it.asks(charge(3))
    assert it.effects["charge", 3].request.ask_first
    assert len(set(it.effect_ids)) == 3


def test_a_first_attempt_that_is_not_number_one_asks_before_it_charges(it: Conversation) -> None:
    it.asks(charge(3))
    assert it.effects["charge", 3].request.ask_first


def test_a_higher_attempt_during_a_call_is_told_to_ask_again_and_makes_no_second_call(it: Conversation) -> None:
    it.asks(charge(1))
    assert it.asks(charge(2)) == ["charge-unknown 2"]
    assert it.calls() == [("charge", 1)]
    assert it.ends("charge", 1, End.CAPTURED) == ["charge-captured 1"]
    assert it.asks(charge(3)) == ["charge-captured 3"]


@pytest.mark.parametrize(
    "other", [charge(1, amount=999), charge(1, currency="EUR"), charge(2, method="pm_card_declined")]
)
@pytest.mark.parametrize("end", [None, End.CAPTURED, End.FAILED, End.UNKNOWN])
def test_a_charge_with_other_content_is_never_called_and_never_told_that_nothing_was_taken(
    it: Conversation, other: words.Charge, end: End | None
) -> None:
    it.asks(charge(1))
    if end is not None:
        it.ends("charge", 1, end)
    before = it.state
    assert it.asks(other) == [f"charge-unknown {other.attempt}"]
    assert it.state == before
    assert it.calls() == [("charge", 1)]
    assert it.notes == ["conflicting-charge"]


def test_a_charge_of_nothing_is_declined_without_a_call(it: Conversation) -> None:
    assert it.asks(charge(1, amount=0)) == ["charge-declined 1"]
    assert it.state is None
    assert it.calls() == []


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_tables_name_every_state() -> None:
    assert set(domain.CHARGE_ASKED) == set(domain.AFTER_CHARGE) == set(domain.AFTER_VOID) == set(Status)
    assert set(domain.VOID_ASKED) == set(refunds.REFUSALS) == {None, *Status}


def test_captured_and_the_promises_of_no_charge_are_never_left_for_a_state_without_them() -> None:
    for table in (domain.AFTER_CHARGE, domain.AFTER_VOID):
        assert all(target is Status.CAPTURED for target in table[Status.CAPTURED].values())
        for status in NEVER_TAKEN:
            assert set(table[status].values()) <= NEVER_TAKEN


def test_an_invalid_command_is_poison_because_nobody_can_be_answered(it: Conversation) -> None:
    it.asks(charge(1))
    before = it.state
    with pytest.raises(PoisonError, match="not a type") as caught:
        it.decide("nonsense", InvalidCommand("c", "s", "nonsense", ORDER, "not a type"))
    assert caught.value.reason == "invalid"
    assert it.state == before


def test_a_message_without_a_rule_is_an_error(it: Conversation) -> None:
    with pytest.raises(TypeError, match="no rule"):
        it.decide("odd", object())


def test_every_message_says_which_charge_it_is_about(it: Conversation) -> None:
    assert {charge_id_of(data) for data in (charge(), void(), refund())} == {CHARGE}
    request = VoidCall(order_id=ORDER, charge_id=CHARGE, attempt=1)
    assert charge_id_of(EffectDone("id", "void", request, None)) == CHARGE
    assert charge_id_of(TimerFired(f"return:{CHARGE}:x", 1, NOW)) == f"{CHARGE}:x"
    assert charge_id_of(InvalidCommand("c", "s", "t", ORDER, "m")) is None


def test_every_attempt_is_a_call_of_its_own_and_its_repeat_is_not() -> None:
    it = Conversation()
    for attempt in (1, 2):
        it.asks(charge(attempt))
        it.asks(charge(attempt))
        it.ends("charge", attempt, End.FAILED)
    assert len(it.effect_ids) == len(set(it.effect_ids)) == 2
