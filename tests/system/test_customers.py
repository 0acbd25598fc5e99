"""Who orders, and what becomes of it: tiers grow with completed orders, and orders go on when their customer is erased."""

from __future__ import annotations

from contracts.orders import OrderEnriched
from contracts.topics import CUSTOMER_EVENTS
from simulation.kit import Asked, Shop, approve, erase_customer, register_customer

#: Only version 2 asks who the customer is.
ASKS_AROUND: Asked = {"workflow_version": 2}


def whole_order(shop: Shop, order: str) -> str:
    """The tier that the customer had for it."""
    shop.given_order(order, **ASKS_AROUND)
    tier = shop.expect(OrderEnriched, order=order).tier
    shop.when(approve(), order=order).expect("accepted")
    shop.expect_outcome("COMPLETED", order=order)
    return tier


def test_the_fifth_completed_order_makes_the_next_one_silver(shop: Shop) -> None:
    assert [whole_order(shop, f"O-{number}") for number in range(6)] == ["STANDARD"] * 5 + ["SILVER"]


def test_a_crash_of_the_customer_service_loses_no_order_and_counts_none_twice(shop: Shop) -> None:
    for number in range(4):
        whole_order(shop, f"O-{number}")
        shop.crash("customer")
    assert shop.system.parts.customers.completed == {"ann": 4}


def test_an_order_of_nobody_fails_and_holds_nothing(shop: Shop) -> None:
    shop.given_order(customer="nobody", **ASKS_AROUND)
    shop.expect_outcome("FAILED", "unknown-customer")
    shop.expect_stock("tea", on_hand=100)


def test_an_order_goes_on_when_its_customer_is_erased_and_writes_to_nobody(shop: Shop) -> None:
    shop.given_order(**ASKS_AROUND)
    shop.when(erase_customer("ann")).expect("accepted")
    shop.when(approve()).expect("accepted")
    shop.expect_outcome("COMPLETED")
    shop.expect_mails()
    (mail,) = [mail for mail in shop.system.parts.notification.mails.values() if mail.order_id == "O"]
    assert (mail.status, mail.last_error) == ("undeliverable", "erased")
    assert whole_order(shop, "O2") == "STANDARD"
    assert shop.system.parts.customers.completed == {"ann": 2}


def test_a_mail_that_waits_for_the_server_is_not_sent_once_its_customer_is_erased(shop: Shop) -> None:
    shop.down("mail-server")
    whole_order(shop, "O")
    shop.when(erase_customer("ann"))
    shop.up("mail-server")
    shop.skip(seconds=61)
    shop.expect_mails()


def test_who_registers_again_gets_mails_again_and_a_repeated_erasure_takes_nothing(shop: Shop) -> None:
    shop.when(erase_customer("ann"), id="erase").expect("accepted")
    shop.when(register_customer("ann", email="new@shop.example")).expect("accepted")
    shop.when(erase_customer("ann"), id="erase").expect("accepted again")
    whole_order(shop, "O")
    shop.expect_mails("confirmation")
    told = [event.type.split(".")[1] for event in shop.system.events("ann", CUSTOMER_EVENTS)]
    assert told == ["customer-registered", "customer-erased", "customer-registered", "customer-erased"]
