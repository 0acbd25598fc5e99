"""The workflow's table: every message in every phase has a rule, and the plain ways through it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from orders_talk import (
    ADD,
    APPROVE,
    BY,
    CANCEL,
    CANCEL_BY_OPERATOR,
    CHARGE,
    EXTRA,
    FIRST,
    INVALID,
    NOW,
    PAUSE,
    REFUND,
    RESUME,
    RETRY_NOW,
    SETTLED,
    Talk,
    captured,
    charge_failed,
    charge_unknown,
    checked,
    declined,
    expired,
    found,
    held,
    in_phase,
    names,
    nobody,
    recommended,
    refund_failed,
    refunded,
    refused,
    released,
    start,
    verdict,
    void_failed,
    voided,
)

from contracts import orders
from contracts.inventory import ReleaseStock, ReserveStock
from contracts.orders import CommandAccepted, CommandRejected
from contracts.payment import Charge, Refund, VoidCharge
from contracts.registry import EVENT_MODELS
from contracts.values import Item
from messaging.decision import Note, TimerFired
from services.orders.domain.decide import TABLE
from services.orders.domain.state import ENDED, Phase
from services.orders.handlers import REPLIES

MESSAGES: dict[str, Any] = {
    "invalid": INVALID,
    "start": start(),
    "approve": APPROVE,
    "cancel": CANCEL,
    "cancel-by-operator": CANCEL_BY_OPERATOR,
    "add": ADD,
    "held": held(),
    "refused": refused(),
    "released": released(),
    "expired": expired(),
    "captured": captured(),
    "declined": declined(),
    "failed": charge_failed(),
    "unknown": charge_unknown(),
    "voided": voided(),
    "void-failed": void_failed(),
    "refunded": refunded(),
    "refund-failed": refund_failed(),
    "timer": TimerFired("order", 0, NOW),
    "greet": orders.StartGreet(user_id="ann"),
    "retry-now": RETRY_NOW,
    "pause": PAUSE,
    "resume": RESUME,
    "resolve": SETTLED,
    "customer-found": found(),
    "customer-unknown": nobody(),
    "stock-checked": checked(),
    "recommended": recommended("mug"),
}
STARTS = ("start", "greet")
SIGNALS = (
    *STARTS,
    "invalid",
    "approve",
    "cancel",
    "cancel-by-operator",
    "add",
    "retry-now",
    "pause",
    "resume",
    "resolve",
)


def test_the_table_has_a_rule_for_every_message_in_every_phase() -> None:
    assert {type(data) for data in MESSAGES.values()} == set(TABLE)
    assert all(set(row) == set(Phase) for row in TABLE.values())


def test_the_table_knows_every_command_that_is_published_and_every_reply_that_is_read() -> None:
    assert {*orders.COMMANDS.values(), *orders.OPERATIONS.values()} <= set(TABLE)
    assert {EVENT_MODELS[name] for name in REPLIES} <= set(TABLE)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_is_decided_in_every_phase(phase: Phase, name: str) -> None:
    talk = in_phase(phase)
    said = talk.tell(MESSAGES[name])
    verdicts = [data for data in said if isinstance(data, CommandAccepted | CommandRejected)]
    pending = name == "add" and phase in {Phase.ENRICHING, Phase.RESERVING, Phase.AWAITING_APPROVAL}
    assert len(verdicts) == (1 if name in SIGNALS and not pending else 0)


@pytest.mark.parametrize("phase", sorted(ENDED))
@pytest.mark.parametrize("name", MESSAGES)
def test_nothing_moves_an_order_that_has_ended(phase: Phase, name: str) -> None:
    talk = in_phase(phase)
    before = talk.order
    said = talk.tell(MESSAGES[name])
    assert talk.order == before
    allowed = {"CommandAccepted", "CommandRejected", "orders.late-answer"}
    assert set(names(said)) <= allowed


@pytest.mark.parametrize("name", [name for name in MESSAGES if name not in STARTS])
def test_nothing_but_a_start_makes_an_order(name: str) -> None:
    talk = Talk()
    talk.tell(MESSAGES[name])
    assert talk.view.order is None
    if name in SIGNALS:
        assert verdict(talk.said) == ("invalid" if name == "invalid" else "unknown-order")


#                                 start          approve          cancel           add
VERDICTS = {
    Phase.NEW: ("accepted", "unknown-order", "unknown-order", "unknown-order"),
    Phase.ENRICHING: ("accepted again", "accepted", "accepted", None),
    Phase.RESERVING: ("accepted again", "accepted", "accepted", None),
    Phase.AWAITING_APPROVAL: ("accepted again", "accepted", "accepted", None),
    Phase.PAYING: ("accepted again", "accepted again", "accepted", "not-allowed"),
    Phase.COMPENSATING: ("accepted again", "too-late", "accepted again", "too-late"),
    Phase.COMPLETED: ("accepted again", "too-late", "too-late", "too-late"),
    Phase.CANCELLED: ("accepted again", "too-late", "too-late", "too-late"),
    Phase.FAILED: ("accepted again", "too-late", "too-late", "too-late"),
}


@pytest.mark.parametrize("phase", list(Phase))
def test_every_signal_has_its_verdict_in_every_phase(phase: Phase) -> None:
    order = start(workflow_version=2) if phase is Phase.ENRICHING else start()
    signals = (order, APPROVE, CANCEL, ADD)
    assert tuple(verdict(in_phase(phase).tell(signal)) for signal in signals) == VERDICTS[phase]


@pytest.mark.parametrize("phase", list(Phase))
def test_an_operator_s_cancel_does_what_the_customer_s_does_and_stands_in_the_history_with_name_and_reason(
    phase: Phase,
) -> None:
    customer, operator = in_phase(phase), in_phase(phase)
    theirs, ours = customer.tell(CANCEL), operator.tell(CANCEL_BY_OPERATOR)
    assert operator.view.order == customer.view.order
    assert verdict(ours) == verdict(theirs)
    notes = [said.data for said in ours if isinstance(said, Note)]
    assert notes == ([BY] if verdict(ours) == "accepted" else [])
    assert [said for said in ours if not isinstance(said, Note)][1:] == theirs[1:]


def test_the_evidence_of_what_was_done_by_hand_stands_in_the_history() -> None:
    talk = in_phase(Phase.COMPENSATING)
    while talk.order.attention is None:
        talk.fire()
    said = talk.tell(SETTLED.model_copy(update={"evidence": "BANK-4711"}))
    (note,) = [said for said in said if isinstance(said, Note)]
    assert (note.type, note.data["evidence"]) == ("orders.evidence-given", "BANK-4711")


def test_an_order_on_its_plain_way() -> None:
    talk = Talk()
    assert names(talk.tell(start())) == ["CommandAccepted", "OrderStarted", "ReserveStock"]
    assert talk.said[-1] == ReserveStock(
        reservation_id=FIRST, items=(Item(sku="tea", quantity=2),), expires_at=NOW + timedelta(seconds=960)
    )
    assert names(talk.tell(held())) == ["StockReserved"]
    assert (talk.order.total_minor, talk.order.deadline) == (500, NOW + timedelta(seconds=900))
    assert names(talk.tell(APPROVE)) == ["CommandAccepted", "PaymentApproved", "Charge"]
    assert talk.said[-1] == Charge(
        charge_id=CHARGE, amount_minor=500, currency="GBP", payment_method="pm_card_visa", attempt=1
    )
    assert names(talk.tell(captured())) == ["PaymentCaptured", "OrderCompleted"]
    assert talk.said[-1].reservation_ids == (FIRST,)
    assert talk.timer is None


def test_a_charge_under_way_is_voided_before_anything_is_released() -> None:
    talk = in_phase(Phase.PAYING)
    assert talk.tell(CANCEL)[1:] == [VoidCharge(charge_id=CHARGE, attempt=1)]
    assert names(talk.tell(voided())) == ["ReleaseStock"]
    assert names(talk.tell(released())) == ["StockReleased", "OrderCancelled"]


def test_what_was_captured_is_refunded_before_anything_is_released() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(CANCEL)
    said = talk.tell(captured())
    assert names(said) == ["PaymentCaptured", "Refund"]
    assert said[1] == Refund(refund_id=REFUND, charge_id=CHARGE, amount_minor=500, currency="GBP", attempt=1)
    assert talk.tell(captured()) == []
    assert names(talk.tell(refunded())) == ["PaymentRefunded", "ReleaseStock"]
    assert names(talk.tell(released())) == ["StockReleased", "OrderCancelled"]


def test_every_reservation_is_released_in_one_go() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.tell(ADD, held(EXTRA, "mug", 1, 799), ADD)
    said = talk.tell(CANCEL)
    assert [data.reservation_id for data in said if isinstance(data, ReleaseStock)] == [
        FIRST,
        EXTRA,
        talk.order.compensation.waiting_releases[2],  # type: ignore[union-attr]
    ]
    assert [data.reason for data in said if isinstance(data, CommandRejected)] == ["too-late"]


def test_stock_that_is_told_to_be_free_again_is_told_so_once() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.tell(ADD, held(EXTRA, "mug", 1, 799), CANCEL)
    assert [type(data) for data in talk.tell(released(FIRST))] == [orders.StockReleased]
    before = talk.order
    assert talk.tell(released(FIRST)) == []
    assert talk.order == before


def test_every_line_that_is_undecided_when_the_order_ends_is_told_that_it_is_too_late() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.tell(ADD, ADD, ADD)
    said = talk.tell(CANCEL)
    told = [(data.command_id, data.reason) for data in said if isinstance(data, CommandRejected)]
    assert told == [(f"m{talk.count - back}", "too-late") for back in (3, 2, 1)]


@pytest.mark.parametrize("reply", ["held", "refused", "captured", "declined", "failed", "voided", "refunded"])
@pytest.mark.parametrize("phase", list(Phase))
def test_a_reply_about_something_else_changes_nothing(phase: Phase, reply: str) -> None:
    talk = in_phase(phase)
    field = "charge_id" if hasattr(MESSAGES[reply], "charge_id") else "reservation_id"
    before = talk.view.order
    talk.tell(MESSAGES[reply].model_copy(update={field: "somebody-else"}))
    assert talk.view.order == before
    assert not talk.said or names(talk.said)[-1] != "OrderCompleted" or phase is Phase.COMPLETED
