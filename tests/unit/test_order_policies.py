"""Retry policies: the table, the settings that override it, and what an order does where no further attempt is allowed."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from orders_talk import (
    APPROVE,
    CANCEL,
    CHARGE,
    RETRY_NOW,
    Talk,
    captured,
    charge_failed,
    charge_unknown,
    checked,
    declined,
    found,
    held,
    in_phase,
    names,
    recommended,
    refund_failed,
    refunded,
    released,
    start,
    verdict,
    void_failed,
    voided,
)
from prometheus_client import CollectorRegistry

from contracts.orders import ResolveAttention
from contracts.payment import Refund, VoidCharge
from contracts.values import FailureKind
from messaging.decision import Note
from messaging.errors import SettingsError
from messaging.http import make_app
from services.orders.api.policies import policy_routes, table
from services.orders.domain.policies import DEFAULTS, IN_THE_END, TRIED_AFTER, Policies, RetryPolicy
from services.orders.domain.retries import is_left_to_a_person
from services.orders.domain.state import Phase
from services.orders.settings import load_policies

RETRY = ResolveAttention(operator="op", reason="the bank is open", resolution="retry")


def with_(**rows: RetryPolicy) -> Policies:
    return replace(DEFAULTS, **rows)


def note(said: list[Any]) -> Note:
    (found,) = [data for data in said if isinstance(data, Note)]
    return found


def last(said: list[Any]) -> tuple[Any, ...]:
    facts = note(said).data
    return note(said).type, facts["step"], facts["failed_attempt"], facts["failure"], facts["next_attempt_at"]


# --- the table and its settings ---------------------------------------------------------------------------------------


def test_every_row_has_its_meaning() -> None:
    rows = {field.name.replace("_", "-") for field in fields(Policies)}
    assert rows == set(TRIED_AFTER) == set(IN_THE_END)


def test_without_settings_the_defaults_are_in_effect() -> None:
    assert load_policies({"PATH": "/bin", "ORDER_TASK_QUEUE": "q"}) == DEFAULTS
    assert all(row["overridden"] == {} for row in table(DEFAULTS))


def test_a_setting_overrides_one_field_of_one_row() -> None:
    env = {
        "ORDER_POLICY_CHARGE_MAXIMUM_ATTEMPTS": "7",
        "ORDER_POLICY_CHARGE_NON_RETRYABLE": "permanent, unknown",
        "ORDER_POLICY_ADD_LINE_INITIAL_INTERVAL_S": "2.5",
        "ORDER_POLICY_REFUND_MAXIMUM_ATTEMPTS": "0",
        "ORDER_POLICY_VOID_NON_RETRYABLE": "",
    }
    policies = load_policies(env)
    assert policies.charge == RetryPolicy(1, 2, 30, 7, frozenset({"permanent", "unknown"}))
    assert policies.add_line == RetryPolicy(2.5, 2, 60, None)
    assert policies.refund == DEFAULTS.refund
    assert policies.void.non_retryable == frozenset()
    changed = {row["step"]: row["overridden"] for row in table(policies) if row["overridden"]}
    assert changed == {
        "add-line": {"initial_interval_s": 15},
        "charge": {"maximum_attempts": 5, "non_retryable": ["permanent", "validation"]},
        "void": {"non_retryable": ["permanent", "validation"]},
    }


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ORDER_POLICY_CHARGES_MAXIMUM_ATTEMPTS", "3", "is no setting: .* STEP is one of ENRICH, .* FIELD is one of"),
        ("ORDER_POLICY_CHARGE_ATTEMPTS", "3", "is no setting"),
        ("ORDER_POLICY_CHARGE_MAXIMUM_ATTEMPTS", "many", "whole number"),
        ("ORDER_POLICY_CHARGE_MAXIMUM_ATTEMPTS", "-1", "from 0 to"),
        ("ORDER_POLICY_CHARGE_MAXIMUM_ATTEMPTS", "0", "at least 1"),
        ("ORDER_POLICY_RECOMMEND_MAXIMUM_ATTEMPTS", "0", "at least 1"),
        ("ORDER_POLICY_VOID_BACKOFF_COEFFICIENT", "0.5", "from 1 to 100"),
        ("ORDER_POLICY_VOID_INITIAL_INTERVAL_S", "nan", "from 0.01"),
        ("ORDER_POLICY_VOID_INITIAL_INTERVAL_S", "", "must be a number"),
        ("ORDER_POLICY_RESERVE_MAXIMUM_INTERVAL_S", "5", "must not be less than ORDER_POLICY_RESERVE_INITIAL"),
        ("ORDER_POLICY_CHARGE_NON_RETRYABLE", "transient, odd", "not of odd"),
        ("ORDER_POLICY_ENRICH_NON_RETRYABLE", "unknown", "silence is of no kind"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        load_policies({name: value})
    assert name in str(caught.value)


async def test_the_table_in_effect_is_told_over_http() -> None:
    async def ready() -> bool:
        return True

    policies = load_policies({"ORDER_POLICY_CHARGE_MAXIMUM_ATTEMPTS": "7"})

    async def read() -> Policies:
        return policies

    app = make_app(policy_routes(read), CollectorRegistry(), ready, lambda: True, {})
    async with TestClient(TestServer(app)) as client:
        answer = await (await client.get("/policies")).json()
        assert (await client.get("/policies?step=charge")).status == 400
    assert answer["next"] is None
    assert [row["step"] for row in answer["items"]] == list(TRIED_AFTER)
    assert answer["items"][4] == {
        "step": "charge",
        "tried_again_after": "failure",
        "initial_interval_s": 1,
        "backoff_coefficient": 2,
        "maximum_interval_s": 30,
        "maximum_attempts": 7,
        "non_retryable": ["permanent", "validation"],
        "in_the_end": "the charge is voided, and the order fails with payment-failed",
        "overridden": {"maximum_attempts": 5},
    }


# --- kinds of failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["permanent", "validation"])
@pytest.mark.parametrize("failed", [charge_failed, charge_unknown])
def test_a_charge_that_can_only_fail_again_is_voided_at_once(failed: Any, kind: FailureKind) -> None:
    talk = in_phase(Phase.PAYING)
    said = talk.tell(failed(1, kind))
    assert last(said) == ("orders.attempt-failed", "charge", 1, kind, None)
    assert isinstance(said[-1], VoidCharge)
    talk.tell(voided(), released())
    assert (talk.phase, talk.order.reason) == (Phase.FAILED, "payment-failed")


def test_what_is_not_retried_is_the_policys_choice() -> None:
    talk = in_phase(Phase.PAYING, with_(charge=replace(DEFAULTS.charge, non_retryable=frozenset({"unknown"}))))
    assert names(talk.tell(charge_failed(1, "permanent"))) == ["orders.retry-scheduled"]
    talk.fire()
    assert isinstance(talk.tell(charge_unknown(2, "unknown"))[-1], VoidCharge)


@pytest.mark.parametrize(
    ("failed", "kind"), [(charge_failed, "transient"), (charge_unknown, "unknown"), (declined, "permanent")]
)
def test_a_failure_that_was_told_before_there_were_kinds_is_of_the_kind_of_its_event(failed: Any, kind: str) -> None:
    assert note(in_phase(Phase.PAYING).tell(failed())).data["failure"] == kind


def test_the_history_tells_every_attempt_with_its_error_and_when_the_next_one_comes() -> None:
    talk = in_phase(Phase.PAYING)
    assert note(talk.tell(charge_failed(1, "transient"))).data == {
        "step": "charge",
        "waiting_for": "payment",
        "failed_attempt": 1,
        "failure": "transient",
        "error": "busy",
        "delay_s": 1.0,
        "next_attempt_at": (talk.now + timedelta(seconds=1)).isoformat(),
    }


def test_an_attempt_that_fails_while_the_order_is_given_up_is_told_too() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(CANCEL)
    for failed, kind in ((charge_failed(), "transient"), (charge_unknown(), "unknown"), (declined(), "permanent")):
        assert last(talk.tell(failed)) == ("orders.attempt-failed", "charge", 1, kind, None)
    assert talk.tell(charge_failed(2)) == []


# --- nothing that may hold money or stock is dropped ------------------------------------------------------------------


def refunding(policies: Policies) -> Talk:
    talk = in_phase(Phase.PAYING, policies)
    talk.tell(CANCEL, captured())
    return talk


def test_a_refund_that_cannot_work_is_left_to_a_person_at_once_and_tried_when_they_say_so() -> None:
    talk = refunding(DEFAULTS)
    said = talk.tell(refund_failed(1, "permanent"))
    assert names(said) == ["orders.attempt-failed", "AttentionNeeded"]
    assert (talk.order.status, talk.order.waiting_for) == ("NEEDS_ATTENTION", "refund")
    assert is_left_to_a_person(talk.order)
    talk.skip(10_000)
    assert talk.fire(talk.now) == []
    again = talk.tell(RETRY)[-1]
    assert isinstance(again, Refund)
    assert again.attempt == 2
    assert names(talk.tell(refunded(attempt=2)))[-1] == "ReleaseStock"


def test_attempts_of_a_compensation_that_are_used_up_are_left_to_a_person() -> None:
    talk = refunding(with_(refund=RetryPolicy(1, 2, 60, 2)))
    talk.tell(refund_failed(1))
    talk.fire()
    assert names(talk.tell(refund_failed(2))) == ["orders.attempt-failed", "AttentionNeeded"]
    assert verdict(talk.tell(RETRY_NOW)) == "accepted"
    assert talk.said[-1].attempt == 3
    assert names(talk.tell(refunded(attempt=3))) == ["PaymentRefunded", "AttentionResolved", "ReleaseStock"]


def test_a_void_that_cannot_work_is_left_to_a_person_also_when_the_payment_has_failed() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(charge_failed(1, "validation"))
    assert names(talk.tell(void_failed(1, "permanent"))) == ["orders.attempt-failed", "AttentionNeeded"]
    assert talk.order.waiting_for == "payment-outcome"
    assert talk.tell(RETRY)[-1].attempt == 2
    talk.tell(captured(attempt=2))
    assert talk.phase is Phase.COMPLETED


def test_a_cancellation_tries_anew_what_was_left_to_a_person() -> None:
    talk = in_phase(Phase.PAYING)
    talk.tell(charge_failed(1, "validation"), void_failed(1, "permanent"))
    assert talk.tell(CANCEL)[-1] == VoidCharge(charge_id=CHARGE, attempt=2)
    assert names(talk.tell(voided(2)))[-1] == "ReleaseStock"


@pytest.mark.parametrize(
    ("phase", "row", "answer"),
    [
        (Phase.ENRICHING, "enrich", found()),
        (Phase.RESERVING, "reserve", held()),
        (Phase.PAYING, "no_answer", captured()),
        (Phase.COMPENSATING, "release", released()),
    ],
)
def test_who_stays_silent_is_not_asked_for_ever_where_the_policy_says_so(phase: Phase, row: str, answer: Any) -> None:
    talk = in_phase(phase, with_(**{row: RetryPolicy(10, 1, 10, 2)}))
    if phase is Phase.ENRICHING:
        talk.tell(checked(), recommended())
    heard = []
    while not is_left_to_a_person(talk.order):
        heard.append(names(talk.fire()))
    told = [said for said in heard if said]
    assert [said[0] for said in told] == ["orders.asked-again", "orders.attempt-failed"]
    assert told[-1][1:] == ["AttentionNeeded"]
    assert talk.timer is None
    assert verdict(talk.tell(RETRY_NOW)) == "accepted"
    assert talk.timer is not None
    assert "AttentionResolved" in names(talk.tell(answer))


def test_a_late_answer_counts_though_nobody_is_asked_any_more() -> None:
    talk = in_phase(Phase.RESERVING, with_(reserve=RetryPolicy(10, 1, 10, 1)))
    talk.fire()
    assert is_left_to_a_person(talk.order)
    assert names(talk.tell(held())) == ["AttentionResolved", "StockReserved"]
    assert not is_left_to_a_person(talk.order)
    assert names(talk.tell(APPROVE))[-1] == "Charge"


# --- recommendations --------------------------------------------------------------------------------------------------


def enriching(policies: Policies = DEFAULTS) -> Talk:
    talk = Talk(policies=policies)
    talk.tell(start(workflow_version=2), found(), checked())
    return talk


def test_a_recommendation_that_does_not_come_is_told_and_done_without() -> None:
    said = enriching().fire()
    assert last(said) == ("orders.attempt-failed", "recommend", 1, "unknown", None)
    assert names(said)[1:] == ["OrderEnriched", "ReserveStock"]


def test_a_recommendation_may_be_asked_for_more_than_once() -> None:
    talk = enriching(with_(recommend=RetryPolicy(2, 2, 60, 2)))
    begun = talk.now
    assert names(talk.fire()) == ["orders.asked-again", "Recommend"]
    assert names(talk.fire())[1:] == ["OrderEnriched", "ReserveStock"]
    assert talk.now - begun == timedelta(seconds=6)
