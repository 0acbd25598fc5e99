"""Those who run the shop: stock and customers. Every command is answered, and its repeats get that answer again."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.journal import Event
from e2e.shop import Shop


def _answer(event: Event) -> dict[str, Any]:
    return {"kind": event.short, **{name: value for name, value in event.data.items() if name != "duplicate"}}


async def test_a_repeated_receipt_is_counted_once_and_answered_alike(shop: Shop) -> None:
    sku, again = shop.new_id("sku"), shop.new_id("receipt")
    first = await shop.receive(sku, 7, unit_price_minor=120, currency="EUR", description="Seven of them", id=again)
    assert (first.short, first.key, first.data["command_id"]) == ("stock-received", sku, again)
    assert (first.data["sku"], first.data["quantity"], first.data["on_hand"]) == (sku, 7, 7)
    second = await shop.receive(sku, 7, unit_price_minor=120, currency="EUR", description="Seven of them", id=again)
    third = await shop.receive(sku, 500, id=again)
    assert _answer(first) == _answer(second) == _answer(third)
    assert [event.data["duplicate"] for event in (first, second, third)] == [False, True, True]
    assert (await shop.receive(sku, 7, id=again, source="e2e-other")).data["on_hand"] == 14
    row = await shop.stock(sku)
    assert (row["received"], row["on_hand"], row["unit_price_minor"], row["currency"]) == (14, 14, 120, "EUR")


async def test_a_new_sku_needs_a_price_and_is_in_the_default_currency(shop: Shop) -> None:
    sku = shop.new_id("sku")
    refused = await shop.receive(sku, 1)
    assert (refused.short, refused.data["reason"]) == ("command-rejected", "invalid")
    assert refused.data["message"]
    assert (await shop.get("inventory", f"/skus/{sku}"))[0] == 404
    assert (await shop.receive(sku, 1, unit_price_minor=1)).data["currency"] == "GBP"


async def test_an_adjustment_never_goes_below_what_is_held_and_counts_once(shop: Shop) -> None:
    sku, again = await shop.shelf(5), shop.new_id("adjustment")
    order_id = await shop.held({sku: 3})
    data = {"sku": sku, "delta": -2, "reason": "two are broken"}
    first = await shop.ask("inventory.adjust-stock.v1", sku, data, id=again)
    second = await shop.ask("inventory.adjust-stock.v1", sku, data, id=again)
    assert (first.short, first.data["delta"], first.data["on_hand"]) == ("stock-adjusted", -2, 0)
    assert _answer(first) == _answer(second)
    assert (first.data["duplicate"], second.data["duplicate"]) == (False, True)
    refused = await shop.ask("inventory.adjust-stock.v1", sku, {"sku": sku, "delta": -1, "reason": "one more"})
    assert (refused.short, refused.data["reason"]) == ("command-rejected", "not-allowed")
    await shop.stock_settles(sku, received=5, adjusted=-2, on_hand=0, held=3)
    await shop.cancel(order_id)
    await shop.ended(order_id)
    nobody = shop.new_id("no-such-sku")
    unknown = await shop.ask("inventory.adjust-stock.v1", nobody, {"sku": nobody, "delta": 1, "reason": "found"})
    assert (unknown.short, unknown.data["reason"]) == ("command-rejected", "unknown-sku")


async def test_a_new_price_is_for_new_orders_alone(shop: Shop) -> None:
    sku = await shop.shelf(5, 100)
    before = await shop.held({sku: 1})
    await shop.receive(sku, 1, unit_price_minor=300)
    after = await shop.held({sku: 1})
    for order_id, total in ((before, 100), (after, 300)):
        await shop.approve(order_id)
        assert (await shop.ended(order_id)).data["total_minor"] == total


async def test_registering_a_customer_again_replaces_the_address_and_a_repeat_does_not(shop: Shop) -> None:
    customer_id, again = shop.new_id("customer"), shop.new_id("registration")
    old = {"customer_id": customer_id, "name": "Ada", "email": f"old-{customer_id}@example.com"}
    new = {**old, "email": f"new-{customer_id}@example.com"}
    first = await shop.ask("customer.register-customer.v1", customer_id, old, id=again)
    assert (first.short, first.key, first.data["duplicate"]) == ("customer-registered", customer_id, False)
    assert (await shop.ask("customer.register-customer.v1", customer_id, new)).data["duplicate"] is False
    repeat = await shop.ask("customer.register-customer.v1", customer_id, old, id=again)
    assert repeat.data["duplicate"] is True
    assert _answer(repeat) == _answer(first)
    end = await shop.buy({await shop.shelf(1): 1}, customer_id=customer_id)

    async def probe() -> list[str] | None:
        return [str(mail["To"]) for mail in shop.mails(end.key)] or None

    assert await shop.eventually(probe, "the mail") == [new["email"]]


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("inventory.receive-stock.v1", {"quantity": 0, "unit_price_minor": 5}),
        ("inventory.receive-stock.v1", {"quantity": 1_000_001, "unit_price_minor": 5}),
        ("inventory.receive-stock.v1", {"quantity": 1, "unit_price_minor": 0}),
        ("inventory.receive-stock.v1", {"quantity": 1, "unit_price_minor": 5, "currency": "pounds"}),
        ("inventory.adjust-stock.v1", {"delta": 0, "reason": "nothing"}),
        ("inventory.adjust-stock.v1", {"delta": 1, "reason": ""}),
    ],
)
async def test_a_shop_command_beyond_the_limits_is_rejected_as_invalid(
    shop: Shop, type_: str, data: dict[str, Any]
) -> None:
    sku = shop.new_id("sku")
    answer = await shop.ask(type_, sku, {"sku": sku, **data})
    assert (answer.short, answer.data["reason"], answer.data["command_type"]) == ("command-rejected", "invalid", type_)


async def test_a_shop_command_about_another_key_than_its_own_is_rejected(shop: Shop) -> None:
    sku = shop.new_id("sku")
    answer = await shop.ask("inventory.receive-stock.v1", sku, {"sku": "other", "quantity": 1, "unit_price_minor": 5})
    assert (answer.key, answer.short, answer.data["reason"]) == (sku, "command-rejected", "invalid")
