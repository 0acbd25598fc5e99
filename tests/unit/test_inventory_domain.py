"""The stock room's decisions on reservations, read as conversations: what is asked, what is answered, what is on the shelf then."""

from __future__ import annotations

from typing import Any

import pytest
from inventory_room import check, completed, freed, refusals, release, reserve, room

from contracts.inventory import ReceiveStock, StockChecked, StockLevel, StockReserved, StockShipped
from contracts.orders import OrderCancelled
from contracts.values import Item, PricedItem
from messaging.decision import Note
from services.inventory.ledger import Stock

# --- reserve ----------------------------------------------------------------------------------------------------------


def test_all_lines_are_held_at_the_catalogues_prices_in_the_commands_order() -> None:
    shop = room(A=5, B=5)
    assert shop.tell("o", reserve("r1", ("B", 1), ("A", 2), ("B", 3))) == [
        StockReserved(
            reservation_id="r1",
            items=(
                PricedItem(sku="B", quantity=1, unit_price_minor=101),
                PricedItem(sku="A", quantity=2, unit_price_minor=100),
                PricedItem(sku="B", quantity=3, unit_price_minor=101),
            ),
            currency="GBP",
        )
    ]
    assert shop.shelf("A") == (3, 2, 0)
    assert shop.shelf("B") == (1, 4, 0)


def test_lines_of_one_sku_are_summed_before_the_check() -> None:
    shop = room(A=5)
    assert refusals(shop.tell("o", reserve("r1", ("A", 3), ("A", 3)))) == [("out-of-stock", "A: 6 asked for, 5 left.")]
    assert shop.shelf("A") == (5, 0, 0)


def test_one_line_without_stock_holds_nothing_of_the_others() -> None:
    shop = room(A=5, B=0)
    assert refusals(shop.tell("o", reserve("r1", ("A", 1), ("B", 1)))) == [("out-of-stock", "B: 1 asked for, 0 left.")]
    assert shop.shelf("A") == (5, 0, 0)


def test_the_very_last_piece_can_be_held() -> None:
    shop = room(A=2)
    shop.tell("o1", reserve())
    assert shop.shelf("A") == (0, 2, 0)
    assert refusals(shop.tell("o2", reserve("r1", ("A", 1)))) == [("out-of-stock", "A: 1 asked for, 0 left.")]


def test_unknown_comes_before_currency_comes_before_sold_out() -> None:
    shop = room(A=0, B=9)
    shop.stock["E"] = Stock("E", None, 5, "EUR", received=1)
    assert refusals(shop.tell("o", reserve("1", ("A", 1), ("E", 1), ("X", 1))))[0][0] == "unknown-sku"
    assert refusals(shop.tell("o", reserve("2", ("A", 1), ("E", 1)))) == [
        ("currency-mismatch", "E is sold in EUR, not in GBP.")
    ]
    assert refusals(shop.tell("o", reserve("3", ("A", 1), ("B", 1))))[0][0] == "out-of-stock"


def test_the_currency_asked_for_must_be_the_catalogues() -> None:
    shop = room(A=5)
    assert refusals(shop.tell("o", reserve("1", currency="EUR"))) == [
        ("currency-mismatch", "A is sold in GBP, not in EUR.")
    ]
    assert isinstance(shop.tell("o", reserve("2", currency="GBP"))[0], StockReserved)


@pytest.mark.parametrize("after", [(), (release(),), (completed("r1"),)])
def test_a_repeated_reservation_gets_its_answer_again_whatever_it_holds_now(after: tuple[Any, ...]) -> None:
    shop = room(A=5, B=5)
    first = shop.tell("o", reserve())
    for message in after:
        shop.tell("o", message)
    shop.tell("A", ReceiveStock(sku="A", quantity=1, unit_price_minor=999))
    shelf = shop.shelf("A")
    assert shop.tell("o", reserve("r1", ("B", 5))) == first
    assert shop.shelf("A") == shelf
    assert shop.shelf("B") == (5, 0, 0)


def test_a_refusal_stands_when_the_stock_has_come_meanwhile() -> None:
    shop = room(A=1)
    refused = shop.tell("o", reserve())
    shop.tell("A", ReceiveStock(sku="A", quantity=10))
    assert shop.tell("o", reserve()) == refused
    assert shop.tell("o", release()) == freed("r1")
    assert shop.tell("o", reserve()) == refused
    assert shop.shelf("A") == (11, 0, 0)


# --- release ----------------------------------------------------------------------------------------------------------


def test_a_release_gives_all_lines_back_once() -> None:
    shop = room(A=5)
    shop.tell("o", reserve("r1", ("A", 1), ("A", 2)))
    assert shop.tell("o", release()) == freed("r1", ("A", 1), ("A", 2))
    assert shop.shelf("A") == (5, 0, 0)
    assert shop.tell("o", release()) == freed("r1", ("A", 1), ("A", 2))
    assert shop.shelf("A") == (5, 0, 0)


