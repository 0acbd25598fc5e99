"""One order's page: why it stands where it stands, what went wrong, what undoes what, what the customer was told."""

from __future__ import annotations

import re
from urllib.parse import quote

from e2e.shop import Shop
from playwright.async_api import Browser, ViewportSize, expect

from browser.desk import DESKTOP, PATIENCE_MS, PHONE, Desk, log_in


async def test_the_page_tells_by_itself_why_an_order_stands_there_and_its_deadline_counts_down(
    shop: Shop, desk: Desk
) -> None:
    sku, page = await shop.shelf(5), desk.page
    # Of a customer who never bought anything: who buys much is given more time.
    order_id = await shop.held({sku: 1}, customer_id=await shop.customer())
    await desk.order(order_id)
    await expect(page.locator(".chain li").last).to_contain_text("a person has to approve it", timeout=PATIENCE_MS)
    countdown = page.locator("time[data-countdown]").first
    await expect(countdown).to_have_text(re.compile(r"^1[45] min \d+ s left$|^15 min 0 s left$"))
    created = page.locator("dd time").first
    await expect(created).to_have_text(re.compile(r"^\d+ (sec|min)\. ago$"))
    assert await created.get_attribute("title") == (await shop.order(order_id))["created_at"][:23] + "Z", (
        "exact on hover"
    )
    before = await countdown.text_content()
    assert before
    await expect(countdown).not_to_have_text(before)


async def test_without_a_script_a_link_leads_to_the_chain(
    chromium: Browser, shop: Shop, desk: Desk, password: str
) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1})
    other = await log_in(chromium, desk.base, "admin", password, java_script_enabled=False)
    try:
        await other.order(order_id)
        await other.page.get_by_role("link", name="Ask every service").click()
        await other.sees("a person has to approve it")
    finally:
        await other.context.close()


async def test_a_failed_order_tells_in_red_what_went_wrong_and_where_on_its_tape(shop: Shop, desk: Desk) -> None:
    sku, page = await shop.shelf(5), desk.page
    order_id = await shop.held({sku: 1}, payment_method="pm_card_declined")
    await shop.approve(order_id)
    assert (await shop.ended(order_id)).short == "order-failed"
    await desk.order(order_id)
    told = page.locator(".problem", has_text="What went wrong")
    await expect(told).to_contain_text("declined")
    await told.get_by_role("link").click()
    await expect(page.locator(".tape li:target")).to_have_class(re.compile(r"\bbad\b"))
    await desk.sees("Failed, because the payment was declined.")
    why = page.locator(".why")
    await expect(why.get_by_role("heading")).to_have_text("Why did it fail?")
    links = why.locator(".chain li")
    await expect(links.first).to_have_text("It failed at the step “Payment”: the payment was declined.")
    await expect(links.nth(1)).to_contain_text("declined")
    await expect(why).to_contain_text(re.compile(r"What was undone: .*Stock released \(undoes Stock reserved\)"))
    await why.get_by_role("link", name="Stock released").click()
    await expect(page.locator(".tape li:target")).to_contain_text("↩ undoes Stock reserved")


async def test_a_compensation_and_what_it_undoes_lead_to_each_other(shop: Shop, desk: Desk) -> None:
    sku, page = await shop.shelf(5), desk.page
    order_id = await shop.held({sku: 1}, payment_method="pm_refund_fails")
    await shop.approve(order_id)
    await shop.send("orders.cancel-order.v1", order_id, {"reason": "changed my mind"})
    assert (await shop.ended(order_id, 90)).short == "order-cancelled"
    await desk.order(order_id)
    await page.get_by_role("link", name="↩ undoes Payment captured").first.click()
    undone = page.locator(".tape li:target")
    await expect(undone).to_contain_text("Payment captured")
    await undone.get_by_role("link", name="↩ Payment refunded").click()
    await expect(page.locator(".tape li:target")).to_contain_text("↩ undoes Payment captured")
    await desk.sees("Will be tried again")
    await desk.sees("next try at")


async def test_what_the_customer_was_told_stands_on_the_tape(shop: Shop, desk: Desk) -> None:
    sku, page = await shop.shelf(5), desk.page
    customer = await shop.customer()
    order_id = await shop.start({sku: 1}, customer_id=customer)
    await shop.approve(order_id)
    await shop.ended(order_id)
    await desk.order(order_id)
    mail = page.locator(".tape .k-mail")
    for _ in range(30):
        if await mail.filter(has_text="Mail sent").count():
            break
        await page.reload()
    await expect(mail).to_contain_text("Mail sent: confirmation")
    await expect(mail).to_contain_text(f"“Your order {order_id} is complete” to {customer}")
    await expect(mail.locator("summary")).to_have_text("sent, 1 attempt")


async def test_lines_are_put_together_from_the_catalogue(shop: Shop, desk: Desk) -> None:
    skus = [await shop.shelf(5), await shop.shelf(5)]
    await desk.go("/start")
    for sku in (*skus, skus[0]):
        await desk.page.get_by_role("button", name=f"Add {sku}", exact=True).click()
    await expect(desk.page.get_by_label("Lines, one each")).to_have_value(f"{skus[0]}:2\n{skus[1]}:1")


async def test_on_a_telephone_the_filters_are_put_away_until_they_are_asked_for(shop: Shop, desk: Desk) -> None:
    page = desk.page
    order_id = await shop.held({await shop.shelf(5): 1})
    await page.set_viewport_size(ViewportSize(width=PHONE[0], height=PHONE[1]))
    try:
        await desk.go("/orders")
        await expect(page.locator("tr[data-order]").first).to_be_in_viewport()
        await expect(page.get_by_label("Id begins with")).to_be_hidden()
        await desk.tab_to(page.get_by_label("Filters"))
        await page.keyboard.press("Space")
        await page.get_by_label("Id begins with").fill(order_id)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/orders/{quote(order_id, safe='')}")
    finally:
        await page.set_viewport_size(ViewportSize(width=DESKTOP[0], height=DESKTOP[1]))
