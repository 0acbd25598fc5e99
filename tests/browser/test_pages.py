"""Each page in a real browser: what axe finds, light and dark; what fits on a telephone; and the pictures of it."""

from __future__ import annotations

import asyncio
import os
import re
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from e2e.shop import Shop
from PIL import Image
from playwright.async_api import Browser, Page, ViewportSize, expect
from waiting import until

from browser.desk import DESKTOP, PATIENCE_MS, PHONE, Desk, findings, log_in
from contracts.topics import ORDERS_COMMANDS

#: By name; `{order}` is an order that was cancelled after its payment, `{waiting}` one that waits.
PAGES = {
    "orders": "/orders",
    "order": "/orders/{order}",
    "why": "/why/{waiting}",
    "action": "/act/cancel/{waiting}",
    "plan": "/acts/{plan}",
    "verdict": "/acts/{verdict}",
    "start": "/start",
    "bulk": "/bulk?status=AWAITING_APPROVAL",
    "dashboard": "/dashboard",
    "dead-letters": "/letters",
    "letter": "/letters/one?name={letter}",
    "letters-plan": "/acts/{letters}",
    "bulk-run": "/bulk/{run}",
    "system": "/system",
    "acts": "/acts",
    "accounts": "/accounts",
    "empty": "/orders?q=NOBODY-HAS-THIS",
}
LONGEST = 1700
WIDTHS = {"desktop": DESKTOP, "phone": PHONE}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def orders(shop: Shop, desk: Desk) -> dict[str, str]:
    """A shop with something going on: orders in several states, a dead letter, a dashboard that has looked at it."""
    skus = [await shop.shelf(60, price) for price in (1250, 399, 8900)]
    scarce = await shop.shelf(6, 4500)
    customer = await shop.customer()
    held = await asyncio.gather(
        *(shop.held({skus[n % 3]: 1 + n % 2}, customer_id=customer) for n in range(10)),
        shop.held({scarce: 5}, customer_id=customer),
    )
    for order_id in held[:5]:
        await shop.approve(order_id)
        await shop.ended(order_id)
    order = await shop.held({skus[0]: 2, skus[2]: 1}, customer_id=customer, payment_method="pm_refund_fails")
    await shop.approve(order)
    await shop.send("orders.cancel-order.v1", order, {"reason": "bought twice"})
    failed = await shop.start({scarce: 50}, customer_id=customer)
    await shop.ended(failed)
    await shop.ended(order, 90)
    await shop.put(ORDERS_COMMANDS, shop.new_id("garbage").encode(), b"\xff not a command", [])
    await desk.go("/dashboard")
    await desk.sees("Balanced since")
    await desk.sees("Orders under way, by status")
    await desk.page.locator("svg.chart").first.wait_for(timeout=PATIENCE_MS * 2)
    letter = await letter_of(desk)
    return {
        "order": order,
        "waiting": held[-1],
        "letter": letter,
        "run": await run_of(desk, skus[1]),
        "plan": await plan_of(desk, f"/act/cancel/{quote(held[-1], safe='')}", "the customer ordered twice"),
        "letters": await plan_of(desk, f"/letters/discard?names={quote(letter, safe='')}", "nobody can read it"),
        "verdict": await verdict_of(desk, failed),
    }


async def plan_of(desk: Desk, path: str, why: str) -> str:
    """What the form there would do: the number of the plan's page."""
    await desk.go(path)
    await desk.page.get_by_label("Why").fill(why)
    await desk.page.get_by_role("button", name="Show what it would do").click()
    await desk.page.wait_for_url(re.compile(r"/acts/\d+$"))
    return desk.page.url.rsplit("/", 1)[1]


async def verdict_of(desk: Desk, ended: str) -> str:
    """An order that has ended is cancelled all the same: the number of the page that tells its rejection."""
    plan = await plan_of(desk, f"/act/cancel/{quote(ended, safe='')}", "the customer called once more")
    await desk.page.get_by_role("button", name="Cancel the order").click()
    await desk.sees("Rejected (too-late)")
    return plan


async def letter_of(desk: Desk) -> str:
    """The newest dead letter."""
    link = desk.page.locator("a[href^='/letters/one']").first

    async def listed() -> str | None:
        await desk.go("/letters")
        return await link.text_content() if await link.count() else None

    return await until(listed, "a letter is listed")


