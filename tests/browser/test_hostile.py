"""What somebody who means harm can write into an order is text on every page; what a stranger's page can do is nothing."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp
from e2e.shop import Shop
from playwright.async_api import Dialog

from browser.desk import Desk
from contracts.topics import ORDERS_COMMANDS

MARKUP = "<img src=x onerror=alert(1)>"


async def test_markup_in_every_field_of_an_order_is_shown_as_text(shop: Shop, desk: Desk) -> None:
    page, said = desk.page, []

    async def on_dialog(dialog: Dialog) -> None:
        said.append(dialog.message)
        await dialog.dismiss()

    page.on("dialog", on_dialog)
    sku, customer = f"{MARKUP}{shop.run}", f"{MARKUP}c{shop.run}"
    order_id = f"{MARKUP}o{shop.run}"
    await shop.receive(sku, 9, unit_price_minor=100, description=MARKUP)
    data = {"customer_id": customer, "name": MARKUP, "email": "a@example.com"}
    await shop.ask("customer.register-customer.v1", customer, data)
    await shop.start({sku: 1}, order_id=order_id, customer_id=customer)
    await shop.saw(order_id, "stock-reserved")
    await desk.act(order_id, "Pause")
    await desk.act(order_id, "Resume")
    await shop.ask("orders.cancel-order.v1", order_id, {"reason": MARKUP})
    await shop.ended(order_id)
    await shop.put(ORDERS_COMMANDS, order_id.encode(), MARKUP.encode(), [(MARKUP, MARKUP.encode())])
    name = quote(order_id, safe="")
    paths = ("/orders", f"/orders/{name}", f"/why/{name}", f"/act/cancel/{name}", "/start", "/letters", "/acts", "/dashboard",
             f"/orders?customer={quote(customer)}", f"/bulk?sku={quote(sku)}", f"/orders?status={quote(MARKUP)}")  # fmt: skip
    seen = 0
    for path in paths:
        await desk.go(path)
        assert await page.locator("img").count() == 0, path
        seen += MARKUP in await page.locator("#main").inner_text()
    assert seen >= 8
    assert said == []
    page.remove_listener("dialog", on_dialog)


async def test_the_session_is_out_of_reach_of_scripts_and_of_other_sites(desk: Desk) -> None:
    (cookie,) = await desk.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert await desk.page.evaluate("document.cookie") == ""
    async with aiohttp.ClientSession() as web, web.get(f"{desk.base}/login") as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
