"""Every action of the console, as an operator does it in a browser."""

from __future__ import annotations

import asyncio
import re

import asyncpg
import pytest
from e2e.shop import Shop
from e2e.stack import Place
from playwright.async_api import expect
from waiting import until

from browser.desk import PATIENCE_MS, Desk
from contracts.topics import ORDERS_COMMANDS


async def test_an_order_is_started_from_the_form_and_seen_to_wait_without_loading_again(shop: Shop, desk: Desk) -> None:
    sku, page = await shop.shelf(5, 1250), desk.page
    order_id = shop.new_id("browser")
    await desk.go("/start")
    await expect(page.locator(".catalogue")).to_contain_text(sku)
    await page.get_by_label("Order id").fill(order_id)
    await page.get_by_label("Customer").fill("somebody")
    await page.get_by_label("Lines, one each").fill(f"{sku}:2")
    await page.get_by_label("Why").fill("ordered by telephone")
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("It would be accepted")
    await page.get_by_role("button", name="Start an order").click()
    await desk.sees("Accepted.")
    await page.get_by_role("link", name="To the order").click()
    await desk.sees("It waits for a person to approve the payment.")
    await shop.approve(order_id)
    await desk.sees("Completed: the money is taken")


async def test_an_order_is_approved_and_its_money_shown(shop: Shop, desk: Desk) -> None:
    sku = await shop.shelf(5, 1250)
    order_id = await shop.held({sku: 2})
    await desk.act(order_id, "Approve")
    await shop.ended(order_id)
    await desk.order(order_id)
    await desk.sees("25.00 GBP")


async def test_after_an_act_back_leads_to_pages_of_ours_and_asks_nothing_again(shop: Shop, desk: Desk) -> None:
    sku, page = await shop.shelf(5), desk.page
    order_id = await shop.held({sku: 1})
    await desk.act(order_id, "Approve")
    verdict = page.url
    assert re.search(r"/acts/\d+$", verdict)
    await shop.ended(order_id)
    await page.reload()
    await desk.sees("Accepted.")
    for wanted in ("Accepted.", "Show what it would do"):
        await page.go_back()
        await desk.sees(wanted)
    await page.go_forward()
    await desk.sees("Accepted.")
    assert page.url == verdict
    assert len(await shop.charges(order_id)) == 1


async def test_a_rejection_stands_on_a_page_with_who_and_why(shop: Shop, desk: Desk) -> None:
    sku, page = await shop.shelf(5), desk.page
    order_id = await shop.held({sku: 1})
    await desk.go(f"/act/cancel/{order_id}")
    await page.get_by_label("Why").fill("it came too late")
    await shop.approve(order_id)
    await shop.ended(order_id)
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("It would be rejected (too-late)")
    await page.get_by_role("button", name="Cancel the order").click()
    await desk.sees("Rejected (too-late)")
    await desk.sees("it came too late")
    await page.go_back()
    await desk.sees("Rejected (too-late)")
    await desk.go("/acts")
    row = page.locator("tr", has_text=order_id)
    await expect(row).to_contain_text("it came too late")
    await row.get_by_role("link", name="rejected: too-late").click()
    await desk.sees("Rejected (too-late)")


async def test_an_order_gets_a_line_is_paused_resumed_and_cancelled(shop: Shop, desk: Desk) -> None:
    sku, other = await shop.shelf(5), await shop.shelf(5)
    order_id = await shop.held({sku: 1})
    await desk.act(order_id, "Add a line", SKU=other, Quantity="2")
    assert [line["sku"] for line in (await shop.order(order_id))["items"]] == [sku, other]
    await desk.act(order_id, "Pause")
    assert (await shop.order(order_id))["paused"]
    await desk.act(order_id, "Resume")
    assert not (await shop.order(order_id))["paused"]
    await desk.act(order_id, "Cancel")
    assert (await shop.ended(order_id)).short == "order-cancelled"
    await desk.order(order_id)
    await desk.sees("↩ Release")


