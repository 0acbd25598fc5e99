"""The list of orders as one works with it: pages, filters, the way back to it, and lines that newer orders push off their page."""

from __future__ import annotations

import asyncio
import re

from e2e.shop import Shop
from playwright.async_api import expect

from browser.desk import PATIENCE_MS, Desk

PAGE = 50


async def orders_of(shop: Shop, count: int, customer: str) -> list[str]:
    """So many orders of the customer, that were started one by one or together."""
    sku = await shop.shelf(count)
    return list(await asyncio.gather(*(shop.start({sku: 1}, customer_id=customer) for _ in range(count))))


async def shown(desk: Desk) -> list[str]:
    """The ids of the lines, in order."""
    rows = await desk.page.locator("tr[data-order]").all()
    return [str(await row.get_attribute("data-order")) for row in rows]


async def test_a_line_that_more_than_a_page_of_newer_orders_pushed_off_goes_on_telling_its_state(
    shop: Shop, desk: Desk
) -> None:
    page, customer = desk.page, await shop.customer()
    order_id = await shop.held({await shop.shelf(5): 1}, customer_id=customer)
    await desk.go(f"/orders?customer={customer}")
    row = page.locator("tr", has_text=order_id)
    await expect(row).to_contain_text("It waits for a person to approve the payment.")
    await orders_of(shop, PAGE + 5, customer)
    await shop.approve(order_id)
    await shop.ended(order_id)
    await expect(row).to_contain_text("Paid, and on its way.", timeout=PATIENCE_MS)
    await expect(row).not_to_have_class(re.compile("gone"))
    assert await shown(desk) == [order_id]
    await page.get_by_role("link", name="Orders have changed: show").click()
    # It was pushed off for certain: the page as it is now does not have it.
    await expect(page.locator("tr[data-order]")).to_have_count(PAGE)
    assert order_id not in await shown(desk)


async def test_a_line_that_does_not_fit_the_filter_any_more_says_how_it_stands_and_is_marked(
    shop: Shop, desk: Desk
) -> None:
    page, customer = desk.page, await shop.customer()
    order_id = await shop.held({await shop.shelf(5): 1}, customer_id=customer)
    await desk.go(f"/orders?customer={customer}&status=AWAITING_APPROVAL")
    await shop.approve(order_id)
    await shop.ended(order_id)
    row = page.locator("tr", has_text=order_id)
    await expect(row).to_have_class(re.compile("gone"), timeout=PATIENCE_MS)
    await expect(row).to_contain_text("Paid, and on its way.")


async def test_the_next_page_goes_on_where_the_last_one_ended_and_there_is_a_way_to_the_first(
    shop: Shop, desk: Desk
) -> None:
    page, customer = desk.page, await shop.customer()
    every = await orders_of(shop, PAGE + 3, customer)
    await desk.go("/orders")
    await page.get_by_role("textbox", name="Customer").fill(customer)
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("tr[data-order]")).to_have_count(PAGE)
    first = await shown(desk)
    await page.get_by_role("link", name="Next page").click()
    await expect(page.locator("tr[data-order]")).to_have_count(3)
    rest = await shown(desk)
    assert sorted(first + rest) == sorted(every)
    await expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    await page.get_by_role("link", name="To the first page").click()
    await expect(page.locator("tr[data-order]")).to_have_count(PAGE)
    assert await shown(desk) == first


async def test_the_filter_by_customer_shows_theirs_alone_and_an_order_leads_back_to_it(shop: Shop, desk: Desk) -> None:
    page, (one, other) = desk.page, (await shop.customer(), await shop.customer())
    mine, theirs = await orders_of(shop, 2, one), await orders_of(shop, 1, other)
    await desk.go("/orders?sort=oldest")
    await page.get_by_role("textbox", name="Customer").fill(one)
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("tr[data-order]")).to_have_count(2)
    assert sorted(await shown(desk)) == sorted(mine)
    assert theirs[0] not in await page.locator("#main").inner_text()
    await page.get_by_role("link", name=mine[0], exact=True).click()
    await desk.sees("It waits for a person to approve the payment.")
    await page.locator(".crumbs").get_by_role("link", name="Orders").click()
    await expect(page.locator("tr[data-order]")).to_have_count(2)
    await expect(page.get_by_role("textbox", name="Customer")).to_have_value(one)
    await expect(page.locator("select[name=sort]")).to_have_value("oldest")


async def test_attention_lists_the_orders_that_need_a_person_and_no_other(shop: Shop, desk: Desk) -> None:
    page, sku = desk.page, await shop.shelf(9)
    well = await shop.held({sku: 1})
    order_id = await shop.held({sku: 1}, payment_method="pm_refund_fails")
    await shop.approve(order_id)
    await shop.send("orders.cancel-order.v1", order_id, {"reason": "changed my mind"})
    # It is on the list until the next attempt, 25 s later (conftest.py), which works.
    await shop.saw(order_id, "attention-needed", 60)
    await desk.go("/dashboard")
    await page.get_by_role("link", name="Attention", exact=True).click()
    await page.wait_for_url("**/orders?status=NEEDS_ATTENTION")
    row = page.locator("tr", has_text=order_id)
    await expect(row).to_contain_text("needs attention")
    await expect(page.get_by_role("link", name="Attention", exact=True)).to_have_attribute("aria-current", "page")
    assert well not in await shown(desk)


async def test_an_order_that_gets_a_line_waits_since_the_same_moment(shop: Shop, desk: Desk) -> None:
    page, customer = desk.page, await shop.customer()
    order_id = await shop.held({await shop.shelf(5): 1}, customer_id=customer)
    await desk.go(f"/orders?customer={customer}")
    since = page.locator("tr", has_text=order_id).locator(".since time")
    began = await since.get_attribute("datetime")
    await shop.add_line(order_id, await shop.shelf(5, 4000), 1)
    await expect(page.locator("tr", has_text=order_id)).to_contain_text("42.50 GBP", timeout=PATIENCE_MS)
    assert await since.get_attribute("datetime") == began
    order = await shop.order(order_id)
    assert order["updated_at"] > order["waiting_since"]
