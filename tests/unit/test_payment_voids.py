"""Voiding, read as conversations: before the charge, after it, and while it is in flight."""

from __future__ import annotations

import pytest
from payment_talk import Conversation, captured, charge, void

from services.payment.state import End, Status


@pytest.fixture
def it() -> Conversation:
    return Conversation()


# --- voiding ---------------------------------------------------------------------------------------------------------


def test_a_void_for_a_charge_never_seen_leaves_a_tombstone_that_refuses_it_later(it: Conversation) -> None:
    assert it.asks(void(1)) == []
    assert it.calls() == [("void", 1)]
    assert it.ends("void", 1, End.VOIDED) == ["charge-voided 1"]
    assert it.asks(charge(1)) == ["charge-voided 1"]
    assert it.asks(charge(7)) == ["charge-voided 7"]
    assert it.asks(void(1)) == ["charge-voided 1"]
    assert it.calls() == [("void", 1)]
    assert it.money == (0, 0)


def test_a_charge_that_comes_while_its_tombstone_is_being_set_is_held_back(it: Conversation) -> None:
    it.asks(void(1))
    assert it.asks(charge(1)) == ["charge-unknown 1"]
    it.ends("void", 1, End.VOIDED)
    assert it.asks(charge(2)) == ["charge-voided 2"]
    assert it.calls() == [("void", 1)]


@pytest.mark.parametrize("end", [End.FAILED, End.UNKNOWN])
def test_a_void_after_a_failed_or_unknown_charge_is_called_and_settles_it(it: Conversation, end: End) -> None:
    it.asks(charge(1))
    answer = it.ends("charge", 1, end)
    assert it.asks(void(1)) == []
    assert it.is_(Status.VOIDING)
    assert it.asks(charge(1)) == answer, "recorded"
    assert it.asks(charge(2)) == ["charge-unknown 2"], "no charge begins once a void was asked for"
    assert it.ends("void", 1, End.VOIDED) == ["charge-voided 1"]
    assert it.calls() == [("charge", 1), ("void", 1)]


def test_a_void_that_comes_too_late_tells_the_capture(it: Conversation) -> None:
    it.asks(charge(1))
    it.ends("charge", 1, End.UNKNOWN)
    it.asks(void(4))
    assert it.ends("void", 4, End.CAPTURED) == ["charge-captured 4"]
    assert it.money == (1_000, 0)
    assert it.asks(void(5)) == ["charge-captured 5"]


def test_a_void_after_the_capture_was_told_needs_no_call(it: Conversation) -> None:
    captured(it)
    assert it.asks(void(1)) == ["charge-captured 1"]
    assert it.calls() == [("charge", 1)]


def test_a_void_of_a_declined_charge_needs_no_call(it: Conversation) -> None:
    it.asks(charge(1))
    it.ends("charge", 1, End.DECLINED)
    assert it.asks(void(1)) == ["charge-voided 1"]
    assert it.calls() == [("charge", 1)]


def test_a_void_that_finds_the_charge_declined_has_found_that_it_never_is_taken(it: Conversation) -> None:
    it.asks(charge(1))
    it.ends("charge", 1, End.UNKNOWN)
    it.asks(void(1))
    assert it.ends("void", 1, End.DECLINED) == ["charge-voided 1"]
    assert it.is_(Status.DECLINED)
    assert it.asks(charge(1)) == ["charge-declined 1"]


def test_a_void_that_was_not_settled_is_asked_for_again(it: Conversation) -> None:
    it.asks(void(1))
    assert it.asks(void(1)) == []
    assert it.asks(void(2)) == ["void-failed 2"], "the first is still under way"
    assert it.ends("void", 1, End.FAILED) == ["void-failed 1"]
    assert it.asks(void(1)) == ["void-failed 1"]
    assert it.asks(void(3)) == []
    assert it.asks(void(2)) == ["void-failed 2"]
    assert it.ends("void", 3, End.VOIDED) == ["charge-voided 3"]
    assert it.calls() == [("void", 1), ("void", 3)]


