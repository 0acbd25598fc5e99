"""What is done to many at once, as an operator does it in a browser: groups of dead letters, many orders, the export."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest
from e2e.shop import Shop
from e2e.stack import Place
from playwright.async_api import Locator, expect
from waiting import until

from browser.desk import PATIENCE_MS, Desk
from contracts.topics import INVENTORY_EVENTS

#: The page lists so many.
PAGE = 50


@asynccontextmanager
async def refused(place: Place, shop: Shop, order_ids: Sequence[str]) -> AsyncIterator[None]:
    """Inventory's database refuses whatever is written about these orders, as after a wrong migration."""
    name = f"refused_{shop.new_id('group').replace('-', '_')}"
    these = ", ".join(f"'{order_id}'" for order_id in order_ids)
    inventory = await asyncpg.connect(place.env["INVENTORY_DATABASE_URL"], timeout=30)
    try:
        await inventory.execute(
            f'ALTER TABLE reservation ADD CONSTRAINT "{name}" CHECK (order_id NOT IN ({these})) NOT VALID'
        )
        yield
    finally:
        await inventory.execute(f'ALTER TABLE reservation DROP CONSTRAINT IF EXISTS "{name}"')
        await inventory.close()


async def listed(desk: Desk, keys: Sequence[str]) -> None:
    """Wait until the letters of all these keys are on the page."""

    async def all_there() -> bool:
        await desk.go("/letters")
        counts = [await desk.page.locator("tr", has_text=key).count() for key in keys]
        return all(counts)

    await until(all_there, f"the letters of {', '.join(keys)} are listed")


def group_of(desk: Desk, *words: str) -> Locator:
    """The group whose line holds all of these."""
    found = desk.page.get_by_role("region", name="By reason").locator("tbody tr")
    for word in words:
        found = found.filter(has_text=word)
    return found


async def test_a_group_of_dead_letters_is_replayed_after_its_plan(place: Place, shop: Shop, desk: Desk) -> None:
    sku, page = await shop.shelf(9), desk.page
    order_ids = [shop.new_id("order") for _ in range(3)]
    async with refused(place, shop, order_ids):
        for order_id in order_ids:
            await shop.start({sku: 1}, order_id=order_id)
        await listed(desk, order_ids)
    group = group_of(desk, "inventory.commands.v1")
    await group.get_by_role("link", name="Replay…").click()
    await desk.sees(re.compile(r"3 open letters: .*inventory, inventory\.commands\.v1"))
    await page.get_by_label("Why").fill("the migration is mended")
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("3 of 3 would be sent again")
    for order_id in order_ids:
        assert "stock-reserved" not in shop.kinds(order_id), "a plan sends nothing"
    await page.get_by_role("button", name="Replay 3 letters").click()
    await expect(page.get_by_text("it is handled")).to_have_count(3, timeout=PATIENCE_MS)
    for order_id in order_ids:
        await shop.saw(order_id, "stock-reserved")
    await desk.go("/acts")
    await expect(page.locator("tr", has_text="replay-letters").first).to_contain_text("3: it is handled")
    await desk.go("/letters")
    await expect(group.get_by_role("link", name="Replay…")).to_have_count(0)


async def test_a_group_of_dead_letters_is_discarded_after_its_plan_and_no_other(shop: Shop, desk: Desk) -> None:
    page, keys = desk.page, [shop.new_id("garbage") for _ in range(3)]
    for key in keys:
        await shop.put(INVENTORY_EVENTS, key.encode(), b"\xff not an event", [])
        shop.garbage.add(key)
    await listed(desk, keys)
    group = group_of(desk, INVENTORY_EVENTS)
    discarded = group.locator("td[data-label=discarded]")
    where = await group.locator("td").first.get_by_role("link").get_attribute("href")
    await group.get_by_role("link").first.click()
    await expect(page.get_by_role("region", name=re.compile("open$")).locator("tbody tr")).to_have_count(3)
    before = await discarded.inner_text()
    others = [await one.inner_text() for one in await other_groups(desk)]
    await group.get_by_role("link", name="Discard…").click()
    await page.get_by_label("Why").fill("a test of the other team")
    await page.get_by_role("button", name="Show what it would do").click()
    await desk.sees("3 of 3 would be given up")
    await page.get_by_role("button", name="Discard 3 letters").click()
    await expect(page.get_by_text("it is given up")).to_have_count(3, timeout=PATIENCE_MS)
    # The way back is to the group that was looked at.
    await page.locator(".crumbs").get_by_role("link", name="Dead letters").click()
    await page.wait_for_url(f"**{where}")
    await desk.sees("None of these is open.")
    await expect(discarded).to_have_text(str(3 + int(before if before.isdigit() else 0)))
    assert [await one.inner_text() for one in await other_groups(desk)] == others


