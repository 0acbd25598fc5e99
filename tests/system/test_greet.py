"""The smallest workflow: it greets, and is complete."""

from __future__ import annotations

from conversation import Shop, an_order

from contracts.orders import Greeted


def test_a_greeting_is_accepted_said_and_complete(shop: Shop) -> None:
    assert shop.greet(user="ann") == "accepted"
    assert shop.system.told("O") == ["command-accepted", "greeted"]
    assert [event.data for event in shop.system.events("O") if isinstance(event.data, Greeted)] == [
        Greeted(greeting="Hello, ann!")
    ]
    found = shop.system.order("O")
    assert (found["workflow"], found["workflow_version"], found["customer_id"]) == ("greet", 1, "ann")
    assert (found["status"], found["reason"], found["items"], found["total_minor"]) == ("COMPLETED", None, [], None)
    assert (shop.money(), shop.mails()) == ([], [])


def test_an_equal_greeting_is_a_duplicate_and_another_one_a_conflict(shop: Shop) -> None:
    shop.greet(id="one")
    assert shop.greet(id="one") == "accepted again"
    assert shop.greet(id="two") == "accepted again"
    assert shop.greet(user="bob") == "conflict"
    assert shop.system.told("O").count("greeted") == 1


def test_an_order_and_a_greeting_of_the_same_id_are_a_conflict(shop: Shop) -> None:
    shop.greet("G")
    assert shop.say("G", an_order()) == "conflict"
    shop.start()
    assert shop.greet() == "conflict"
    assert shop.status() == "AWAITING_APPROVAL"


def test_after_a_greeting_every_signal_is_too_late(shop: Shop) -> None:
    shop.greet()
    signals = (shop.approve, shop.cancel, shop.add, shop.pause, shop.resume, shop.retry_now)
    assert [signal() for signal in signals] == ["too-late"] * len(signals)
    assert shop.resolve("settled") == "too-late"
    assert shop.status() == "COMPLETED"
