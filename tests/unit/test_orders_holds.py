"""What an order does when it is told that one of its holds is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from orders_talk import (
    ADD,
    APPROVE,
    CANCEL,
    EXTRA,
    FIRST,
    NOW,
    PAUSE,
    RESUME,
    Talk,
    captured,
    expired,
    held,
    in_phase,
    names,
    refused,
    released,
    start,
)

from contracts.inventory import ExtendReservation, ReleaseStock, ReserveStock
from contracts.orders import CommandAccepted, OrderFailed
from services.orders.domain.signals import MOST_REPEATS
from services.orders.domain.state import ENDED, Phase


def asked_for(said: list[Any]) -> list[float]:
    """Until when stock is asked to be held, in seconds from the beginning."""
    return [(data.expires_at - NOW).total_seconds() for data in said if isinstance(data, ReserveStock)]


def extended(said: list[Any]) -> list[tuple[str, float]]:
    """What is extended, and until when, in seconds from the beginning."""
    found = [data for data in said if isinstance(data, ExtendReservation)]
    assert names(said) == ["ExtendReservation", "orders.hold-extended"] * len(found)
    return [(data.reservation_id, (data.expires_at - NOW).total_seconds()) for data in found]


# --- what is asked for --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout_s", [1, 900, 2_592_000])
def test_the_stock_is_asked_for_until_a_minute_after_the_time_for_approval(timeout_s: int) -> None:
    assert asked_for(Talk().tell(start(approval_timeout_s=timeout_s))) == [timeout_s + 60]


def test_an_added_line_is_held_as_long_as_the_order() -> None:
    talk = in_phase(Phase.RESERVING)
    talk.skip(10)
    talk.tell(held())
    talk.skip(100)
    assert asked_for(talk.tell(ADD)) == [10 + 900 + 60]


def test_a_pause_moves_until_when_an_added_line_is_held() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.tell(PAUSE, ADD)
    talk.skip(400)
    assert asked_for(talk.tell(RESUME)) == [400 + 900 + 60]


def test_a_paused_order_that_gets_its_stock_asks_for_no_line_before_it_is_resumed() -> None:
    talk = in_phase(Phase.RESERVING)
    talk.tell(ADD, PAUSE)
    talk.skip(50)
    assert asked_for(talk.tell(held())) == []


# --- what is told -------------------------------------------------------------------------------------------------------


def test_an_order_that_waits_for_approval_extends_to_the_end_of_its_time() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.skip(800)
    before = talk.order
    assert extended(talk.tell(expired())) == [(FIRST, 960)]
    assert talk.order is before


def test_an_order_past_its_time_ends_when_its_timer_has_fired() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    early = talk.timer
    talk.skip(1_000)
    assert talk.tell(expired()) == []
    assert early is not None
    assert talk.fire(early) == []
    said = talk.fire()
    assert names(said) == ["ReleaseStock"]
    said = talk.tell(released())
    assert isinstance(said[-1], OrderFailed)
    assert (talk.phase, talk.order.reason) == (Phase.FAILED, "reservation-timeout")


def test_an_approval_in_time_that_is_read_after_the_expiry_still_counts() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.skip(1_000)
    talk.tell(expired())
    talk.tell(APPROVE, at=NOW + timedelta(seconds=899))
    assert talk.phase is Phase.PAYING
    talk.tell(captured())
    assert talk.phase is Phase.COMPLETED


def test_a_pause_after_the_expiry_gives_the_order_its_time_back() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.skip(1_000)
    talk.tell(expired())
    talk.tell(PAUSE, at=NOW + timedelta(seconds=800))
    talk.skip(500)
    talk.tell(RESUME)
    talk.fire(talk.order.deadline)
    assert talk.order.compensation is not None
    assert talk.order.compensation.reason == "approval-timeout"


def test_an_order_that_is_being_paid_extends_whatever_time_it_is() -> None:
    talk = in_phase(Phase.PAYING)
    talk.skip(100_000)
    assert extended(talk.tell(expired())) == [(FIRST, 100_300)]


def test_a_paused_order_extends_the_further_the_longer_it_stands() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.tell(PAUSE)
    talk.skip(960)
    assert extended(talk.tell(expired())) == [(FIRST, 960 + 960 + 960)]


@pytest.mark.parametrize("messages", [(), (ADD, PAUSE)])
def test_an_order_whose_stock_is_asked_for_extends(messages: tuple[Any, ...]) -> None:
    talk = in_phase(Phase.RESERVING)
    talk.tell(*messages)
    assert extended(talk.tell(expired())) == [(FIRST, 960)]


def test_an_approved_order_with_an_undecided_line_extends_until_a_person_is_needed() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.tell(ADD, APPROVE)
    assert extended(talk.tell(expired())) == [(FIRST, 300)]
    assert extended(talk.tell(expired(EXTRA))) == [(EXTRA, 300)]
    while talk.order.attention is None:
        talk.fire()
    said = talk.tell(expired())
    assert {data.reservation_id for data in said if isinstance(data, ReleaseStock)} == {FIRST, EXTRA}
    talk.tell(released(), released(EXTRA))
    assert (talk.phase, talk.order.reason, talk.order.attention) == (Phase.FAILED, "reservation-timeout", None)


@pytest.mark.parametrize("phase", [Phase.AWAITING_APPROVAL, Phase.PAYING])
def test_what_the_order_does_not_need_is_released_again(phase: Phase) -> None:
    talk = Talk()
    talk.tell(start(), held(), ADD, refused(EXTRA))
    if phase is Phase.PAYING:
        talk.tell(APPROVE)
    assert talk.phase is phase
    assert talk.tell(expired(EXTRA)) == [ReleaseStock(reservation_id=EXTRA)]


@pytest.mark.parametrize("phase", [Phase.NEW, Phase.ENRICHING, Phase.COMPENSATING, *sorted(ENDED)])
def test_an_order_that_holds_nothing_or_gives_back_says_nothing(phase: Phase) -> None:
    assert in_phase(phase).tell(expired()) == []


def test_a_cancellation_after_an_extension_gives_everything_back() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    talk.tell(expired())
    assert names(talk.tell(CANCEL)) == ["CommandAccepted", "ReleaseStock"]


def test_a_line_that_is_asked_for_for_hours_is_answered_a_hundred_times_more_at_most() -> None:
    talk = in_phase(Phase.AWAITING_APPROVAL)
    asked = talk.message(ADD, id="line")
    for _ in range(MOST_REPEATS + 50):
        talk.hear(asked)
    told = [one for one in talk.tell(held(EXTRA, "mug", 1)) if isinstance(one, CommandAccepted)]
    assert [one.duplicate for one in told] == [False] + [True] * MOST_REPEATS
