"""The smallest workflow: it greets, and is complete."""

from __future__ import annotations

from contracts.orders import Greeted
from simulation.kit import Shop, add_line, approve, cancel, greet, pause, resolve, resume, retry_now, start_order


def test_a_greeting_is_accepted_said_and_complete(shop: Shop) -> None:
    shop.when(greet("ann")).expect("accepted")
    shop.expect(Greeted, greeting="Hello, ann!")
    shop.expect_events(Greeted)
    shop.expect_outcome("COMPLETED")
    found = shop.order()
    assert (found["workflow"], found["workflow_version"], found["customer_id"]) == ("greet", 1, "ann")
    assert (found["items"], found["total_minor"]) == ([], None)
    shop.expect_money()
    shop.expect_mails()


def test_an_equal_greeting_is_a_duplicate_and_another_one_a_conflict(shop: Shop) -> None:
    shop.when(greet(), id="one")
    shop.when(greet(), id="one").expect("accepted again")
    shop.when(greet(), id="two").expect("accepted again")
    shop.when(greet("bob")).expect("conflict")
    shop.expect_events(Greeted)


def test_an_order_and_a_greeting_of_the_same_id_are_a_conflict(shop: Shop) -> None:
    shop.when(greet(), order="G")
    shop.when(start_order(), order="G").expect("conflict")
    shop.given_order()
    shop.when(greet()).expect("conflict")
    shop.expect_status("AWAITING_APPROVAL")


def test_after_a_greeting_every_signal_is_too_late(shop: Shop) -> None:
    shop.when(greet())
    for signal in (approve(), cancel(), add_line(), pause(), resume(), retry_now(), resolve("settled")):
        shop.when(signal).expect("too-late")
    shop.expect_status("COMPLETED")
