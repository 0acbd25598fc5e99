"""Who works the console by keys keeps them, and his place, on pages that change by themselves."""

from __future__ import annotations

import asyncio
import re

from e2e.shop import Shop
from playwright.async_api import Locator, expect

from browser.desk import PATIENCE_MS, Desk

MARK = "one => { one.dataset.before = ''; }"


async def made_anew(desk: Desk, wanted: Locator) -> None:
    """Mark the element, and wait until the page's script has put another one in its place."""
    await wanted.evaluate(MARK)
    await expect(desk.page.locator("[data-before]")).to_have_count(0, timeout=PATIENCE_MS)


async def test_who_has_tabbed_to_stop_can_press_it_though_the_page_was_made_anew_meanwhile(
    shop: Shop, desk: Desk
) -> None:
    sku, page = await shop.shelf(200), desk.page
    await asyncio.gather(*(shop.start({sku: 1}) for _ in range(120)))
    await desk.go(f"/bulk?sku={sku}")
    await page.get_by_label("Pause the order").check()
    await page.get_by_label("Why").fill("stocktaking")
    await page.get_by_role("button", name="Count them and show the plan").click()
    await page.get_by_role("button", name="Pause the order: 120 orders").click(timeout=2 * PATIENCE_MS)
    stop = page.get_by_role("button", name="Stop")
    await desk.tab_to(stop)
    await made_anew(desk, stop)
    await expect(stop).to_be_focused()
    await page.keyboard.press("Enter")
    await desk.sees("It was stopped.")
    told = re.search(r"(\d+) of 120 have their", await page.locator("#main").inner_text())
    assert told
    assert int(told[1]) < 120
    # The button is gone, and with it what had the keys: they are not back at the head of the page.
    await desk.tab_to(page.get_by_role("button", name=re.compile("Go on with the")))


async def test_the_dashboard_keeps_the_keys_and_its_place_when_it_looks_again(shop: Shop, desk: Desk) -> None:
    page = desk.page
    await shop.held({await shop.shelf(5): 1})
    await desk.go("/dashboard")
    link = page.locator("main").get_by_role("link", name="completed")
    await desk.tab_to(link)
    await page.evaluate("scrollTo(0, 120)")
    await made_anew(desk, link)
    await expect(link).to_be_focused()
    assert await page.evaluate("scrollY") == 120


async def test_an_order_that_changes_leaves_the_keys_where_they_are(shop: Shop, desk: Desk) -> None:
    page = desk.page
    order_id = await shop.held({await shop.shelf(5): 1})
    await desk.order(order_id)
    copy = page.locator("h1").get_by_role("button", name=f"Copy {order_id}")
    await desk.tab_to(copy)
    await copy.evaluate(MARK)
    await shop.approve(order_id)
    await desk.sees("Completed: the money is taken")
    await expect(page.locator("[data-before]")).to_have_count(0, timeout=PATIENCE_MS)
    await expect(copy).to_be_focused()
