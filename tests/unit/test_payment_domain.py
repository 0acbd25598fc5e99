"""Charging, read as conversations: what is asked, which calls follow, how they end, what is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts import payment as words
from contracts.envelope import InvalidCommand
from contracts.values import CommandData, EventData
from messaging.decision import Effect, EffectDone, Message, Note, Outgoing, SetTimer, TimerFired
from messaging.errors import PoisonError
from services.payment import domain, refunds
from services.payment.answers import NEVER_TAKEN
from services.payment.domain import charge_id_of, decide
from services.payment.state import Charge, ChargeCall, End, Line, Outcome, RefundCall, Status, VoidCall

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ORDER, CHARGE, REFUND = "ORDER-1", "charge-1", "refund-1"


def charge(attempt: int = 1, amount: int = 1_000, currency: str = "GBP", method: str = "pm_card_visa") -> words.Charge:
    return words.Charge(
        charge_id=CHARGE, amount_minor=amount, currency=currency, payment_method=method, attempt=attempt
    )


def void(attempt: int = 1) -> words.VoidCharge:
    return words.VoidCharge(charge_id=CHARGE, attempt=attempt)


def refund(
    attempt: int = 1, amount: int = 1_000, refund_id: str = REFUND, currency: str = "GBP", charge_id: str = CHARGE
) -> words.Refund:
    return words.Refund(
        refund_id=refund_id, charge_id=charge_id, amount_minor=amount, currency=currency, attempt=attempt
    )


def told(event: EventData) -> str:
    """`charge-captured 1`: what is told, and to which attempt."""
    name = type(event).__name__
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-") + f" {event.attempt}"  # type: ignore[attr-defined]


class Conversation:
    """One charge of one order."""

    def __init__(self) -> None:
        self.state: Charge | None = None
        self.now = NOW
        self.effects: dict[tuple[str, int], Effect] = {}
        self.effect_ids: list[str] = []
        self.timers: list[SetTimer] = []
        self.notes: list[str] = []
        self.events: list[EventData] = []

    def asks(self, command: CommandData) -> Sequence[str]:
        return self._decide(type(command).__name__, command)

    def ends(self, kind: str, attempt: int, end: End, message: str = "because") -> Sequence[str]:
        effect = self.effects[kind, attempt]
        outcome = Outcome(end, "" if end in {End.CAPTURED, End.REFUNDED} else message)
        return self._decide(f"effect.{kind}", EffectDone(effect.id, kind, effect.request, outcome))

    def timer(self) -> Sequence[str]:
        timer = self.timers[-1]
        self.now = timer.due_at
        return self._decide(f"timer.{timer.name}", TimerFired(timer.name, timer.step, timer.due_at))

    def calls(self) -> list[tuple[str, int]]:
        """The calls that were asked for so far."""
        return list(self.effects)

    def _decide(self, named: str, data: Any) -> list[str]:
        message = Message(named, ORDER, data, "id", "orders", self.now, "uid")
        found = decide(self.state, message, self.now)
        self.state = found.state
        for effect in found.effects:
            assert effect.key == ORDER
            self.effects[effect.kind, effect.request.attempt] = effect
            self.effect_ids.append(effect.id)
        self.timers.extend(timer for timer in found.timers if isinstance(timer, SetTimer))
        self.notes.extend(said.type for said in found.says if isinstance(said, Note))
        events = [said.data for said in found.says if isinstance(said, Outgoing)]
        self.events.extend(events)  # type: ignore[arg-type]
        return [told(event) for event in events]  # type: ignore[arg-type]

    def is_(self, status: str) -> bool:
        return self.state is not None and self.state.status == status

    @property
    def money(self) -> tuple[int, int]:
        assert self.state is not None
        return self.state.captured_minor, self.state.refunded_minor


@pytest.fixture
def it() -> Conversation:
    return Conversation()


def captured(it: Conversation) -> Conversation:
    it.asks(charge(1))
    it.ends("charge", 1, End.CAPTURED)
    return it


# --- charging ---------------------------------------------------------------------------------------------------------


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


# --- voiding ----------------------------------------------------------------------------------------------------------


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


# --- a void while the charge is in flight -----------------------------------------------------------------------------


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


# --- late success -----------------------------------------------------------------------------------------------------


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


# --- refunds ----------------------------------------------------------------------------------------------------------


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


# --- the table --------------------------------------------------------------------------------------------------------


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
        it._decide("nonsense", InvalidCommand("c", "s", "nonsense", ORDER, "not a type"))
    assert caught.value.reason == "invalid"
    assert it.state == before


def test_a_message_without_a_rule_is_an_error(it: Conversation) -> None:
    with pytest.raises(TypeError, match="no rule"):
        it._decide("odd", object())


def test_every_message_says_which_charge_it_is_about(it: Conversation) -> None:
    assert {charge_id_of(data) for data in (charge(), void(), refund())} == {CHARGE}
    request = VoidCall(order_id=ORDER, charge_id=CHARGE, attempt=1)
    assert charge_id_of(EffectDone("id", "void", request, None)) == CHARGE
    assert charge_id_of(TimerFired(f"return:{CHARGE}:x", 1, NOW)) == f"{CHARGE}:x"
    assert charge_id_of(InvalidCommand("c", "s", "t", ORDER, "m")) is None
