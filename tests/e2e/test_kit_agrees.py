"""What the test kit foretells under virtual time is what the real stack does: the same conversations, held with both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from e2e.shop import Shop
from simulation import System
from simulation import kit as kit_words
from simulation.kit import Shop as Kit

#: What both have on the shelf, and what a piece of it costs.
PIECES, PRICE_MINOR = 10, 250


class Held(Protocol):
    """An order that waits for its approval, in either world."""

    async def add_line(self, quantity: int) -> None: ...
    async def approve(self) -> None: ...
    async def cancel(self) -> None: ...
    async def wait(self) -> None: ...


class InTheKit:
    """See `Held`; a quarter of an hour takes no time."""

    def __init__(self, shop: Kit, sku: str) -> None:
        self._shop, self._sku = shop, sku

    async def add_line(self, quantity: int) -> None:
        self._shop.when(kit_words.add_line(self._sku, quantity))

    async def approve(self) -> None:
        self._shop.when(kit_words.approve())

    async def cancel(self) -> None:
        self._shop.when(kit_words.cancel())

    async def wait(self) -> None:
        self._shop.skip(minutes=15)


class OnTheStack:
    """See `Held`; it takes the time that it takes."""

    def __init__(self, shop: Shop, sku: str, order_id: str) -> None:
        self._shop, self._sku, self._order_id = shop, sku, order_id

    async def add_line(self, quantity: int) -> None:
        await self._shop.add_line(self._order_id, self._sku, quantity)

    async def approve(self) -> None:
        await self._shop.approve(self._order_id)

    async def cancel(self) -> None:
        await self._shop.cancel(self._order_id)

    async def wait(self) -> None:
        await self._shop.ended(self._order_id)


async def added_and_approved(order: Held) -> None:
    await order.add_line(1)
    await order.approve()
    await order.wait()
    await order.cancel()


async def cancelled(order: Held) -> None:
    await order.cancel()
    await order.wait()
    await order.add_line(1)


async def approved(order: Held) -> None:
    await order.approve()
    await order.wait()


async def left_alone(order: Held) -> None:
    await order.wait()


CONVERSATIONS: dict[str, tuple[Callable[[Held], Awaitable[None]], dict[str, Any]]] = {
    "added-and-approved": (added_and_approved, {}),
    "cancelled": (cancelled, {}),
    "declined": (approved, {"payment_method": "pm_card_declined"}),
    "answer-lost": (approved, {"payment_method": "pm_card_timeout"}),
    "nobody-approves": (left_alone, {"approval_timeout_s": 2}),
    "version-1": (approved, {"workflow_version": 1}),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_the_kit_foretells_the_events_the_money_and_the_stock_of_the_real_stack(shop: Shop, name: str) -> None:
    talk, data = CONVERSATIONS[name]
    with Kit(System()) as kit:
        kit.given_stock("sku", PIECES, price_minor=PRICE_MINOR)
        kit.given_order(items={"sku": 2}, **data)
        await talk(InTheKit(kit, "sku"))
        foretold = kit.system.told(kit_words.ORDER)
        money = [abs(amount) for amount in kit.money()]
        stock = kit.system.stock("sku")
    sku = await shop.shelf(PIECES, PRICE_MINOR)
    order_id = await shop.held({sku: 2}, **data)
    await talk(OnTheStack(shop, sku, order_id))
    await shop.journal.until(lambda: len(shop.kinds(order_id)) >= len(foretold) or None, f"{foretold} of {order_id}")
    assert shop.kinds(order_id) == foretold
    assert [entry["amount_minor"] for entry in await shop.entries(order_id)] == money
    counts = {name: stock[name] for name in ("on_hand", "held", "shipped")}
    await shop.stock_settles(sku, **counts)
