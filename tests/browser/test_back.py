"""Back and reload find a page and ask nothing again, also where a form was refused; an action leads back to its list."""

from __future__ import annotations

import re

import pytest
from e2e.shop import Shop
from playwright.async_api import Browser, expect

from browser.desk import PATIENCE_MS, Desk, log_in


async def away_and_back(desk: Desk, path: str = "/acts") -> None:
    """To another page, and back. Where Chromium asks whether to send a form again, it shows a page of its own instead."""
    await desk.go(path)
    await desk.page.go_back()
    await expect(desk.page.locator("#main")).to_be_visible(timeout=PATIENCE_MS)


async def test_back_onto_a_refused_action_finds_why_and_what_was_filled_in(shop: Shop, desk: Desk) -> None:
    page = desk.page
    order_id = await shop.held({await shop.shelf(5): 1})
    await desk.go(f"/act/add-line/{order_id}")
    await page.get_by_label("SKU", exact=True).fill("some-sku")
    await page.get_by_label("Quantity").fill("3")
    await page.get_by_label("Why").fill("   ")
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("Say why")
    assert await page.evaluate("fetch(location.href).then((answer) => answer.status)") == 400
    for look_again in (page.reload, lambda: away_and_back(desk)):
        await look_again()
        await desk.sees("Say why")
        await expect(page.get_by_label("SKU", exact=True)).to_have_value("some-sku")
        await expect(page.get_by_label("Quantity")).to_have_value("3")
    assert len((await shop.order(order_id))["items"]) == 1


async def test_back_onto_a_refused_start_finds_the_lines_again(shop: Shop, desk: Desk) -> None:
    page, order_id = desk.page, shop.new_id("never")
    await desk.go("/start")
    await page.get_by_label("Order id").fill(order_id)
    await page.get_by_label("Customer").fill("somebody")
    await page.get_by_label("Lines, one each").fill("some-sku:many")
    await page.get_by_label("Why").fill("ordered by telephone")
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("A quantity is a whole number, not 'many'.")
    await away_and_back(desk)
    await desk.sees("A quantity is a whole number, not 'many'.")
    await expect(page.get_by_label("Order id")).to_have_value(order_id)
    await expect(page.get_by_label("Lines, one each")).to_have_value("some-sku:many")
    await expect(page.get_by_label("Why")).to_have_value("ordered by telephone")


async def test_back_onto_a_refused_bulk_form_finds_its_orders_and_what_was_chosen(shop: Shop, desk: Desk) -> None:
    page, sku = desk.page, shop.new_id("nobodys-sku")
    await desk.go(f"/bulk?sku={sku}&sort=oldest")
    await page.get_by_label("Pause the order").check()
    await page.get_by_label("Why").fill("stocktaking")
    await page.get_by_role("button", name="Count them and show the plan").click()
    await desk.sees("No order fits the filter")
    await away_and_back(desk)
    await desk.sees("No order fits the filter")
    await desk.sees(f"SKU {sku}")
    await expect(page.get_by_label("Pause the order")).to_be_checked()
    await page.locator(".crumbs").get_by_role("link", name="Orders", exact=True).click()
    await page.wait_for_url(f"**/orders?sku={sku}&sort=oldest")


async def test_back_onto_a_plan_that_is_gone_finds_the_form_and_why(shop: Shop, desk: Desk) -> None:
    page = desk.page
    order_id = await shop.held({await shop.shelf(5): 1})
    await desk.go(f"/act/cancel/{order_id}")
    await page.get_by_label("Why").fill("a plan of long ago")
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("It would be accepted")
    # As where it was made more than a day ago: nobody knows of it.
    await page.locator("input[name=command_id]").evaluate("one => { one.value = 'forgotten'; }")
    await page.get_by_role("button", name="Cancel the order").click()
    await desk.sees("There is no plan of yours for this.")
    await away_and_back(desk)
    await desk.sees("There is no plan of yours for this.")
    assert (await shop.order(order_id))["status"] == "AWAITING_APPROVAL"


async def test_a_one_time_password_is_shown_once_and_back_makes_no_other(shop: Shop, desk: Desk) -> None:
    page, name = desk.page, f"newcomer-{shop.run}"
    await desk.go("/accounts")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Role").select_option("viewer")
    await page.get_by_label("Why").fill("joins us")
    await page.get_by_role("button", name="Make it, or give it a new password").click()
    await desk.sees(f"The one-time password of {name} is")
    password = await page.locator("p.good code").text_content()
    assert password
    for look_again in (lambda: away_and_back(desk), page.reload):
        await look_again()
        await desk.sees("A one-time password was shown here, once")
        await expect(page.locator("#main")).not_to_contain_text(password)
    assert page.context.browser
    newcomer = await log_in(page.context.browser, desk.base, name, password)
    await newcomer.context.close()


async def test_back_onto_a_refused_log_in_finds_the_form(chromium: Browser, desk: Desk, password: str) -> None:
    context = await chromium.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{desk.base}/login")
        for said in ("wrong", password):
            await page.get_by_label("Name").fill("admin")
            await page.get_by_label("Password").fill(said)
            await page.get_by_role("button", name="Log in").click()
            await expect(page.get_by_text("do not match" if said == "wrong" else "Log out")).to_be_visible()
        await page.go_back()
        await expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=PATIENCE_MS)
    finally:
        await context.close()


@pytest.mark.parametrize("way", ["the crumb", "leaving it", "the verdict"])
async def test_an_action_leads_back_to_the_list_with_its_filters(shop: Shop, desk: Desk, way: str) -> None:
    page, customer = desk.page, await shop.customer()
    order_id = await shop.held({await shop.shelf(5): 1}, customer_id=customer)
    await desk.go(f"/orders?customer={customer}&sort=oldest")
    await page.get_by_role("link", name=order_id, exact=True).click()
    await page.get_by_role("link", name="Pause", exact=True).click()
    await page.get_by_label("Why").fill("stocktaking")
    if way == "the crumb":
        await page.locator(".crumbs").get_by_role("link", name=order_id).click()
    else:
        await page.get_by_role("button", name="Show what it would do").click()
        await desk.sees("It would be accepted")
        if way == "leaving it":
            await page.get_by_role("link", name="Leave it").click()
        else:
            await page.get_by_role("button", name="Pause the order").click()
            await desk.sees("Accepted.")
            await page.get_by_role("link", name="To the order").click()
    await page.locator(".crumbs").get_by_role("link", name="Orders", exact=True).click()
    await page.wait_for_url(f"**/orders?customer={customer}&sort=oldest")
    await expect(page.locator("tr[data-order]")).to_have_count(1)


async def test_a_run_over_many_orders_leads_back_to_their_list(shop: Shop, desk: Desk) -> None:
    page, sku = desk.page, await shop.shelf(9)
    await shop.held({sku: 1})
    await desk.go(f"/orders?sku={sku}&sort=oldest")
    await page.get_by_role("link", name="Act on all of these…").click()
    await page.get_by_label("Pause the order").check()
    await page.get_by_label("Why").fill("stocktaking")
    await page.get_by_role("button", name="Count them and show the plan").click()
    await page.get_by_role("button", name="Pause the order: 1 order").click(timeout=PATIENCE_MS)
    await desk.sees("It is done.")
    await page.get_by_role("link", name="Act on many orders").click()
    await desk.sees(re.compile(rf"The orders of this filter: SKU {sku}"))
    await page.go_back()
    await page.locator(".crumbs").get_by_role("link", name="Orders", exact=True).click()
    await page.wait_for_url(f"**/orders?sku={sku}&sort=oldest")
