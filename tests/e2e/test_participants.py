"""Version 2 as the outside sees it: who the customer is, what goes well with it, and what happens where somebody is away."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from devstack.demo import _one_more
from e2e.compose import ComposeStack
from e2e.shop import Shop
from e2e.stack import Stack
from e2e.tools import orderctl


async def enriched(shop: Shop, order_id: str) -> dict[str, Any]:
    """What the order told of its enrichment."""
    return dict((await shop.saw(order_id, "order-enriched")).data)


async def test_version_2_is_the_default_and_an_order_of_an_unknown_customer_fails_holding_nothing(shop: Shop) -> None:
    sku = await shop.shelf(5)
    end = await shop.ended(await shop.start({sku: 1}, customer_id=shop.new_id("nobody")))
    assert (end.short, end.data["reason"]) == ("order-failed", "unknown-customer")
    assert (await shop.order(end.key))["workflow_version"] == 2
    assert shop.kinds(end.key) == ["command-accepted", "order-started", "order-failed"]
    assert (await shop.stock(sku))["on_hand"] == 5


async def test_version_1_asks_nobody_and_stays_version_1_to_its_end(shop: Shop) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1}, workflow_version=1, customer_id=shop.new_id("nobody"))
    await shop.approve(order_id)
    assert (await shop.ended(order_id)).short == "order-completed"
    assert (await shop.order(order_id))["workflow_version"] == 1
    assert "order-enriched" not in shop.kinds(order_id)


async def test_the_tier_follows_from_completed_orders_and_decides_how_long_an_approval_is_waited_for(
    shop: Shop,
) -> None:
    sku, customer = await shop.shelf(10), await shop.customer()
    first = await shop.held({sku: 1}, customer_id=customer)
    assert (await enriched(shop, first))["tier"] == "STANDARD"
    await shop.approve(first)
    await asyncio.gather(shop.ended(first), *(shop.buy({sku: 1}, customer_id=customer) for _ in range(4)))

    async def promoted() -> bool | None:
        found = await shop.read("customer", f"/customers/{customer}")
        return True if (found["tier"], found["completed_orders"]) == ("SILVER", 5) else None

    await shop.eventually(promoted, f"{customer} is SILVER")
    order_id = await shop.held({sku: 1}, customer_id=customer)
    assert (await enriched(shop, order_id))["tier"] == "SILVER"
    order = await shop.order(order_id)
    assert order["status"] == "AWAITING_APPROVAL", "a tier never waives the approval"
    reserved = await shop.saw(order_id, "stock-reserved")
    waits = datetime.fromisoformat(order["deadline"]) - datetime.fromisoformat(reserved.envelope["time"])
    assert timedelta(minutes=29) < waits <= timedelta(minutes=30)
    await shop.cancel(order_id)


async def test_erasing_a_customer_is_a_verb_and_leaves_the_ledgers_as_they_are(shop: Shop) -> None:
    sku, customer = await shop.shelf(2), await shop.customer()
    order_id = (await shop.buy({sku: 1}, customer_id=customer)).key
    await shop.stock_settles(sku, shipped=1)
    before = await shop.charges(order_id), await shop.entries(order_id), await shop.order(order_id)
    said = ("erase-customer", customer, "--operator", "m.brown", "--reason", "asked for it", "--json")
    done = await orderctl(shop.place, *said)
    assert (done.returncode, json.loads(done.stdout)["type"]) == (0, "customer.customer-erased.v1"), done.output
    found = await shop.read("customer", f"/customers/{customer}")
    assert (found["name"], found["email"], found["completed_orders"]) == ("", "", 1)
    assert found["erased_at"] is not None
    assert (await shop.charges(order_id), await shop.entries(order_id), await shop.order(order_id)) == before
    row = await shop.stock(sku)
    assert (row["on_hand"], row["held"], row["shipped"]) == (1, 0, 1)
    # The customer is still known, without a name: the next order goes its way.
    assert (await shop.buy({sku: 1}, customer_id=customer)).short == "order-completed"


async def test_what_was_bought_together_is_recommended_to_the_next_order(shop: Shop) -> None:
    tea, mug = await shop.shelf(9), await shop.shelf(9)
    await shop.buy({tea: 1, mug: 1})

    async def learned() -> bool | None:
        status, _, body = await shop.get("recommendation", f"/pairs/{tea}")
        return True if status == 200 and mug in [pair["sku"] for pair in json.loads(body)["best"]] else None

    await shop.eventually(learned, f"{mug} goes with {tea}")
    order_id = await shop.held({tea: 1})
    assert (await enriched(shop, order_id))["recommendations"] == [mug]
    await shop.cancel(order_id)


async def test_the_demo_s_last_order_shows_what_was_recommended(shop: Shop, stack: Stack | ComposeStack | None) -> None:
    if stack is None:
        pytest.skip("the demo's order has an id of its own, which is taken in a stack that lives on")
    await shop.buy({await shop.shelf(2): 1, await shop.shelf(2): 1})
    said: list[tuple[str, ...]] = []
    loop = asyncio.get_running_loop()

    def say(*arguments: str) -> int:
        said.append(arguments)
        return asyncio.run_coroutine_threadsafe(orderctl(shop.place, *arguments), loop).result().returncode

    assert await asyncio.to_thread(_one_more, say, shop.place.env) == 0
    assert [arguments[0] for arguments in said] == ["receive-stock", "register-customer", "start", "history"]
    found = await enriched(shop, "DEMO-1")
    assert found["recommendations"]
    shown = await orderctl(shop.place, *said[-1])
    assert all(sku in shown.stdout for sku in found["recommendations"])


async def test_a_recommendation_that_does_not_come_is_waited_for_two_seconds_and_its_absence_is_told(
    shop: Shop, stack: Stack | ComposeStack | None
) -> None:
    if not isinstance(stack, Stack):
        pytest.skip("only a stack of local processes can have one of them stopped from here")
    sku = await shop.shelf(9)
    await stack.signal("recommendation", "STOP")
    try:
        order_id = await shop.start({sku: 1})
        data = await enriched(shop, order_id)
        started = await shop.saw(order_id, "order-started")
        told = await shop.saw(order_id, "order-enriched")
    finally:
        await stack.signal("recommendation", "CONT")
    assert data["recommendations"] is None
    assert told.at - started.at > timedelta(seconds=1.9)
    await shop.saw(order_id, "stock-reserved")
    notes = [entry["data"] for entry in await shop.history(order_id) if entry["type"] == "orders.attempt-failed"]
    assert [note["step"] for note in notes] == ["recommend"]
    await shop.cancel(order_id)
