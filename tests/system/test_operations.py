"""What operators say: try it now, it is settled. (Pausing has a file of its own.)"""

from __future__ import annotations

import pytest
from conversation import Shop
from test_payments import attention

from contracts.orders import AttentionResolved


def notes(shop: Shop) -> list[tuple[str, str]]:
    """Who had something tried again, and why, as the history tells it."""
    entries = [entry["data"] for entry in shop.system.history("O") if entry["type"] == "orders.retried-now"]
    return [(data["operator"], data["reason"]) for data in entries]


def until_failing(shop: Shop, step: str) -> None:
    """Bring an order there, keep it failing until it needs a person."""
    if step == "refund":
        shop.start(method="pm_refund_fails")
        shop.approve()
        shop.system.skip(0.5)
        shop.cancel()
    elif step in {"void", "payment"}:
        shop.start()
        shop.system.gateway.away = True
        shop.approve()
        if step == "void":
            shop.system.skip(1)
            shop.cancel()
    elif step == "release":
        shop.start()
        shop.system.down("inventory")
        shop.cancel()
    shop.system.until(lambda: shop.status() == "NEEDS_ATTENTION")


WAITING_FOR = {"payment": "payment-outcome", "void": "payment-outcome", "refund": "refund", "release": "release"}


def test_retry_now_skips_the_wait_before_the_next_attempt(shop: Shop) -> None:
    shop.start()
    shop.system.gateway.away = True
    shop.approve()
    shop.system.skip(10)
    assert shop.retries() == [1, 2, 4, 8][: len(shop.retries())]
    shop.system.gateway.away = False
    before = shop.system.now
    assert shop.retry_now() == "accepted"
    assert (shop.ending(), shop.system.now) == (("COMPLETED", None), before)
    assert notes(shop) == [("op", "it is up again")]
    assert shop.money() == [("charge", 500)]


def test_retry_now_goes_on_with_the_same_back_off_when_it_fails_again(shop: Shop) -> None:
    shop.start()
    shop.system.gateway.away = True
    shop.approve()
    shop.system.until(lambda: len(shop.retries()) == 1)
    assert shop.retry_now() == "accepted"
    shop.system.until(lambda: len(shop.retries()) == 2)
    assert shop.retries() == [1, 2]
    shop.system.skip(60)
    assert shop.retries()[:4] == [1, 2, 4, 8]
    shop.system.gateway.away = False


@pytest.mark.parametrize("step", ["refund", "void"])
def test_retry_now_works_in_a_compensation(shop: Shop, step: str) -> None:
    until_failing(shop, step)
    shop.system.gateway.away = False
    before = shop.system.now
    assert shop.retry_now() == "accepted"
    assert (shop.ending(), shop.system.now) == (("CANCELLED", "customer-request"), before)


def test_retry_now_with_nothing_to_try_again_is_not_allowed(shop: Shop) -> None:
    assert shop.retry_now() == "unknown-order"
    shop.start_until("RESERVING")
    shop.system.down("inventory")
    assert shop.retry_now() == "not-allowed"
    shop.system.up("inventory")
    shop.system.run()
    assert shop.retry_now() == "not-allowed"
    shop.system.down("payment")
    shop.approve()
    assert shop.retry_now() == "not-allowed"


def test_the_same_operation_again_is_told_again_and_done_once(shop: Shop) -> None:
    shop.start()
    shop.system.gateway.away = True
    shop.approve()
    shop.system.until(lambda: len(shop.retries()) == 1)
    shop.retry_now(id="now")
    assert shop.retry_now(id="now") == "accepted again"
    assert len(notes(shop)) == 1
    shop.system.gateway.away = False


def test_where_no_person_is_needed_there_is_nothing_to_resolve(shop: Shop) -> None:
    assert shop.resolve("retry") == "unknown-order"
    shop.start()
    assert (shop.resolve("retry"), shop.resolve("settled")) == ("not-allowed", "not-allowed")


@pytest.mark.parametrize("step", WAITING_FOR)
def test_resolving_by_retry_tries_at_once_and_is_resolved_when_it_works(shop: Shop, step: str) -> None:
    until_failing(shop, step)
    assert shop.waiting_for() == WAITING_FOR[step]
    shop.system.gateway.away = False
    shop.system.up("inventory")
    before = shop.system.now
    assert shop.resolve("retry") == "accepted"
    assert (shop.status(), shop.system.now) == ("FAILED" if step == "payment" else "CANCELLED", before)
    assert notes(shop) == [("op", "receipt 7")]
    assert [word for word, _ in attention(shop)] == ["needed", "resolved"]


@pytest.mark.parametrize("step", WAITING_FOR)
def test_resolving_by_retry_what_goes_on_failing_leaves_it_with_the_person(shop: Shop, step: str) -> None:
    until_failing(shop, step)
    if step == "refund":
        shop.system.gateway.away = True
    assert shop.resolve("retry") == "accepted"
    assert (shop.status(), shop.waiting_for()) == ("NEEDS_ATTENTION", WAITING_FOR[step])
    assert [word for word, _ in attention(shop)] == ["needed"]


@pytest.mark.parametrize("step", WAITING_FOR)
def test_what_was_settled_by_hand_is_not_tried_again_and_the_order_ends_as_it_would_have(shop: Shop, step: str) -> None:
    until_failing(shop, step)
    assert shop.resolve("settled") == "accepted"
    told = [event.data for event in shop.system.events("O") if isinstance(event.data, AttentionResolved)]
    assert [(data.operator, data.message) for data in told] == [("op", "receipt 7")]
    ending = ("FAILED", "payment-failed") if step == "payment" else ("CANCELLED", "customer-request")
    assert shop.ending() == ending
    before = shop.system.told("O")
    shop.system.up("inventory")
    shop.system.gateway.away = False
    shop.system.skip(1_000)
    assert shop.system.told("O") == before


def test_silence_before_anything_is_given_back_cannot_be_settled_by_hand(shop: Shop) -> None:
    shop.start_until("RESERVING")
    shop.system.down("inventory")
    shop.system.skip(200)
    assert shop.resolve("settled") == "not-allowed"
    assert shop.resolve("retry") == "accepted"
    shop.system.up("inventory")
    shop.system.run()
    assert shop.status() == "AWAITING_APPROVAL"


def test_an_operator_s_words_after_the_end_are_too_late(shop: Shop) -> None:
    shop.start()
    shop.cancel()
    said = (shop.retry_now(), shop.pause(), shop.resume(), shop.resolve("retry"), shop.resolve("settled"))
    assert said == ("too-late",) * 5