def test_a_void_that_is_counted_from_one_again_catches_up(it: Conversation) -> None:
    """As when an order is cancelled whose failed payment was being voided."""
    for attempt in (1, 2, 3):
        it.asks(void(attempt))
        it.ends("void", attempt, End.FAILED)
    assert [it.asks(void(attempt)) for attempt in (1, 2, 3)] == [
        ["void-failed 1"],
        ["void-failed 2"],
        ["void-failed 3"],
    ]
    assert it.asks(void(4)) == []
    assert it.asks(void(1)) == ["void-failed 1"]
    assert it.ends("void", 4, End.VOIDED) == ["charge-voided 4"]


def test_a_charge_attempt_below_the_last_is_told_unknown_whatever_became_of_the_last(it: Conversation) -> None:
    it.asks(charge(2))
    assert it.asks(charge(1)) == ["charge-unknown 1"]
    it.ends("charge", 2, End.FAILED)
    assert it.asks(charge(1)) == ["charge-unknown 1"]
    it.asks(void(1))
    assert it.asks(charge(1)) == ["charge-unknown 1"]


def test_money_under_an_id_that_was_never_charged_here_is_not_called_ours(it: Conversation) -> None:
    it.asks(void(1))
    assert it.ends("void", 1, End.CAPTURED) == ["void-failed 1"]
    assert it.money == (0, 0)


# --- a void while the charge is in flight ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "answers", "status"),
    [
        # the charge's outcome first
        (("charge", End.CAPTURED), ("void", End.CAPTURED), ["charge-captured 1", "charge-captured 9"], "captured"),
        (("charge", End.CAPTURED), ("void", End.FAILED), ["charge-captured 1", "charge-captured 9"], "captured"),
        (("charge", End.VOIDED), ("void", End.VOIDED), ["charge-voided 1", "charge-voided 9"], "voided"),
        (("charge", End.VOIDED), ("void", End.FAILED), ["charge-voided 1", "charge-voided 9"], "voided"),
        (("charge", End.DECLINED), ("void", End.DECLINED), ["charge-declined 1", "charge-voided 9"], "declined"),
        (("charge", End.FAILED), ("void", End.VOIDED), ["charge-failed 1", "charge-voided 9"], "voided"),
        (("charge", End.UNKNOWN), ("void", End.VOIDED), ["charge-unknown 1", "charge-voided 9"], "voided"),
        (("charge", End.UNKNOWN), ("void", End.CAPTURED), ["charge-unknown 1", "charge-captured 9"], "captured"),
        (("charge", End.UNKNOWN), ("void", End.FAILED), ["charge-unknown 1", "void-failed 9"], "voiding"),
        # the void's outcome first
        (("void", End.CAPTURED), ("charge", End.CAPTURED), ["charge-captured 9", "charge-captured 1"], "captured"),
        (("void", End.CAPTURED), ("charge", End.UNKNOWN), ["charge-captured 9", "charge-captured 1"], "captured"),
        (("void", End.VOIDED), ("charge", End.VOIDED), ["charge-voided 9", "charge-voided 1"], "voided"),
        (("void", End.VOIDED), ("charge", End.UNKNOWN), ["charge-voided 9", "charge-voided 1"], "voided"),
        (("void", End.VOIDED), ("charge", End.FAILED), ["charge-voided 9", "charge-voided 1"], "voided"),
        (("void", End.DECLINED), ("charge", End.DECLINED), ["charge-voided 9", "charge-declined 1"], "declined"),
        (("void", End.FAILED), ("charge", End.CAPTURED), ["void-failed 9", "charge-captured 1"], "captured"),
        (("void", End.FAILED), ("charge", End.DECLINED), ["void-failed 9", "charge-declined 1"], "declined"),
    ],
)
def test_both_outcomes_are_told_and_none_contradicts(
    it: Conversation, first: tuple[str, End], second: tuple[str, End], answers: list[str], status: str
) -> None:
    it.asks(charge(1))
    assert it.asks(void(9)) == []
    attempts = {"charge": 1, "void": 9}
    heard = [*it.ends(first[0], attempts[first[0]], first[1]), *it.ends(second[0], attempts[second[0]], second[1])]
    assert heard == answers
    assert it.is_(status)
    assert it.notes == []