async def needs_a_person(shop: Shop) -> str:
    """An order whose refund has failed three times. The next attempt by itself comes 25 s later (conftest.py), and works."""
    order_id = await shop.held({await shop.shelf(5): 1}, payment_method="pm_refund_fails")
    await shop.approve(order_id)
    await shop.send("orders.cancel-order.v1", order_id, {"reason": "changed my mind"})
    await shop.saw(order_id, "attention-needed", 60)
    return order_id


@pytest.mark.parametrize("link", ["Try again now", "Resolve"])
async def test_a_refund_that_fails_is_tried_again_by_an_operator(shop: Shop, desk: Desk, link: str) -> None:
    order_id = await needs_a_person(shop)
    await desk.act(order_id, link)
    assert (await shop.ended(order_id)).short == "order-cancelled"
    assert "orders.retried-now" in [entry["type"] for entry in await shop.history(order_id)]
    assert {charge["refunded_minor"] for charge in await shop.charges(order_id)} == {250}


async def test_a_refund_that_was_made_by_hand_is_settled_with_its_evidence(shop: Shop, desk: Desk) -> None:
    page = desk.page
    order_id = await needs_a_person(shop)
    await desk.order(order_id)
    await page.get_by_role("link", name="Resolve", exact=True).click()
    await page.get_by_label("it was settled by hand").check()
    await page.get_by_label("Evidence, such as the bank's reference").fill("BANK-2026-4711")
    await page.get_by_label("Why").fill("the bank refunded it by hand")
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("It would be accepted")
    await page.get_by_role("button", name="Resolve what needs a person").click()
    await desk.sees("Accepted.")
    assert (await shop.ended(order_id)).short == "order-cancelled"
    # It is taken as done: the gateway is not asked once more.
    assert {charge["refunded_minor"] for charge in await shop.charges(order_id)} == {0}
    await desk.order(order_id)
    await expect(page.locator(".tape")).to_contain_text("BANK-2026-4711")
    await expect(page.locator(".tape")).to_contain_text("Attention resolved")
    await desk.sees("the bank refunded it by hand")


async def test_a_dead_letter_is_seen_with_its_bytes_and_discarded(shop: Shop, desk: Desk) -> None:
    key, page = shop.new_id("garbage"), desk.page
    await shop.put(ORDERS_COMMANDS, key.encode(), b"\xff<script>alert(1)</script>", [("mine", b"<b>")])

    async def listed() -> bool:
        await desk.go("/letters")
        return await page.get_by_text(key).count() > 0

    await until(listed, "the letter is listed")
    await page.locator("tr", has_text=key).get_by_role("link").first.click()
    await desk.sees("<script>alert(1)</script>")
    await desk.sees("3c 73 63 72 69 70 74")
    await page.get_by_role("link", name="Discard…").click()
    await page.get_by_label("Why").fill("noise")
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("1 of 1 would be given up")
    await page.get_by_role("button", name="Discard 1 letter").click()
    await desk.sees("it is given up")


async def test_an_order_waits_behind_its_letter_and_goes_on_when_it_is_replayed(
    place: Place, shop: Shop, desk: Desk
) -> None:
    sku, page = await shop.shelf(9), desk.page
    order_id = shop.new_id("order")
    # As a wrong migration would: the database refuses whatever is written about this order.
    name = f"refused_{shop.run}"
    check = f"ADD CONSTRAINT {name} CHECK (order_id <> '{order_id}') NOT VALID"
    inventory = await asyncpg.connect(place.env["INVENTORY_DATABASE_URL"], timeout=10)
    try:
        await inventory.execute(f"ALTER TABLE reservation {check}")
        await shop.start({sku: 2}, order_id=order_id)

        async def listed() -> bool:
            await desk.go("/letters")
            return await page.locator("tr", has_text=order_id).count() > 0

        await until(listed, "the letter is listed")
        await inventory.execute(f"ALTER TABLE reservation DROP CONSTRAINT {name}")
    finally:
        await inventory.execute(f"ALTER TABLE reservation DROP CONSTRAINT IF EXISTS {name}")
        await inventory.close()
    await page.locator("tr", has_text=order_id).get_by_role("link").first.click()
    await page.get_by_role("link", name="Replay…").click()
    await page.get_by_label("Why").fill("the migration is mended")
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("1 of 1 would be sent again")
    await page.get_by_role("button", name="Replay 1 letter").click()
    await desk.sees("it is handled")
    await shop.approve(order_id)
    assert (await shop.ended(order_id)).short == "order-completed"


