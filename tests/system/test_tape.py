"""An order's tape: everything that is on record about it, wherever, in causal order and at its real place."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from test_simulation import Forgets, LosesAnswers, busy_day

from contracts.topics import COMMAND_TOPICS, EVENT_TOPICS
from simulation import System
from simulation.kit import Shop, add_line, approve, cancel, cancel_by_operator, pause, resume, retry_now
from simulation.system import Outside

Entry = dict[str, Any]


def titles(tape: list[Entry], *kinds: str) -> list[str]:
    return [entry["title"] for entry in tape if entry["kind"] in kinds]


def gaps(tape: list[Entry]) -> list[str]:
    return [entry["text"] for entry in tape if entry["kind"] == "gap"]


def check_tape(system: System, order: str) -> None:
    """What holds on every tape, whatever happened."""
    tape = system.tape(order)
    shown = [entry for entry in tape if entry["kind"] != "gap"]
    places = {topic: _places(system, topic, order) for topic in COMMAND_TOPICS | EVENT_TOPICS}
    for entry in shown:
        message = entry["message"]
        if message is not None:
            assert (message["partition"], message["offset"]) in places[message["topic"]][message["id"]], entry
    told = {entry["message"]["id"] for entry in shown if entry["message"] and entry["message"]["direction"] == "out"}
    assert set(places["orders.events.v1"]) <= told
    stands = {entry["id"]: number for number, entry in enumerate(shown)}
    assert len(stands) == len(shown)
    for number, entry in enumerate(shown):
        assert stands.get(entry["cause"], -1) < number, (entry, shown[stands[entry["cause"]]])
    money = [(e["type"], e["data"]["amount_minor"]) for e in shown if e["kind"] == "money"]
    assert sorted(money) == sorted((f"money.{e.kind}", e.amount_minor) for e in system.gateway_entries(order))
    undone = [entry for entry in shown if entry["type"] in {"stock.released", "money.refund"}]
    assert all(entry["data"]["undoes"] in stands for entry in undone)
    assert all(gap["duration_s"] >= 1 and gap["text"] for gap in tape if gap["kind"] == "gap")


def _places(system: System, topic: str, order: str) -> dict[str, set[tuple[int, int]]]:
    found: dict[str, set[tuple[int, int]]] = {}
    for record in system.records(topic):
        if record.key == order.encode():
            found.setdefault(json.loads(record.value or b"")["id"], set()).add((record.partition, record.offset))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_every_message_money_and_stock_of_a_busy_day_with_crashes_stands_on_its_tape(seed: int) -> None:
    system = busy_day(System(seed=seed), orders=20)
    for order in system.orders():
        check_tape(system, order["order_id"])


def test_where_answers_are_lost_the_tape_still_tells_real_places() -> None:
    outside = Outside(
        store=lambda service, store: LosesAnswers(store),  # type: ignore[arg-type, return-value]
        publisher=lambda service, publisher: Forgets(publisher),
    )
    system = busy_day(System(seed=3, outside=outside), orders=20)
    for order in system.orders():
        check_tape(system, order["order_id"])


def test_gaps_say_what_was_waited_for(shop: Shop) -> None:
    shop.given_order()
    shop.skip(seconds=41)
    shop.when(add_line())
    shop.skip(minutes=2, seconds=5)
    shop.when(pause())
    shop.skip(minutes=10)
    shop.when(resume())
    shop.when(approve())
    shop.skip(seconds=5)
    assert gaps(shop.system.tape("O")) == [
        "41 s: waiting for approval",
        "2 min 5 s: waiting for approval",
        "10 min: paused by an operator",
    ]
    check_tape(shop.system, "O")


def test_an_open_gap_says_until_when(shop: Shop) -> None:
    shop.given_order()
    shop.skip(seconds=30)
    deadline = shop.system.order("O")["deadline"]
    last = shop.system.tape("O")[-1]
    assert last["text"] == f"30 s so far: waiting for approval, until {deadline:%Y-%m-%d %H:%M:%S} UTC at most"
    assert last["data"]["waiting_for"] == "approval"


def test_what_came_while_the_service_was_down_is_told_as_unread(shop: Shop) -> None:
    shop.given_order()
    shop.down("orders")
    shop.when(approve())
    shop.skip(seconds=20)
    shop.up("orders")
    assert gaps(shop.system.tape("O")) == ["20 s: unread on orders.commands.v1 (the orders service was away or busy)"]


def test_a_silent_participant_is_named(shop: Shop) -> None:
    shop.given_order()
    shop.down("payment")
    shop.when(approve())
    shop.skip(seconds=46)
    tape = shop.system.tape("O")
    assert gaps(tape)[:2] == [f"{wait} s: waiting for payment to charge" for wait in (15, 30)]
    assert titles(tape, "timer", "retry") == ["Time for an answer was up", "No answer: asked again"] * 2
    assert titles(tape, "attempt") == ["Asks payment to charge"] * 3
    shop.up("payment")


def test_attempts_retries_and_operators_stand_in_order_with_the_next_try(shop: Shop) -> None:
    shop.given_order()
    shop.down("gateway")
    shop.when(approve())
    shop.skip(seconds=1.5)
    shop.up("gateway")
    shop.when(retry_now())
    tape = shop.system.tape("O")
    told = [entry for entry in tape if entry["kind"] in {"attempt", "retry", "operator", "reply", "timer", "money"}]
    since = next(number for number, entry in enumerate(told) if entry["kind"] == "attempt")
    assert [(entry["kind"], entry["title"]) for entry in told[since:]] == [
        ("attempt", "Asks payment to charge"),
        ("reply", "payment answered: charge unknown"),
        ("retry", "Will be tried again"),
        ("timer", "Time for the next try"),
        ("attempt", "Asks payment to charge"),
        ("reply", "payment answered: charge unknown"),
        ("retry", "Will be tried again"),
        ("operator", "Operator: retry now"),
        ("operator", "Tried again at once"),
        ("attempt", "Asks payment to charge"),
        ("money", "Money taken"),
        ("reply", "payment answered: charge captured"),
    ]
    retries = [entry for entry in told if entry["kind"] == "retry"]
    assert [entry["duration_s"] for entry in retries] == [1, 2]
    due = retries[0]["at"] + timedelta(seconds=1)
    assert f"next try at {due:%Y-%m-%d %H:%M:%S} UTC" in retries[0]["text"]


def test_what_a_compensation_undoes_is_named(shop: Shop) -> None:
    shop.given_order(payment_method="pm_refund_fails")
    shop.when(approve())
    shop.skip(seconds=0.5)
    shop.when(cancel())
    shop.skip(minutes=1)
    tape = shop.system.tape("O")
    by_id = {entry["id"]: entry for entry in tape}
    undone = {entry["title"]: by_id[entry["data"]["undoes"]]["title"] for entry in tape if "undoes" in entry["data"]}
    assert undone == {
        "Asks payment to void the charge": "Asks payment to charge",
        "Asks payment to refund": "Payment captured",
        "Money given back": "Money taken",
        "Payment refunded": "Payment captured",
        "Asks inventory to give stock back": "Stock held",
        "Stock given back": "Stock held",
        "Stock released": "Stock reserved",
    }
    assert titles(tape, "mail") == ["Mail sent: cancellation"]
    check_tape(shop.system, "O")


def test_a_signal_stands_before_its_verdict_and_one_undecided_says_so(shop: Shop) -> None:
    shop.given_order()
    shop.down("inventory")
    shop.when(add_line())
    command = next(entry for entry in shop.system.tape("O") if entry["type"] == "orders.add-line-item.v1")
    assert (command["kind"], command["text"]) == ("command", "1 x mug, not decided yet")
    assert command["data"] == {"source": "test", "sku": "mug", "quantity": 1}
    shop.skip(seconds=3)
    shop.up("inventory")
    tape = shop.system.tape("O")
    verdict = next(entry for entry in tape if entry["kind"] == "verdict" and "add line item" in entry["text"])
    assert (verdict["title"], verdict["data"]["command_id"], verdict["duration_s"]) == ("Accepted", command["id"], 3)


def test_a_signal_shows_what_it_asked_for_whatever_it_was_told(shop: Shop) -> None:
    shop.given_order()
    shop.when(cancel(reason="found it cheaper"))
    shop.when(approve(by="bob"))
    told = {e["type"]: e for e in shop.system.tape("O") if e["kind"] == "command"}
    assert told["orders.cancel-order.v1"]["text"] == "found it cheaper"
    assert told["orders.approve-payment.v1"]["data"] == {"source": "test", "approved_by": "bob"}
    assert [e["title"] for e in shop.system.tape("O") if e["kind"] == "verdict"] == ["Accepted", "Accepted", "Rejected"]


def test_an_operators_cancel_tells_who_and_why_though_the_order_ends_at_the_customers_request(shop: Shop) -> None:
    shop.given_order()
    shop.when(cancel_by_operator("fraud"))
    assert shop.system.order("O")["reason"] == "customer-request"
    told = [(e["title"], e["text"]) for e in shop.system.tape("O") if e["kind"] == "operator"]
    assert told == [("Operator: cancel", "by op, fraud"), ("Cancelled by operator", "by op, fraud")]


def test_payments_answers_are_paired_by_the_request_that_they_name(shop: Shop) -> None:
    """A second charge was asked for while the first was under way: the gateway's one outcome answers the first."""
    shop.given_order()
    shop.down("payment")
    shop.when(approve())
    shop.skip(seconds=16)
    shop.up("payment")
    tape = shop.system.tape("O")
    asked = [entry["id"] for entry in tape if entry["kind"] == "attempt"]
    replies = [entry["cause"] for entry in tape if entry["type"] == "payment.charge-captured.v1"]
    assert len(asked) == 2
    assert replies[0] == asked[0]
