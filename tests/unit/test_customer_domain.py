"""What the customer service decides, read as conversations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contracts.customer import CommandRejected, CustomerRegistered, RegisterCustomer
from contracts.envelope import InvalidCommand
from messaging.decision import Message, Outgoing
from services.customer.domain import Customer, State, decide

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def register(number: int = 1, key: str = "C1", customer_id: str = "C1", name: str = "Ann") -> Message:
    data = RegisterCustomer(customer_id=customer_id, name=name, email=f"{name.lower()}@shop.example")
    return Message("customer.register-customer.v1", key, data, f"cmd-{number}", "shop", NOW, f"t/0/{number}")


def answer(decision_says: tuple[object, ...]) -> CustomerRegistered | CommandRejected:
    (said,) = decision_says
    assert isinstance(said, Outgoing)
    assert isinstance(said.data, CustomerRegistered | CommandRejected)
    return said.data


def test_a_registration_is_told() -> None:
    decision = decide(State(), register(), NOW)
    assert decision.state.customer == Customer("C1", "Ann", "ann@shop.example", NOW, NOW)
    assert answer(decision.says) == CustomerRegistered(
        command_id="cmd-1", customer_id="C1", name="Ann", email="ann@shop.example", duplicate=False
    )


def test_registering_again_replaces_name_and_address() -> None:
    first = decide(State(), register(), NOW).state
    again = decide(replace(first, answer=None), register(2, name="Anna"), LATER)
    assert again.state.customer == Customer("C1", "Anna", "anna@shop.example", NOW, LATER)
    assert not answer(again.says).duplicate


def test_the_same_command_again_gets_the_first_answer_whatever_it_holds_now() -> None:
    first = decide(State(), register(), NOW)
    assert first.state.customer is not None
    changed_since = State(replace(first.state.customer, name="Anna"), first.state.answer)
    repeat = decide(changed_since, register(name="Mallory"), LATER)
    assert repeat.state == changed_since
    assert answer(repeat.says) == answer(first.says).model_copy(update={"duplicate": True})


def test_a_customer_id_unlike_the_key_is_rejected_and_changes_nothing() -> None:
    decision = decide(State(), register(customer_id="C2"), NOW)
    rejected = answer(decision.says)
    assert isinstance(rejected, CommandRejected)
    assert (rejected.reason, rejected.command_id, rejected.duplicate) == ("invalid", "cmd-1", False)
    assert decision.state.customer is None
    assert decision.says[0].key == "C1"  # type: ignore[union-attr]


def test_an_invalid_command_is_rejected_with_its_reason_and_again_as_duplicate() -> None:
    invalid = InvalidCommand("cmd-9", "shop", "customer.register-customer.v1", "C1", "data.email: bad")
    message = Message("customer.register-customer.v1", "C1", invalid, "cmd-9", "shop", NOW, "t/0/9")
    first = decide(State(), message, NOW)
    rejected = answer(first.says)
    assert isinstance(rejected, CommandRejected)
    assert (rejected.message, rejected.command_type) == ("data.email: bad", "customer.register-customer.v1")
    assert answer(decide(first.state, message, LATER).says) == rejected.model_copy(update={"duplicate": True})


def test_what_is_no_command_of_ours_is_an_error() -> None:
    with pytest.raises(TypeError):
        decide(State(), Message("x", "C1", object(), "1", "s", NOW, "u"), NOW)
