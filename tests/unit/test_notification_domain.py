"""What notification decides: the table of states and messages, read as conversations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.customer import CustomerErased, CustomerRegistered
from contracts.orders import OrderCancelled, OrderCompleted
from contracts.values import PricedItem
from messaging.decision import Decision, EffectDone, Message, SetTimer, TimerFired
from services.notification.domain import (
    ERASED,
    LOOKING_UP,
    NO_ADDRESS,
    SENDING,
    Contact,
    Mail,
    SendMail,
    SendOutcome,
    State,
    decide,
    mail_key,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ANN = Contact("C1", "Ann", "ann@shop.example", NOW)
COMPLETED = OrderCompleted(
    items=(PricedItem(sku="A", quantity=2, unit_price_minor=150),),
    total_minor=300,
    currency="GBP",
    customer_id="C1",
    reservation_ids=("r1",),
)
CANCELLED = OrderCancelled(reason="customer-request", customer_id="C1")
SENT, FAILED, REFUSED = SendOutcome("sent"), SendOutcome("failed", "Away"), SendOutcome("refused", "No 550")


def message(data: Any, key: str = "O1", id: str = "e1", at: datetime = NOW, sequence: int = 0) -> Message:
    return Message("x", key, data, id, "s", at, f"u-{id}", sequence=sequence)


def ended(contact: Contact | None = ANN, data: Any = COMPLETED) -> Decision[State]:
    return decide(State(None, contact), message(data), NOW)


def mail_of(decision: Decision[State]) -> Mail:
    assert decision.state.mail is not None
    return decision.state.mail


def told(before: Decision[State], outcome: SendOutcome, now: datetime = NOW) -> Decision[State]:
    effect = before.effects[0]
    return decide(before.state, message(EffectDone(effect.id, effect.kind, effect.request, outcome)), now)


def timer_of(decision: Decision[State]) -> SetTimer:
    (timer,) = decision.timers
    assert isinstance(timer, SetTimer)
    return timer


def fired(before: Decision[State], contact: Contact | None) -> Decision[State]:
    timer = timer_of(before)
    data = TimerFired(timer.name, timer.step, timer.due_at)
    return decide(replace(before.state, contact=contact), message(data), timer.due_at)


def test_a_completed_order_asks_for_one_confirmation() -> None:
    decision = ended()
    (effect,) = decision.effects
    mail = mail_of(decision)
    assert (mail.kind, mail.status, mail.attempts) == ("confirmation", "sending", 1)
    assert effect.request == SendMail(
        message_id=mail.message_id,
        order_id="O1",
        kind="confirmation",
        name="Ann",
        address="ann@shop.example",
        event=COMPLETED,
        ended_at=NOW,
    )
    assert decision.says == ()


def test_a_cancelled_order_asks_for_one_cancellation() -> None:
    assert mail_of(ended(data=CANCELLED)).kind == "cancellation"


def test_the_message_id_follows_from_order_kind_and_cause() -> None:
    mail = mail_of(ended())
    assert mail.message_id == mail_of(ended()).message_id
    assert mail.message_id.endswith("@orders.example>")
    other = decide(State(None, ANN), message(COMPLETED, id="e2"), NOW)
    assert mail_of(other).message_id != mail.message_id
    assert mail_of(ended(data=CANCELLED)).message_id != mail.message_id


@pytest.mark.parametrize("outcome", [None, SENT, FAILED, REFUSED])
def test_the_event_again_sends_nothing_in_any_state(outcome: SendOutcome | None) -> None:
    before = ended()
    state = before.state if outcome is None else told(before, outcome).state
    for repeated in (message(COMPLETED), message(COMPLETED, id="e2")):
        assert decide(state, repeated, NOW) == Decision(state)


def test_a_mail_that_was_taken_is_sent_and_forgets_what_it_told() -> None:
    mail = mail_of(told(ended(), SENT, NOW + timedelta(seconds=1)))
    assert (mail.status, mail.sent_at, mail.event, mail.last_error) == ("sent", NOW + timedelta(seconds=1), None, None)


def test_a_failed_mail_is_retried_with_growing_waits_and_given_up_after_the_last_attempt() -> None:
    decision, waits = ended(), []
    while True:
        result = told(decision, FAILED)
        if not result.timers:
            break
        waits.append((timer_of(result).due_at - NOW).total_seconds())
        decision = fired(result, ANN)
        assert mail_of(decision).message_id == mail_of(result).message_id
    assert waits[:11] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert timedelta(days=2.9) < timedelta(seconds=sum(waits)) < timedelta(days=3.1)
    assert len(waits) == SENDING.maximum_attempts - 1
    mail = mail_of(result)
    assert (mail.status, mail.attempts, mail.last_error) == ("undeliverable", SENDING.maximum_attempts, "Away")
    assert mail.event is not None


def test_a_refused_mail_is_not_retried() -> None:
    decision = told(ended(), REFUSED)
    assert (mail_of(decision).status, decision.timers, decision.effects) == ("undeliverable", (), ())


def test_a_mail_waits_for_its_customer_and_goes_out_once_there_is_one() -> None:
    waiting = ended(contact=None)
    assert (mail_of(waiting).status, waiting.effects) == ("waiting", ())
    sending = fired(waiting, ANN)
    assert (mail_of(sending).status, len(sending.effects)) == ("sending", 1)
    assert mail_of(told(sending, SENT)).status == "sent"


def test_a_mail_without_a_customer_is_given_up_after_the_last_look() -> None:
    decision, looks = ended(contact=None), 1
    while decision.timers:
        decision, looks = fired(decision, None), looks + 1
    assert looks == LOOKING_UP.maximum_attempts
    assert (mail_of(decision).status, mail_of(decision).last_error) == ("undeliverable", NO_ADDRESS)


def test_a_timer_of_a_step_that_is_over_changes_nothing() -> None:
    waiting = ended(contact=None)
    timer = timer_of(waiting)
    stale = message(TimerFired(timer.name, timer.step, timer.due_at))
    for state in (
        fired(waiting, ANN).state,
        fired(waiting, None).state,
        told(fired(waiting, ANN), SENT).state,
        State(),
    ):
        assert decide(state, stale, NOW) == Decision(state)


def test_the_outcome_of_an_attempt_that_is_over_changes_nothing() -> None:
    first = ended()
    second = fired(told(first, FAILED), ANN)
    late = message(EffectDone(first.effects[0].id, "send-mail", first.effects[0].request, SENT))
    for state in (second.state, told(second, SENT).state, told(first, REFUSED).state, State()):
        assert decide(state, late, NOW) == Decision(state)


def test_attempts_are_effects_of_their_own() -> None:
    first = ended()
    second = fired(told(first, FAILED), ANN)
    assert first.effects[0].id != second.effects[0].id


def registered(name: str, sequence: int = 1, at: datetime = NOW, duplicate: bool = False) -> Message:
    data = CustomerRegistered(
        command_id="c", customer_id="C1", name=name, email="new@shop.example", duplicate=duplicate
    )
    return message(data, key="C1", at=at, sequence=sequence)


def test_the_last_registration_wins() -> None:
    first = decide(State(), registered("Ann", 1), NOW)
    second = decide(first.state, registered("Anna", 2), NOW)
    assert second.state.contact == Contact("C1", "Anna", "new@shop.example", NOW, sequence=2)


@pytest.mark.parametrize("at", [NOW, LATER], ids=["at the same time", "an hour later"])
def test_an_earlier_registration_that_is_published_once_more_does_not_bring_an_old_address_back(at: datetime) -> None:
    known = decide(State(), registered("Anna", 2), NOW).state
    assert decide(known, registered("Ann", 1, at), NOW) == Decision(known)


def test_a_repeated_answer_does_not_bring_an_old_address_back() -> None:
    assert decide(State(None, ANN), registered("Old", 2, LATER, duplicate=True), NOW) == Decision(State(None, ANN))


def erased(sequence: int = 2, at: datetime = LATER, duplicate: bool = False) -> Message:
    data = CustomerErased(command_id="e", customer_id="C1", duplicate=duplicate)
    return message(data, key="C1", at=at, sequence=sequence)


NOBODY = Contact("C1", "", "", LATER, erased=True, sequence=2)


@pytest.mark.parametrize("known", [ANN, None, replace(NOBODY, sequence=1)])
def test_an_erased_customer_has_neither_name_nor_address(known: Contact | None) -> None:
    assert decide(State(None, known), erased(), NOW) == Decision(State(None, NOBODY))


def test_a_repeated_erasure_does_not_take_the_new_address_away() -> None:
    assert decide(State(None, ANN), erased(duplicate=True), NOW) == Decision(State(None, ANN))


def test_an_earlier_erasure_that_is_published_once_more_does_not_take_the_new_address_away() -> None:
    known = decide(State(None, NOBODY), registered("Ann", 3), NOW).state
    assert decide(known, erased(2), NOW) == Decision(known)


@pytest.mark.parametrize("at", [NOW, LATER, LATER + timedelta(hours=1)], ids=["before", "at the same time", "later"])
def test_an_earlier_registration_does_not_undo_an_erasure_whenever_it_comes(at: datetime) -> None:
    assert decide(State(None, NOBODY), registered("Ann", 1, at), NOW) == Decision(State(None, NOBODY))


def test_a_registration_after_an_erasure_is_a_new_beginning() -> None:
    again = decide(State(None, NOBODY), registered("Ann", 3, LATER), NOW)
    assert again.state.contact == Contact("C1", "Ann", "new@shop.example", LATER, sequence=3)


def test_a_mail_to_an_erased_customer_is_undeliverable_at_once_and_never_tried() -> None:
    decision = ended(NOBODY)
    mail = mail_of(decision)
    assert (mail.status, mail.last_error, mail.attempts) == ("undeliverable", ERASED, 0)
    assert (decision.effects, decision.timers) == ((), ())


@pytest.mark.parametrize("before", [ended(contact=None), told(ended(), FAILED)], ids=["waiting", "retrying"])
def test_a_mail_that_waits_is_undeliverable_once_its_customer_is_erased(before: Decision[State]) -> None:
    decision = fired(before, NOBODY)
    assert (mail_of(decision).status, mail_of(decision).last_error) == ("undeliverable", ERASED)
    assert (decision.effects, decision.timers) == ((), ())


def test_which_mail_a_message_is_about() -> None:
    assert mail_key(message(COMPLETED)) == ("O1", "confirmation")
    assert mail_key(message(TimerFired("cancellation", 1, NOW))) == ("O1", "cancellation")
    assert mail_key(registered("Ann")) is None
    assert mail_key(erased()) is None
    with pytest.raises(TypeError):
        mail_key(message(object()))
