"""Who orders, and what becomes of it: tiers grow with completed orders, and orders go on when their customer is erased."""

from __future__ import annotations

from conversation import Shop

from contracts.customer import EraseCustomer, RegisterCustomer
from contracts.orders import OrderEnriched, StartOrder
from contracts.topics import CUSTOMER_EVENTS
from contracts.values import Item


def asking(customer_id: str = "ann") -> StartOrder:
    """An order of version 2, which asks around first. Nobody here recommends anything: two seconds later it goes on."""
    return StartOrder(customer_id=customer_id, items=(Item(sku="tea", quantity=1),), workflow_version=2)


def erase(shop: Shop, id: str = "e") -> None:
    command = EraseCustomer(customer_id="ann", operator="op", reason="asked us to")
    shop.system.command("ann", command, id=id)
    shop.system.run()


def tier(shop: Shop, order: str) -> str:
    (enriched,) = [event.data for event in shop.system.events(order) if isinstance(event.data, OrderEnriched)]
    return enriched.tier


def whole_order(shop: Shop, order: str) -> str:
    assert shop.say(order, asking()) == "accepted"
    shop.system.skip(3)
    assert shop.approve(order) == "accepted"
    shop.system.skip(5)
    assert shop.ending(order) == ("COMPLETED", None)
    return tier(shop, order)


def test_the_fifth_completed_order_makes_the_next_one_silver(shop: Shop) -> None:
    assert [whole_order(shop, f"O-{number}") for number in range(6)] == ["STANDARD"] * 5 + ["SILVER"]


def test_a_crash_of_the_customer_service_loses_no_order_and_counts_none_twice(shop: Shop) -> None:
    for number in range(4):
        whole_order(shop, f"O-{number}")
        shop.system.crash("customer")
    shop.system.run()
    assert shop.system.parts.customers.completed == {"ann": 4}


def test_an_order_of_nobody_fails_and_holds_nothing(shop: Shop) -> None:
    assert shop.say("O", asking("nobody")) == "accepted"
    shop.system.skip(3)
    assert shop.ending() == ("FAILED", "unknown-customer")
    assert shop.shelf("tea") == (100, 0, 0)


def test_an_order_goes_on_when_its_customer_is_erased_and_writes_to_nobody(shop: Shop) -> None:
    assert shop.say("O", asking()) == "accepted"
    shop.system.skip(3)
    erase(shop)
    assert shop.approve() == "accepted"
    shop.system.skip(5)
    assert shop.ending() == ("COMPLETED", None)
    assert shop.mails() == []
    (mail,) = [mail for mail in shop.system.parts.notification.mails.values() if mail.order_id == "O"]
    assert (mail.status, mail.last_error) == ("undeliverable", "erased")
    assert whole_order(shop, "O2") == "STANDARD"
    assert shop.system.parts.customers.completed == {"ann": 2}


def test_a_mail_that_waits_for_the_server_is_not_sent_once_its_customer_is_erased(shop: Shop) -> None:
    shop.system.mailbox.away = True
    whole_order(shop, "O")
    erase(shop)
    shop.system.mailbox.away = False
    shop.system.skip(61)
    assert shop.mails("O") == []


def test_who_registers_again_gets_mails_again_and_a_repeated_erasure_takes_nothing(shop: Shop) -> None:
    erase(shop)
    again = RegisterCustomer(customer_id="ann", name="Ann", email="new@shop.example")
    shop.system.command("ann", again)
    shop.system.run()
    erase(shop)
    whole_order(shop, "O")
    assert shop.mails("O") == ["confirmation"]
    told = [event.type.split(".")[1] for event in shop.system.events("ann", CUSTOMER_EVENTS)]
    assert told == ["customer-registered", "customer-erased", "customer-registered", "customer-erased"]