def test_a_release_that_comes_first_lets_the_reservation_find_a_tombstone() -> None:
    shop = room(A=5)
    assert shop.tell("o", release()) == freed("r1")
    for _ in range(2):
        assert refusals(shop.tell("o", reserve()))[0][0] == "released"
        assert shop.tell("o", release()) == freed("r1")
    assert shop.shelf("A") == (5, 0, 0)


def test_an_order_cannot_free_or_ship_what_another_holds() -> None:
    shop = room(A=5)
    shop.tell("mine", reserve("r1"))
    assert shop.tell("yours", release("r1")) == freed("r1")
    assert [type(said) for said in shop.tell("theirs", completed("r1"))] == [Note]
    assert shop.shelf("A") == (3, 2, 0)


def test_what_was_shipped_never_comes_back() -> None:
    shop = room(A=5)
    shop.tell("o", reserve())
    shop.tell("o", completed("r1"))
    answer, note = shop.tell("o", release())
    assert [answer] == freed("r1")
    assert note == Note("release-after-shipping", {"reservation_id": "r1", "state": "shipped"})
    assert shop.shelf("A") == (3, 0, 2)


# --- ship -------------------------------------------------------------------------------------------------------------


def test_a_completed_order_ships_each_of_its_reservations_once() -> None:
    shop = room(A=9, B=9)
    shop.tell("o", reserve("r1", ("A", 2)))
    shop.tell("o", reserve("r2", ("A", 3), ("B", 1)))
    assert shop.tell("o", completed("r1", "r2", "r1")) == [
        StockShipped(reservation_id="r1", items=(Item(sku="A", quantity=2),)),
        StockShipped(reservation_id="r2", items=(Item(sku="A", quantity=3), Item(sku="B", quantity=1))),
    ]
    assert shop.tell("o", completed("r1", "r2")) == []
    assert shop.shelf("A") == (4, 0, 5)
    assert shop.shelf("B") == (8, 0, 1)


@pytest.mark.parametrize(
    ("before", "state"),
    [
        ((), "unknown"),
        ((release(),), "tombstone"),
        ((reserve(), release()), "released"),
        ((reserve("r1", ("A", 6)),), "refused"),
    ],
)
def test_shipping_what_is_not_held_moves_nothing_and_leaves_a_note(before: tuple[Any, ...], state: str) -> None:
    shop = room(A=5)
    for message in before:
        shop.tell("o", message)
    assert shop.tell("o", completed("r1")) == [Note("shipping-not-held", {"reservation_id": "r1", "state": state})]
    assert shop.shelf("A") == (5, 0, 0)


def test_a_message_that_is_none_of_its_business_is_an_error() -> None:
    with pytest.raises(TypeError, match="OrderCancelled"):
        room().tell("o", OrderCancelled(reason="customer-request", customer_id="c"))


# --- check-stock ------------------------------------------------------------------------------------------------------


def level(sku: str, on_hand: int, price: int | None = None, currency: str | None = "GBP") -> StockLevel:
    return StockLevel(sku=sku, on_hand=on_hand, unit_price_minor=price, currency=currency if price else None)


def test_a_check_tells_the_stock_in_the_order_of_the_question_and_holds_nothing() -> None:
    shop = room(A=5, B=3)
    shop.tell("o1", reserve("r1", ("B", 3)))
    levels = (level("B", 0, 101), level("Z", 0), level("A", 5, 100), level("B", 0, 101))
    assert shop.tell("o2", check("B", "Z", "A", "B")) == [StockChecked(request_id="enr-1", levels=levels)]
    assert (shop.shelf("A"), shop.shelf("B")) == ((5, 0, 0), (0, 3, 0))
    assert shop.answers == {}
    assert set(shop.reservations) == {("o1", "r1")}


def test_a_repeated_check_is_told_the_stock_as_it_is_then() -> None:
    shop = room(A=5)
    assert shop.tell("o", check("A"), id="c") == [StockChecked(request_id="enr-1", levels=(level("A", 5, 100),))]
    shop.tell("o", reserve("r1", ("A", 2)))
    assert shop.tell("o", check("A"), id="c") == [StockChecked(request_id="enr-1", levels=(level("A", 3, 100),))]


def test_what_is_only_seen_is_told_and_never_held() -> None:
    shop = room(A=5)
    shop.seen = {"A": Stock("A", None, 1, "EUR", received=1), "B": Stock("B", None, 7, "EUR", received=2)}
    levels = (level("A", 5, 100), level("B", 2, 7, "EUR"))
    assert shop.tell("o", check("A", "B")) == [StockChecked(request_id="enr-1", levels=levels)]
    assert refusals(shop.tell("o", reserve("r1", ("B", 1)))) == [("unknown-sku", "B is not in the catalogue.")]