async def run_of(desk: Desk, sku: str) -> str:
    """A bulk run that is done."""
    await desk.go(f"/bulk?sku={sku}")
    await desk.page.get_by_label("Pause the order").check()
    await desk.page.get_by_label("Why").fill("the shelf is being counted")
    await desk.page.get_by_role("button", name="Count them and show the plan").click()
    await desk.page.get_by_role("button", name="Pause the order:").click()
    await desk.sees("It is done.")
    return desk.page.url.rsplit("/", 1)[1]


def path_of(name: str, orders: dict[str, str]) -> str:
    return PAGES[name].format(**{key: quote(value, safe="") for key, value in orders.items()})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
async def test_axe_finds_nothing_serious(desk: Desk, orders: dict[str, str], name: str, scheme: str) -> None:
    await desk.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await desk.whole(path_of(name, orders))
    assert await findings(desk.page) == []


@pytest.mark.parametrize("name", PAGES)
async def test_on_a_telephone_nothing_has_to_be_moved_sideways(desk: Desk, orders: dict[str, str], name: str) -> None:
    await desk.page.set_viewport_size(ViewportSize(width=PHONE[0], height=PHONE[1]))
    try:
        await desk.whole(path_of(name, orders))
        wide = await desk.page.evaluate("document.documentElement.scrollWidth")
    finally:
        await desk.page.set_viewport_size(ViewportSize(width=DESKTOP[0], height=DESKTOP[1]))
    assert wide <= PHONE[0]


async def test_what_takes_long_on_the_system_page_comes_by_itself(desk: Desk, orders: dict[str, str]) -> None:
    await desk.whole("/system")
    await desk.sees("orders.events.v1")
    await desk.sees("An order ends on the version that it began with.")


@pytest.mark.parametrize("name", ["orders-api", "recommendation-learner"])
async def test_the_system_page_tells_version_and_readiness_of_who_tells_no_progress(
    desk: Desk, orders: dict[str, str], name: str
) -> None:
    await desk.go("/system")
    card = desk.page.get_by_role("region", name=name)
    await expect(card).to_contain_text(re.compile(r"version [0-9a-f]{7}, ready"), timeout=PATIENCE_MS)
    await expect(card.locator(".badge")).to_have_text("well")
    await expect(desk.page.get_by_role("status").first).to_contain_text("Every service is well")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious_before_anybody_is_logged_in(
    chromium: Browser, desk: Desk, scheme: str
) -> None:
    context = await chromium.new_context(color_scheme="dark" if scheme == "dark" else "light")
    try:
        page = await context.new_page()
        await page.goto(f"{desk.base}/login")
        assert await findings(page) == []
    finally:
        await context.close()


@pytest.mark.skipif(not os.environ.get("SCREENSHOTS"), reason="`make screenshots` makes the pictures")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
async def test_pictures_of_every_page_are_made(
    chromium: Browser, desk: Desk, orders: dict[str, str], password: str, width: str, scheme: str
) -> None:
    made: list[Path] = []
    wide, high = WIDTHS[width]
    other = await log_in(
        chromium, desk.base, "admin", password, viewport=ViewportSize(width=wide, height=high),
        color_scheme="dark" if scheme == "dark" else "light",
    )  # fmt: skip
    suffix = f"{width}{'-dark' if scheme == 'dark' else ''}.png"
    try:
        for name in PAGES:
            await other.whole(path_of(name, orders))
            made.append(save(await whole(other.page), f"{name}-{suffix}"))
        await other.page.get_by_role("button", name="Log out").click()
        await other.page.wait_for_url("**/login")
        made.append(save(await whole(other.page), f"login-{suffix}"))
    finally:
        await other.context.close()
    assert max(len(picture.read_bytes()) for picture in made) < 200_000


async def whole(page: Page) -> bytes:
    """The page from its head, as far as a picture of it says something."""
    high = await page.evaluate("document.documentElement.scrollHeight")
    size = page.viewport_size
    assert size
    return await page.screenshot(
        full_page=True, clip={"x": 0, "y": 0, "width": size["width"], "height": min(high, LONGEST)}
    )


def save(png: bytes, name: str) -> Path:
    """Where it is kept. With 128 colours a page of text is a third as large and looks the same."""
    path = Path(os.environ["SCREENSHOTS"]) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    return path