@pytest.mark.parametrize("order_id", [".", ".."])
async def test_an_order_whose_id_means_a_folder_is_looked_at_and_acted_on(
    shop: Shop, desk: Desk, order_id: str
) -> None:
    sku, page = await shop.shelf(5), desk.page
    await shop.start({sku: 1}, order_id=order_id)
    await desk.go(f"/orders?sku={sku}")
    await page.get_by_role("link", name=order_id, exact=True).click()
    await desk.sees("It waits for a person to approve the payment.")
    await page.get_by_role("link", name="Approve", exact=True).click()
    await page.get_by_label("Why").fill("it is an id like any other")
    await page.get_by_role("button", name="Show what it would do").click()
    await page.get_by_role("button", name="Approve the payment").click()
    await desk.sees("Accepted.")
    await page.get_by_role("link", name="To the order").click()
    await desk.sees("Completed: the money is taken")


async def test_many_orders_are_cancelled_with_progress_and_a_receipt_each(shop: Shop, desk: Desk) -> None:
    sku, page = await shop.shelf(20), desk.page
    order_ids = await asyncio.gather(*(shop.held({sku: 1}) for _ in range(12)))
    await desk.go(f"/orders?sku={sku}")
    await page.get_by_role("link", name="Act on all of these…").click()
    await page.get_by_label("Cancel the order").check()
    await page.get_by_label("Why").fill("recalled")
    await page.get_by_role("button", name="Count them and show the plan").click()
    await desk.sees("12 would be accepted")
    await page.get_by_role("button", name="Cancel the order: 12 orders").click()
    await expect(page.get_by_role("button", name="Stop")).to_be_visible(timeout=PATIENCE_MS)
    await desk.sees("It is done.")
    await desk.sees(re.compile(r"12 of 12 have their\s+verdict: 12 accepted"))
    for order_id in order_ids:
        assert (await shop.ended(order_id)).short == "order-cancelled"


async def test_the_list_keeps_filters_and_place_tells_what_changed_and_the_back_button_works(
    shop: Shop, desk: Desk
) -> None:
    sku, page = await shop.shelf(9), desk.page
    order_id = await shop.held({sku: 1})
    await desk.go("/orders")
    await page.get_by_label("SKU", exact=True).fill(sku)
    await page.get_by_label("Sort").select_option("oldest")
    await page.get_by_role("button", name="Show", exact=True).click()
    await desk.sees(order_id)
    where = page.url
    await shop.approve(order_id)
    await expect(page.locator("tr", has_text=order_id)).to_contain_text("Paid, and on its way.", timeout=PATIENCE_MS)
    await shop.held({sku: 1})
    await expect(page.get_by_role("link", name="Orders have changed: show")).to_be_visible(timeout=PATIENCE_MS)
    assert await page.locator("tr[data-order]").count() == 1, "the line that is looked at keeps its place"
    await page.get_by_role("link", name=order_id).click()
    await desk.sees("Completed")
    await page.go_back()
    assert page.url == where
    await desk.sees(order_id)
    await page.get_by_role("button", name=f"Copy {order_id}").click()
    assert await page.evaluate("navigator.clipboard.readText()") == order_id


async def test_the_console_is_worked_by_keys_alone(shop: Shop, desk: Desk) -> None:
    sku, page = await shop.shelf(5), desk.page
    order_id = await shop.held({sku: 1})
    await desk.order(order_id)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="To the content")).to_be_focused()
    await desk.tab_to(page.get_by_role("link", name="Approve", exact=True))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/act/approve/*")
    await desk.tab_to(page.get_by_label("Why"))
    await page.keyboard.type("by keys")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await desk.sees("It would be accepted")


@pytest.mark.parametrize(
    "path", ["/orders", "/dashboard", "/letters", "/system", "/acts", "/accounts", "/start", "/bulk"]
)
async def test_no_page_says_anything_against_its_own_policy(desk: Desk, path: str) -> None:
    said: list[str] = []
    desk.page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    await desk.go(path)
    await desk.page.wait_for_load_state()
    assert said == []
