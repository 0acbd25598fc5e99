"""The stock room's decisions on the shop's commands, and on commands that nobody can carry out."""

from __future__ import annotations

from typing import Any

import pytest
from inventory_room import Room, freed, refusals, release, reserve, room

from contracts.envelope import InvalidCommand
from contracts.inventory import AdjustStock, CommandRejected, ReceiveStock, StockAdjusted, StockReceived
from services.inventory.ledger import Stock
from services.inventory.shop import MAX_SUM


def test_a_new_sku_needs_a_price_and_takes_the_default_currency() -> None:
    shop = Room()
    assert shop.tell("A", ReceiveStock(sku="A", quantity=5), id="c1")[0].reason == "invalid"
    assert "A" not in shop.stock
    assert shop.tell("A", ReceiveStock(sku="A", quantity=5, unit_price_minor=7, description="A mug"), id="c2") == [
        StockReceived(
            command_id="c2", sku="A", quantity=5, on_hand=5, unit_price_minor=7, currency="GBP", duplicate=False
        )
    ]
    assert shop.stock["A"] == Stock("A", "A mug", 7, "GBP", received=5)


def test_price_currency_and_description_are_set_where_given_and_kept_where_not() -> None:
    shop = room(A=5)
    shop.tell("A", ReceiveStock(sku="A", quantity=1, unit_price_minor=9, currency="EUR", description="new"))
    shop.tell("A", ReceiveStock(sku="A", quantity=1))
    assert shop.stock["A"] == Stock("A", "new", 9, "EUR", received=7)


def test_what_is_held_keeps_its_price_and_currency_when_the_catalogue_changes() -> None:
    shop = room(A=5)
    reserved = shop.tell("o", reserve())
    shop.tell("A", ReceiveStock(sku="A", quantity=1, unit_price_minor=9, currency="EUR"))
    assert shop.tell("o", reserve()) == reserved
    assert refusals(shop.tell("o", reserve("extra", currency="GBP")))[0][0] == "currency-mismatch"
    assert shop.tell("o", release()) == freed("r1", ("A", 2))


def test_the_key_must_be_the_sku() -> None:
    shop = room(A=5)
    for data in (ReceiveStock(sku="A", quantity=1), AdjustStock(sku="A", delta=1, reason="found")):
        assert shop.tell("B", data)[0].reason == "invalid"
    assert shop.shelf("A") == (5, 0, 0)


def test_an_adjustment_never_goes_below_what_is_held() -> None:
    shop = room(A=5)
    shop.tell("o", reserve())
    refused = shop.tell("A", AdjustStock(sku="A", delta=-4, reason="broken"), id="c1", type="inventory.adjust-stock.v1")
    assert refused == [
        CommandRejected(
            command_id="c1",
            command_type="inventory.adjust-stock.v1",
            reason="not-allowed",
            message="A has 3 on hand, beside 2 that are held: 4 cannot go.",
            duplicate=False,
        )
    ]
    assert shop.tell("A", AdjustStock(sku="A", delta=-3, reason="broken"), id="c2") == [
        StockAdjusted(command_id="c2", sku="A", delta=-3, on_hand=0, duplicate=False)
    ]
    assert shop.shelf("A") == (0, 2, 0)


def test_an_unknown_sku_cannot_be_adjusted() -> None:
    assert Room().tell("A", AdjustStock(sku="A", delta=1, reason="found"))[0].reason == "unknown-sku"


def test_sums_stay_below_what_the_database_can_count() -> None:
    shop = Room({"A": Stock("A", None, 1, "GBP", received=MAX_SUM - 1, adjusted=MAX_SUM - 1)})
    assert shop.tell("A", ReceiveStock(sku="A", quantity=2))[0].reason == "invalid"
    assert shop.tell("A", AdjustStock(sku="A", delta=2, reason="x"))[0].reason == "invalid"
    assert isinstance(shop.tell("A", ReceiveStock(sku="A", quantity=1))[0], StockReceived)
    assert isinstance(shop.tell("A", AdjustStock(sku="A", delta=1, reason="x"))[0], StockAdjusted)


@pytest.mark.parametrize(
    "data",
    [
        ReceiveStock(sku="A", quantity=5, unit_price_minor=7),
        ReceiveStock(sku="B", quantity=5),
        AdjustStock(sku="A", delta=-1, reason="x"),
        AdjustStock(sku="A", delta=-100, reason="x"),
        InvalidCommand("c1", "shop", "inventory.reserve-stock.v1", "A", "items: too many"),
    ],
)
def test_a_repeated_command_gets_its_answer_again_marked_as_a_duplicate(data: Any) -> None:
    shop = room(A=5)
    first = shop.tell("A", data, id="c1")[0]
    before = shop.shelf("A")
    for again in (data, ReceiveStock(sku="A", quantity=9), InvalidCommand("c1", "shop", "other", "A", "bad")):
        assert shop.tell("A", again, id="c1") == [first.model_copy(update={"duplicate": True})]
    assert shop.shelf("A") == before
    assert shop.tell("A", data, id="c1", source="other-shop")[0].duplicate is False


def test_what_nobody_can_carry_out_is_rejected_as_invalid() -> None:
    invalid = InvalidCommand("c1", "s", "inventory.release-stock.v1", "o", "reservation_id: Field required")
    assert Room().tell("o", invalid, id="c1", type="inventory.release-stock.v1") == [
        CommandRejected(
            command_id="c1",
            command_type="inventory.release-stock.v1",
            reason="invalid",
            message="reservation_id: Field required",
            duplicate=False,
        )
    ]
