"""What operators say: try it now, it is settled. (Pausing has a file of its own.)"""

from __future__ import annotations

import pytest

from contracts.orders import AttentionNeeded, AttentionResolved
from simulation.kit import Shop, approve, cancel, pause, resolve, resume, retry_now


def notes(shop: Shop) -> list[tuple[str, str]]:
    """Who had something tried again, and why, as the history tells it."""
    entries = [entry["data"] for entry in shop.system.history("O") if entry["type"] == "orders.retried-now"]
    return [(data["operator"], data["reason"]) for data in entries]


def until_failing(shop: Shop, step: str) -> None:
    """Bring an order there, keep it failing until it needs a person."""
    if step == "refund":
        shop.given_order(payment_method="pm_refund_fails")
        shop.when(approve())
        shop.skip(seconds=0.5)
        shop.when(cancel())
    elif step in {"void", "payment"}:
        shop.given_order()
        shop.down("gateway")
        shop.when(approve())
        if step == "void":
            shop.skip(seconds=1)
            shop.when(cancel())
    elif step == "release":
        shop.given_order()
        shop.down("inventory")
        shop.when(cancel())
    shop.skip_until(status="NEEDS_ATTENTION")


WAITING_FOR = {"payment": "payment-outcome", "void": "payment-outcome", "refund": "refund", "release": "release"}


def test_retry_now_skips_the_wait_before_the_next_attempt(shop: Shop) -> None:
    shop.given_order()
    shop.down("gateway")
    shop.when(approve())
    shop.skip(seconds=10)
    assert shop.retries() == [1, 2, 4, 8][: len(shop.retries())]
    shop.up("gateway")
    shop.when(retry_now()).expect("accepted")
    shop.expect_outcome("COMPLETED")
    assert notes(shop) == [("op", "it is up again")]
    shop.expect_money(500)


def test_retry_now_goes_on_with_the_same_back_off_when_it_fails_again(shop: Shop) -> None:
    shop.given_order()
    shop.down("gateway")
    shop.when(approve())
    shop.skip_until(lambda: len(shop.retries()) == 1)
    shop.when(retry_now()).expect("accepted")
    shop.skip_until(lambda: len(shop.retries()) == 2)
    assert shop.retries() == [1, 2]
    shop.skip(seconds=60)
    assert shop.retries()[:4] == [1, 2, 4, 8]


@pytest.mark.parametrize("step", ["refund", "void"])
def test_retry_now_works_in_a_compensation(shop: Shop, step: str) -> None:
    until_failing(shop, step)
    shop.up("gateway")
    shop.when(retry_now()).expect("accepted")
    shop.expect_outcome("CANCELLED", "customer-request")


def test_retry_now_with_nothing_to_try_again_is_not_allowed(shop: Shop) -> None:
    shop.when(retry_now()).expect("unknown-order")
    shop.given_order(until="RESERVING")
    shop.down("inventory")
    shop.when(retry_now()).expect("not-allowed")
    shop.up("inventory")
    shop.when(retry_now()).expect("not-allowed")
    shop.down("payment")
    shop.when(approve())
    shop.when(retry_now()).expect("not-allowed")


def test_the_same_operation_again_is_told_again_and_done_once(shop: Shop) -> None:
    shop.given_order()
    shop.down("gateway")
    shop.when(approve())
    shop.skip_until(lambda: len(shop.retries()) == 1)
    shop.when(retry_now(), id="now")
    shop.when(retry_now(), id="now").expect("accepted again")
    assert len(notes(shop)) == 1


def test_where_no_person_is_needed_there_is_nothing_to_resolve(shop: Shop) -> None:
    shop.when(resolve("retry")).expect("unknown-order")
    shop.given_order()
    shop.when(resolve("retry")).expect("not-allowed")
    shop.when(resolve("settled")).expect("not-allowed")


@pytest.mark.parametrize("step", WAITING_FOR)
def test_resolving_by_retry_tries_at_once_and_is_resolved_when_it_works(shop: Shop, step: str) -> None:
    until_failing(shop, step)
    assert shop.waiting_for() == WAITING_FOR[step]
    shop.up("gateway")
    shop.when(resolve("retry")).expect("accepted")
    shop.up("inventory")
    shop.expect_status("FAILED" if step == "payment" else "CANCELLED")
    assert notes(shop) == [("op", "receipt 7")]
    assert (len(shop.heard(AttentionNeeded)), len(shop.heard(AttentionResolved))) == (1, 1)


@pytest.mark.parametrize("step", WAITING_FOR)
def test_resolving_by_retry_what_goes_on_failing_leaves_it_with_the_person(shop: Shop, step: str) -> None:
    until_failing(shop, step)
    if step == "refund":
        shop.down("gateway")
    shop.when(resolve("retry")).expect("accepted")
    shop.expect_status("NEEDS_ATTENTION", WAITING_FOR[step])
    assert (len(shop.heard(AttentionNeeded)), shop.heard(AttentionResolved)) == (1, [])


@pytest.mark.parametrize("step", WAITING_FOR)
def test_what_was_settled_by_hand_is_not_tried_again_and_the_order_ends_as_it_would_have(shop: Shop, step: str) -> None:
    until_failing(shop, step)
    shop.when(resolve("settled")).expect("accepted")
    shop.expect(AttentionResolved, operator="op", message="receipt 7")
    ending = ("FAILED", "payment-failed") if step == "payment" else ("CANCELLED", "customer-request")
    shop.expect_outcome(*ending)
    before = shop.system.told("O")
    shop.up("inventory", "gateway")
    shop.skip(seconds=1_000)
    assert shop.system.told("O") == before


def test_silence_before_anything_is_given_back_cannot_be_settled_by_hand(shop: Shop) -> None:
    shop.given_order(until="RESERVING")
    shop.down("inventory")
    shop.skip(seconds=200)
    shop.when(resolve("settled")).expect("not-allowed")
    shop.when(resolve("retry")).expect("accepted")
    shop.up("inventory")
    shop.expect_status("AWAITING_APPROVAL")


def test_an_operator_s_words_after_the_end_are_too_late(shop: Shop) -> None:
    shop.given_order()
    shop.when(cancel())
    for said in (retry_now(), pause(), resume(), resolve("retry"), resolve("settled")):
        shop.when(said).expect("too-late")
