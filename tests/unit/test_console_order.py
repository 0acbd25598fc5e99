"""An order's page with its money and its failure, rendered from known facts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from console_pages import html_of, words_of

from services.console.domain import road_of
from services.console.pages_order import _owed
from services.console.pages_orders import _row, list_of
from services.console.store import Person
from services.console.story import Chain, Fact, shown, why_failed

ORDER = {
    "order_id": "O-1",
    "status": "CANCELLED",
    "reason": "customer-request",
    "waiting_for": None,
    "waiting_since": None,
    "deadline": None,
    "paused": False,
    "workflow": "order",
    "workflow_version": 2,
    "items": [{"sku": "tea", "quantity": 2, "unit_price_minor": 250}],
    "currency": "GBP",
    "total_minor": 500,
    "customer_id": "ann",
    "created_at": "2026-11-28T12:00:00Z",
    "updated_at": "2026-11-28T12:01:00Z",
}


def charge(captured: int, refunded: int = 0, charge_id: str = "chg_1") -> dict[str, Any]:
    return {
        "charge_id": charge_id,
        "status": "captured",
        "captured_minor": captured,
        "refunded_minor": refunded,
        "currency": "GBP",
    }


def page(**facts: Any) -> str:
    known = {
        "order": ORDER,
        "words": "It is as it is.",
        "ended": True,
        "who": "ann",
        "road": [],
        "undone": {},
        "took": {},
        "tape": [],
        "failure": None,
        "chain": None,
        "missing": [],
        "charges": [],
        "owed": 0,
        "trouble": "",
        "actions": [],
        "acts": [],
        "list_": "/orders",
    }
    return html_of("order.html", **{**known, **facts})


def money(status: str, *charges: dict[str, Any]) -> str:
    """The page's sums, as they are read."""
    html = page(charges=list(charges), owed=_owed({**ORDER, "status": status}, list(charges)))
    return words_of(html.partition('id="money"')[2].partition("</section>")[0]).removeprefix("> ")


@pytest.mark.parametrize(
    ("status", "charges", "owed"),
    [
        ("COMPLETED", [charge(500)], 0),
        ("COMPLETED", [charge(500, 200)], 0),
        ("PAYING", [charge(0)], 0),
        ("PAYING", [charge(500)], 500),
        ("COMPENSATING", [charge(500)], 500),
        ("NEEDS_ATTENTION", [charge(500, 200)], 300),
        ("CANCELLED", [charge(500, 500)], 0),
        ("CANCELLED", [charge(500, 200), charge(100, charge_id="chg_2")], 400),
        ("FAILED", [], 0),
    ],
)
def test_what_was_taken_and_not_given_back_is_owed_unless_the_order_completed(
    status: str, charges: list[dict[str, Any]], owed: int
) -> None:
    assert _owed({**ORDER, "status": status}, charges) == owed


def test_captured_refunded_and_owed_are_shown_and_what_is_owed_is_said_to_whom() -> None:
    told = money("CANCELLED", charge(500, 150))
    assert "Captured 5.00 GBP Refunded 1.50 GBP Owed 3.50 GBP" in told
    assert told.endswith("Owed to the customer unless the order completes.")


def test_what_was_given_back_whole_is_not_owed_any_more() -> None:
    told = money("CANCELLED", charge(500, 500))
    assert "Captured 5.00 GBP Refunded 5.00 GBP Owed 0.00 GBP" in told
    assert "Owed to the customer" not in told


def test_an_order_that_was_charged_nothing_says_so() -> None:
    assert money("FAILED").endswith("No money has been asked for.")


def test_a_message_whose_place_is_not_on_record_says_so() -> None:
    message = {"direction": "out", "topic": None, "partition": None, "offset": None, "id": "msg_1"}
    captured = entry("a", "orders.payment-captured.v1", "event", message=message, at=ORDER["created_at"])
    assert "→ no place on record" in words_of(page(tape=shown([captured], "", "operator")))


