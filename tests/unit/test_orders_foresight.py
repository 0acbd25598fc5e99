"""Looking ahead, where it is not plain: what is under way, what nobody can know yet, what nobody is asked for any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from orders_talk import (
    ADD,
    APPROVE,
    CANCEL,
    CANCEL_BY_OPERATOR,
    EXTRA,
    PAUSE,
    RESUME,
    RETRY_NOW,
    Talk,
    charge_failed,
    held,
    in_phase,
    released,
    start,
    void_failed,
)

from contracts.values import Item
from services.orders.domain import decide
from services.orders.domain.foresee import Foresight, MoneyMove, StockMove, foresee
from services.orders.domain.policies import Policies, RetryPolicy
from services.orders.domain.state import Phase, business_id


def ahead(talk: Talk, data: Any, **more: Any) -> Foresight:
    return foresee(talk.view, talk.message(data, id="plan"), talk.now, **more)


def ending(foreseen: Foresight) -> tuple[str, str | None]:
    assert foreseen.after is not None
    return foreseen.after.status, foreseen.after.reason


def test_looking_ahead_changes_nothing() -> None:
    talk = in_phase(Phase.PAYING)
    before = talk.view
    order = talk.order
    assert ahead(talk, CANCEL) == ahead(talk, CANCEL)
    assert talk.view is before
    assert talk.order == order


def test_what_was_asked_before_is_answered_too() -> None:
    foreseen = ahead(in_phase(Phase.PAYING), PAUSE)
    assert ending(foreseen) == ("COMPLETED", None)
    assert foreseen.money == (MoneyMove("charge", 500, "GBP"),)


def test_a_charge_that_is_under_way_is_foreseen_to_be_taken_and_given_back() -> None:
    foreseen = ahead(in_phase(Phase.PAYING), CANCEL)
    assert foreseen.money == (MoneyMove("charge", 500, "GBP"), MoneyMove("refund", 500, "GBP"))
    assert foreseen.stock == (StockMove("release", "tea", 2),)
    assert ending(foreseen) == ("CANCELLED", "customer-request")


def test_a_charge_that_failed_is_foreseen_to_be_voided() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(charge_failed())
    foreseen = ahead(talk, CANCEL)
    assert foreseen.money == (MoneyMove("void", 500, "GBP"),)
    assert "plan.if-it-was-taken" in [step.type for step in foreseen.then]


def test_the_wait_before_another_attempt_passes_and_is_told() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(charge_failed())
    assert ending(ahead(talk, ADD)) == ("COMPLETED", None)
    paused = ahead(talk, PAUSE)
    assert (ending(paused), paused.then) == (("PAYING", None), ())
    talk.tell(PAUSE)
    resumed = ahead(talk, RESUME)
    assert ending(resumed) == ("COMPLETED", None)
    assert resumed.then[0].data == {"at": "2026-01-01T00:00:01+00:00"}


def test_an_approval_after_the_deadline_that_nobody_noticed_is_refused_and_ends_the_order() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.now += timedelta(seconds=901)
    foreseen = ahead(talk, APPROVE)
    assert (foreseen.verdict.accepted, foreseen.verdict.reason) == (False, "too-late")
    assert ending(foreseen) == ("CANCELLED", "approval-timeout")
    assert foreseen.stock == (StockMove("release", "tea", 2),)


def test_what_depends_on_a_price_that_nobody_knows_is_left_open() -> None:
    foreseen = ahead(in_phase(Phase.RESERVING), APPROVE)
    assert ending(foreseen) == ("COMPLETED", None)
    assert foreseen.money == (MoneyMove("charge", None, None),)
    assert foreseen.stock == (StockMove("reserve", "tea", 2), StockMove("ship", "tea", 2))
    charge = next(step for step in foreseen.then if step.type == "payment.charge.v1")
    assert (charge.data["amount_minor"], charge.data["currency"]) == (None, None)


def test_added_lines_are_released_as_what_they_were() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.tell(ADD, held(EXTRA, "mug", 1, 799), ADD)
    moves = (StockMove("reserve", "mug", 1), StockMove("release", "tea", 2), StockMove("release", "mug", 2))
    assert ahead(talk, CANCEL).stock == moves


def test_a_reservation_of_which_the_order_does_not_say_what_it_holds_is_told_as_such() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.tell(ADD, held(EXTRA, "mug", 1, 799), ADD, held(business_id("rsv", "O", "2"), "mug", 1, 799), CANCEL)
    talk.tell(released(EXTRA).model_copy(update={"items": (Item(sku="mug", quantity=1),)}))
    talk.tell(PAUSE)
    foreseen = ahead(talk, CANCEL_BY_OPERATOR)
    assert (foreseen.verdict.duplicate, foreseen.stock) == (True, ())
    resumed = ahead(talk, RESUME)
    assert set(resumed.stock) == {StockMove("release", "tea", 2), StockMove("release", None, None)}
    assert ending(resumed) == ("CANCELLED", "customer-request")


def test_what_is_left_to_a_person_is_not_foreseen_to_go_on_by_itself() -> None:
    once = Policies(void=RetryPolicy(1, 2, 60, 1))
    talk = in_phase(Phase.PAYING)
    talk.tell(charge_failed(), CANCEL)
    failed = talk.message(void_failed())
    left = replace(talk, view=decide(talk.view, failed, talk.now, once).state)
    assert ending(ahead(left, ADD, policies=once)) == ("NEEDS_ATTENTION", None)
    assert ending(ahead(left, RETRY_NOW, policies=once)) == ("CANCELLED", "customer-request")


def test_an_order_that_is_not_there_can_be_looked_at_as_well() -> None:
    foreseen = ahead(Talk(), start())
    assert (foreseen.before, foreseen.verdict.accepted) == (None, True)
    assert ending(foreseen) == ("AWAITING_APPROVAL", None)
    unknown = ahead(Talk(), CANCEL)
    assert (unknown.verdict.reason, unknown.after) == ("unknown-order", None)
