"""What the customer service decides, read as conversations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.customer import (
    CommandRejected,
    CustomerErased,
    CustomerFound,
    CustomerRegistered,
    CustomerUnknown,
    EraseCustomer,
    LookUpCustomer,
    RegisterCustomer,
    Tier,
)
from contracts.envelope import InvalidCommand
from contracts.orders import OrderCompleted
from contracts.values import PricedItem
from messaging.decision import Decision, Message, Outgoing
from services.customer.domain import (
    Customer,
    Erasure,
    State,
    customer_of,
    decide,
    recorded_key,
    without_address,
)
from services.customer.tiers import TIERS, tier_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ANN = Customer("C1", "Ann", "ann@shop.example", NOW, NOW)


def register(number: int = 1, key: str = "C1", customer_id: str = "C1", name: str = "Ann") -> Message:
    data = RegisterCustomer(customer_id=customer_id, name=name, email=f"{name.lower()}@shop.example")
    return Message("customer.register-customer.v1", key, data, f"cmd-{number}", "shop", NOW, f"t/0/{number}")


def erase(number: int = 2, key: str = "C1", customer_id: str = "C1") -> Message:
    data = EraseCustomer(customer_id=customer_id, operator="op", reason="asked us to")
    return Message("customer.erase-customer.v1", key, data, f"cmd-{number}", "shop", NOW, f"t/0/{number}")


def look_up(order_id: str = "O1", customer_id: str = "C1") -> Message:
    data = LookUpCustomer(request_id="enr-1", customer_id=customer_id)
    return Message("customer.look-up-customer.v1", order_id, data, "q-1", "orders", NOW, "t/0/1")


def completed(order_id: str = "O1", customer_id: str = "C1") -> Message:
    data = OrderCompleted(
        items=(PricedItem(sku="A", quantity=1, unit_price_minor=5),),
        total_minor=5,
        currency="GBP",
        customer_id=customer_id,
        reservation_ids=("r1",),
    )
    return Message("orders.order-completed.v1", order_id, data, "e-1", "orders", NOW, "t/0/1")


def answer(decision: Decision[State], key: str = "C1") -> Any:
    (said,) = decision.says
    assert isinstance(said, Outgoing)
    assert said.key == key
    return said.data


def test_a_registration_is_told() -> None:
    decision = decide(State(), register(), NOW)
    assert decision.state.customer == ANN
    assert answer(decision) == CustomerRegistered(
        command_id="cmd-1", customer_id="C1", name="Ann", email="ann@shop.example", duplicate=False
    )


def test_registering_again_replaces_name_and_address() -> None:
    first = decide(State(), register(), NOW).state
    again = decide(replace(first, answer=None), register(2, name="Anna"), LATER)
    assert again.state.customer == Customer("C1", "Anna", "anna@shop.example", NOW, LATER)
    assert not answer(again).duplicate


def test_the_same_command_again_gets_the_first_answer_whatever_it_holds_now() -> None:
    first = decide(State(), register(), NOW)
    assert first.state.customer is not None
    changed_since = State(replace(first.state.customer, name="Anna"), first.state.answer)
    repeat = decide(changed_since, register(name="Mallory"), LATER)
    assert repeat.state == changed_since
    assert answer(repeat) == answer(first).model_copy(update={"duplicate": True})


@pytest.mark.parametrize("command", [register(customer_id="C2"), erase(customer_id="C2")])
def test_a_customer_id_unlike_the_key_is_rejected_and_changes_nothing(command: Message) -> None:
    decision = decide(State(ANN), command, LATER)
    rejected = answer(decision)
    assert isinstance(rejected, CommandRejected)
    assert (rejected.reason, rejected.command_id, rejected.duplicate) == ("invalid", command.id, False)
    assert (decision.state.customer, decision.state.erasure) == (ANN, None)


def test_an_invalid_command_is_rejected_with_its_reason_and_again_as_duplicate() -> None:
    invalid = InvalidCommand("cmd-9", "shop", "customer.register-customer.v1", "C1", "data.email: bad")
    message = Message("customer.register-customer.v1", "C1", invalid, "cmd-9", "shop", NOW, "t/0/9")
    first = decide(State(), message, NOW)
    rejected = answer(first)
    assert isinstance(rejected, CommandRejected)
    assert (rejected.message, rejected.command_type) == ("data.email: bad", "customer.register-customer.v1")
    assert answer(decide(first.state, message, LATER)) == rejected.model_copy(update={"duplicate": True})


def test_what_is_no_command_of_ours_is_an_error() -> None:
    with pytest.raises(TypeError):
        decide(State(), Message("x", "C1", object(), "1", "s", NOW, "u"), NOW)


# --- looking up, and tiers --------------------------------------------------------------------------------------------


def test_a_look_up_tells_the_tier_under_the_orders_id_and_changes_nothing() -> None:
    state = State(ANN, completed_orders=5)
    decision = decide(state, look_up(), NOW)
    assert answer(decision, "O1") == CustomerFound(request_id="enr-1", customer_id="C1", tier="SILVER")
    assert decision.state == state


def test_a_look_up_of_nobody_is_unknown_however_many_orders_were_completed() -> None:
    decision = decide(State(None, completed_orders=30), look_up(), NOW)
    assert answer(decision, "O1") == CustomerUnknown(request_id="enr-1", customer_id="C1")


def test_a_message_under_an_orders_id_is_about_the_customer_in_its_data_and_never_recorded() -> None:
    for message in (look_up("O1", "C7"), completed("O1", "C7")):
        assert (customer_of(message), recorded_key(message)) == ("C7", None)
    for command in (register(1, key="C1", customer_id="C7"), erase(1, key="C1", customer_id="C7")):
        assert (customer_of(command), recorded_key(command)) == ("C1", ("shop", "cmd-1"))


def test_a_completed_order_counts_once_and_says_nothing() -> None:
    first = decide(State(completed_orders=4), completed(), NOW)
    assert first == Decision(State(completed_orders=5, counted=True))
    assert decide(first.state, completed(), LATER) == Decision(first.state)


@pytest.mark.parametrize(
    ("orders", "tier"), [(0, "STANDARD"), (4, "STANDARD"), (5, "SILVER"), (19, "SILVER"), (20, "GOLD"), (10**9, "GOLD")]
)
def test_the_tier_follows_from_completed_orders(orders: int, tier: Tier) -> None:
    assert tier_of(orders) == tier


def test_the_table_of_tiers_begins_at_nothing_and_rises() -> None:
    steps = [from_orders for _, from_orders in TIERS]
    assert steps[0] == 0
    assert steps == sorted(set(steps))


# --- erasing ----------------------------------------------------------------------------------------------------------


def test_erasing_empties_name_and_address_and_is_on_record() -> None:
    decision = decide(State(ANN, completed_orders=7), erase(), LATER)
    assert decision.state.customer == Customer("C1", "", "", NOW, LATER, erased_at=LATER)
    assert decision.state.erasure == Erasure("shop", "cmd-2", "C1", "op", "asked us to", LATER)
    assert decision.state.completed_orders == 7
    assert answer(decision) == CustomerErased(command_id="cmd-2", customer_id="C1", duplicate=False)


def test_the_same_erasure_again_erases_nobody_who_registered_since() -> None:
    first = decide(State(ANN), erase(), LATER)
    since = State(ANN, first.state.answer)
    assert decide(since, erase(), LATER).state == since
    assert answer(decide(since, erase(), LATER)) == answer(first).model_copy(update={"duplicate": True})


def test_erasing_once_more_changes_nothing_and_is_told_and_on_record_again() -> None:
    erased = decide(State(ANN), erase(), NOW).state.customer
    decision = decide(State(erased), erase(3), LATER)
    assert decision.state.customer is erased
    assert decision.state.erasure is not None
    assert answer(decision) == CustomerErased(command_id="cmd-3", customer_id="C1", duplicate=False)


def test_erasing_nobody_is_rejected() -> None:
    decision = decide(State(), erase(), NOW)
    assert (answer(decision).reason, decision.state.erasure, decision.state.customer) == (
        "unknown-customer",
        None,
        None,
    )


def test_an_erased_customer_is_known_to_a_look_up_with_the_tier() -> None:
    erased = decide(State(ANN), erase(), NOW).state.customer
    found = answer(decide(State(erased, completed_orders=20), look_up(), LATER), "O1")
    assert found == CustomerFound(request_id="enr-1", customer_id="C1", tier="GOLD")


def test_an_erased_customer_can_register_again() -> None:
    erased = decide(State(ANN), erase(), NOW).state.customer
    decision = decide(State(erased), register(3, name="Anna"), LATER)
    assert decision.state.customer == Customer("C1", "Anna", "anna@shop.example", NOW, LATER, erased_at=None)


def test_an_answer_without_address_tells_that_it_was_erased() -> None:
    first = decide(State(), register(), NOW)
    assert first.state.answer is not None
    left = without_address(first.state.answer)
    assert left == CustomerErased(command_id="cmd-1", customer_id="C1", duplicate=False)
    assert without_address(left) == left
    repeat = answer(decide(State(ANN, left), register(), LATER))
    assert repeat == CustomerErased(command_id="cmd-1", customer_id="C1", duplicate=True)