def test_the_ids_of_charges_messages_and_commands_can_be_copied() -> None:
    message = {"direction": "out", "topic": "t", "partition": 0, "offset": 1, "id": "msg_1"}
    tape = shown(
        [entry("a", "orders.payment-captured.v1", "event", message=message, at=ORDER["created_at"])], "", "operator"
    )
    act = {
        "target": "O-1",
        "account": "m.brown",
        "role": "operator",
        "reason": "r",
        "state": "done",
        "command_id": "cmd_1",
    }
    verdict = html_of(
        "verdict.html", title="Cancel", verdict={"accepted": True}, act={**act, "at": ORDER["created_at"]}
    )
    copied = re.findall(r'data-copy="([^"]+)"', page(charges=[charge(500)], tape=tape) + verdict)
    assert copied == ["O-1", "chg_1", "msg_1", "cmd_1"]


def entry(id_: str, type_: str, kind: str, title: str = "", text: str = "", **more: Any) -> dict[str, Any]:
    return {"id": id_, "kind": kind, "type": type_, "title": title or type_, "text": text, "data": {}, **more}


DECLINED = [
    entry("held", "orders.stock-reserved.v1", "event", "Stock reserved"),
    entry("approved", "orders.payment-approved.v1", "event", "Payment approved"),
    entry("no", "payment.charge-declined.v1", "reply", "Charge declined", "the bank says no"),
    entry("ask", "inventory.release-stock.v1", "request", "Asks inventory to give stock back", data={"undoes": "held"}),
    entry("back", "orders.stock-released.v1", "event", "Stock released", data={"undoes": "held"}),
    entry("end", "orders.order-failed.v1", "event", "Order failed"),
]


def failed(reason: str, tape: list[dict[str, Any]]) -> Chain:
    order = {**ORDER, "status": "FAILED", "reason": reason, "workflow_version": 1}
    types = [item["type"] for item in tape if item["kind"] == "event"]
    return why_failed(order, road_of(order, types), shown(tape, "ann", "operator"))


def test_a_failed_order_has_the_chain_of_its_step_its_cause_and_what_was_undone() -> None:
    assert failed("payment-declined", DECLINED) == Chain(
        (
            Fact("It failed at the step “Payment”: the payment was declined.", None),
            Fact("Charge declined: the bank says no", 3),
        ),
        (Fact("Stock released (undoes Stock reserved)", 5),),
    )


def test_an_order_that_failed_before_anything_was_taken_says_that_nothing_had_to_be_undone() -> None:
    refused = [
        entry("no", "inventory.reservation-refused.v1", "reply", "Reservation refused", "there are 6"),
        DECLINED[-1],
    ]
    found = failed("out-of-stock", refused)
    assert found.links[0].fact == "It failed at the step “Hold stock”: there was not enough stock."
    assert found.links[1] == Fact("Reservation refused: there are 6", 1)
    html = page(order={**ORDER, "status": "FAILED", "reason": "out-of-stock"}, chain=found)
    told = words_of(html)
    assert "Why did it fail? It failed at the step “Hold stock”" in told
    assert "Nothing had been taken, so nothing had to be undone." in told
    assert '<a href="#e1">Reservation refused: there are 6</a>' in html


@pytest.mark.parametrize(
    ("back", "address"),
    [
        ("", "/orders"),
        ("status=FAILED&sku=a+b&sort=oldest&after=abc", "/orders?status=FAILED&sku=a+b&sort=oldest&after=abc"),
        ("https://evil.example/", "/orders"),
        ("//evil.example&status=PAYING", "/orders?status=PAYING"),
        ("q=%22%3E%3Cscript%3E", "/orders?q=%22%3E%3Cscript%3E"),
        ("javascript:alert(1)=1", "/orders"),
    ],
)
def test_the_way_back_is_always_the_list_with_nothing_but_its_filters(back: str, address: str) -> None:
    assert list_of(back) == address


@pytest.mark.parametrize(
    ("asked", "gone"),
    [({}, False), ({"status": "CANCELLED"}, False), ({"status": "PAYING"}, True), ({"waiting_for": "approval"}, True)],
)
def test_a_line_that_does_not_fit_the_filters_any_more_is_marked(asked: dict[str, str], gone: bool) -> None:
    person = Person("ann", "operator", "token", one_time=False)
    html = html_of("rows.html", rows=[_row(ORDER, asked, person)], back="")
    assert ('<tr data-order="O-1" class="gone">' in html) == gone