async def other_groups(desk: Desk) -> list[Locator]:
    """The lines' counts of the groups that come from elsewhere."""
    rows = group_of(desk).filter(has_not_text=INVENTORY_EVENTS)
    return [row.locator("td[data-label=open]") for row in await rows.all()]


async def test_the_filtered_orders_are_exported_as_csv_also_those_of_later_pages(shop: Shop, desk: Desk) -> None:
    page, customer, sku = desk.page, await shop.customer(), await shop.shelf(PAGE + 3)
    order_ids = await asyncio.gather(*(shop.held({sku: 1}, customer_id=customer) for _ in range(PAGE + 3)))
    await shop.held({await shop.shelf(5): 1})
    await desk.go(f"/orders?customer={customer}")
    await expect(page.locator("tr[data-order]")).to_have_count(PAGE)
    async with page.expect_download() as told:
        await page.get_by_role("link", name="Export as CSV").click()
    download = await told.value
    assert download.suggested_filename == "orders.csv"
    rows = list(csv.DictReader(io.StringIO((await download.path()).read_text())))
    assert sorted(row["order_id"] for row in rows) == sorted(order_ids)
    assert {row["status"] for row in rows} == {"AWAITING_APPROVAL"}
    assert {(row["total_minor"], row["currency"], row["customer_id"]) for row in rows} == {("250", "GBP", customer)}


async def run_over(desk: Desk, sku: str, what: str, count: int) -> None:
    """From the list of a SKU's orders through the plan until all have their receipt."""
    page, title = desk.page, what.partition(":")[0]
    await desk.go(f"/orders?sku={sku}")
    await page.get_by_role("link", name="Act on all of these…").click()
    await page.get_by_label(what, exact=True).check()
    await page.get_by_label("Why").fill("all of them alike")
    await page.get_by_role("button", name="Count them and show the plan").click()
    await desk.sees(f"{count} would be accepted")
    await page.get_by_role("button", name=f"{title}: {count} orders").click()
    await desk.sees("It is done.")
    await desk.sees(re.compile(rf"{count} of {count} have their\s+verdict: {count} accepted"))


async def test_many_orders_are_paused_and_resumed_with_a_receipt_each(shop: Shop, desk: Desk) -> None:
    sku = await shop.shelf(9)
    order_ids = await asyncio.gather(*(shop.held({sku: 1}) for _ in range(4)))
    for what, paused in (("Pause the order", True), ("Resume the order", False)):
        await run_over(desk, sku, what, len(order_ids))
        assert {(await shop.order(order_id))["paused"] for order_id in order_ids} == {paused}
        for order_id in order_ids:
            await expect(desk.page.locator("tr", has_text=order_id)).to_contain_text("accepted")


@pytest.mark.parametrize("what", ["Try again now", "Resolve what needs a person: try again now"])
async def test_many_orders_that_need_a_person_are_tried_again(shop: Shop, desk: Desk, what: str) -> None:
    sku = await shop.shelf(9)
    order_ids = await asyncio.gather(*(shop.held({sku: 1}, payment_method="pm_refund_fails") for _ in range(3)))
    for order_id in order_ids:
        await shop.approve(order_id)
        await shop.send("orders.cancel-order.v1", order_id, {"reason": "changed my mind"})
    for order_id in order_ids:
        await shop.saw(order_id, "attention-needed", 60)
    # The stack's next attempt by itself comes 25 s after that (conftest.py).
    await run_over(desk, sku, what, len(order_ids))
    for order_id in order_ids:
        assert (await shop.ended(order_id)).short == "order-cancelled"
        notes = [entry["type"] for entry in await shop.history(order_id)]
        assert "orders.retried-now" in notes
