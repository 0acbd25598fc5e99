"""The tape as the order's page shows it: what is red, what is paired, what a viewer does not see."""

from __future__ import annotations

from typing import Any

import pytest

from orderctl.doctor.chain import Link, quoting
from services.console.domain import HIDDEN, ROLES, Role
from services.console.story import acts, chain, failure, shown


def entry(id_: str, type_: str, kind: str = "event", text: str = "", **data: Any) -> dict[str, Any]:
    return {"id": id_, "kind": kind, "type": type_, "title": f"title of {id_}", "text": text, "data": data}


CAPTURED = entry("m-1", "orders.payment-captured.v1", text="1.00 GBP of C-1")
REFUND = entry("m-2", "payment.refund.v1", "request", "attempt 1; undoes: title of m-1 of 2026-11-28 UTC", undoes="m-1")
REFUSED = entry("m-3", "payment.refund-failed.v1", "reply", "the bank is closed")
REJECTED = entry("m-4", "orders.command-rejected.v1", "verdict")
FAILED = entry("m-5", "orders.order-failed.v1")


def test_a_compensation_and_what_it_undoes_name_each_other() -> None:
    captured, refund = shown([CAPTURED, REFUND], "C-1", "operator")
    assert refund["undoes"] == {"n": 1, "title": "title of m-1"}
    assert refund["text"] == "attempt 1"
    assert refund["undoing"]
    assert captured["undone_by"] == {"n": 2, "title": "title of m-2"}


def test_what_is_undone_names_the_last_that_undoes_it() -> None:
    refunded = entry("m-6", "orders.payment-refunded.v1", undoes="m-1")
    captured, *_ = shown([CAPTURED, REFUND, refunded], "C-1", "operator")
    assert captured["undone_by"]["n"] == 3


def test_what_undoes_something_that_is_not_on_the_tape_keeps_its_words() -> None:
    (refund,) = shown([REFUND], "C-1", "operator")
    assert "undoes" not in refund
    assert refund["text"] == REFUND["text"]


def test_a_viewer_gets_neither_bodies_nor_the_customers_id_and_sees_the_pairs_all_the_same() -> None:
    captured, refund = shown([{**CAPTURED, "text": "1.00 GBP of CUSTOMER-1"}, REFUND], "CUSTOMER-1", "viewer")
    assert captured["text"] == "1.00 GBP of CU…"
    assert (captured["data"], refund["data"]) == ({}, {})
    assert refund["undoes"]["n"] == 1


def test_a_viewer_sees_what_a_mail_is_called_and_whether_it_was_sent() -> None:
    mail = entry(
        "x",
        "mail.confirmation",
        "mail",
        subject="Your order O-1 is complete",
        status="sent",
        attempts=1,
        last_error="no",
    )
    (told,) = shown([mail], "CUSTOMER-1", "viewer")
    assert told["data"] == {"subject": "Your order O-1 is complete", "status": "sent", "attempts": 1}


@pytest.mark.parametrize("status", ["FAILED", "NEEDS_ATTENTION", "COMPENSATING", "PAYING"])
def test_what_went_wrong_last_is_told_of_an_order_in_trouble(status: str) -> None:
    tape = shown([CAPTURED, REFUND, REFUSED, REJECTED, FAILED], "C-1", "operator")
    found = failure(status, tape)
    assert found is not None
    assert (found["n"], found["text"]) == (3, "the bank is closed")


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED", "AWAITING_APPROVAL"])
def test_of_an_order_that_is_well_nothing_is_told(status: str) -> None:
    assert failure(status, shown([CAPTURED, REFUSED], "C-1", "operator")) is None


def test_where_nothing_went_wrong_there_is_no_cause() -> None:
    assert failure("PAYING", shown([CAPTURED, REFUND], "C-1", "operator")) is None


WRITTEN = "Zoe Smith, 1 Elm Road, zoe@example.org"


@pytest.mark.parametrize(
    "name", ["reason", "message", "error", "last_error", "evidence", "approved_by", "operator", "greeting"]
)
def test_a_viewer_does_not_read_what_people_and_programs_wrote(name: str) -> None:
    item = entry("m-1", "orders.cancel-order.v1", "command", f"attempt 2, {WRITTEN}, until then", **{name: WRITTEN})
    (told,) = shown([item], "CUSTOMER-1", "viewer")
    assert (told["text"], told["data"]) == (f"attempt 2, {HIDDEN}, until then", {})
    assert shown([item], "CUSTOMER-1", "support")[0]["text"] == f"attempt 2, {WRITTEN}, until then"


def test_of_a_text_that_is_a_part_of_another_nothing_is_left() -> None:
    item = entry("m-1", "t", text="Zoe, Zoe Smith", reason="Zoe", message="Zoe Smith")
    assert shown([item], "C-1", "viewer")[0]["text"] == f"{HIDDEN}, {HIDDEN}"


def test_a_viewer_reads_reasons_that_are_words_of_the_contract() -> None:
    item = entry("m-1", "orders.order-failed.v1", text="out-of-stock", reason="out-of-stock")
    assert shown([item], "C-1", "viewer")[0]["text"] == "out-of-stock"


@pytest.mark.parametrize("customer_id", ["", None])
def test_where_there_is_no_customer_nothing_is_put_between_the_letters(customer_id: Any) -> None:
    assert shown([entry("m-1", "t", text="none")], customer_id, "viewer")[0]["text"] == "none"


def test_a_viewer_reads_what_the_doctor_says_and_not_what_it_quotes() -> None:
    links = (Link("it waits"), quoting("its last failure", WRITTEN))
    assert chain(links, "viewer") == ["it waits", f"its last failure: {HIDDEN}"]
    assert chain(links, "support") == ["it waits", f"its last failure: {WRITTEN}"]


@pytest.mark.parametrize(
    ("outcome", "seen"),
    [
        ("accepted", "accepted"),
        ("rejected: too-late", "rejected: too-late"),
        (f"rejected: {WRITTEN}", "rejected"),
        (f"it failed again: {WRITTEN}", "it failed again"),
        ("3 accepted, 0 rejected", "3 accepted, 0 rejected"),
        (f"12: it failed again: {WRITTEN}", "12: it failed again"),
    ],
)
def test_a_viewer_reads_what_came_of_an_act_and_not_why_it_was_done(outcome: str, seen: str) -> None:
    row = {"account": "ann", "action": "cancel", "target": "O-1", "reason": WRITTEN, "outcome": outcome}
    (told,) = acts([row], "viewer")
    assert told == {**row, "reason": HIDDEN, "outcome": seen}


@pytest.mark.parametrize("role", [role for role in ROLES if role != "viewer"])
def test_everybody_else_reads_acts_as_they_were(role: Role) -> None:
    row = {"reason": WRITTEN, "outcome": f"it failed again: {WRITTEN}"}
    assert acts([row], role) == [row]
