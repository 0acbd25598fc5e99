"""An operator at the console, in a real browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

PASSWORD: Final = "correct-horse-battery"
AXE: Final = sorted((Path(__file__).resolve().parents[2] / ".browser").glob("axe-*.min.js"))
DESKTOP: Final = (1280, 800)
PHONE: Final = (375, 740)
#: A page may take so long on a machine that does other things as well.
PATIENCE_MS: Final = 30_000
#: No page has more in front of what is looked for.
MOST_TABS: Final = 80


@dataclass(slots=True)
class Desk:
    """A page of somebody who is logged in."""

    base: str
    context: BrowserContext
    page: Page

    async def go(self, path: str) -> None:
        """Open a page of the console."""
        await self.page.goto(self.base + path)

    async def whole(self, path: str) -> None:
        """Open a page, and wait for the parts of it that come later."""
        await self.go(path)
        await expect(self.page.locator("[data-part]:not([data-state=''])")).to_have_count(0, timeout=PATIENCE_MS)

    async def order(self, order_id: str) -> None:
        """Open an order's page."""
        await self.go(f"/orders/{quote(order_id, safe='')}")

    async def act(self, order_id: str, link: str, **fields: str) -> None:
        """From the order's page through form and plan to the verdict."""
        page = self.page
        await self.order(order_id)
        await page.get_by_role("link", name=link, exact=True).click()
        for label, value in fields.items():
            await page.get_by_label(label, exact=True).fill(value)
        await page.get_by_label("Why").fill("the customer called")
        await page.get_by_role("button", name="Show what it would do").click()
        await self.sees("It would be accepted")
        await page.locator("form[method=post] button:not(.quiet)").last.click()
        await self.sees("Accepted.")

    async def sees(self, text: str | re.Pattern[str]) -> None:
        """The text comes to stand on the page."""
        await expect(self.page.locator("#main")).to_contain_text(text, timeout=PATIENCE_MS)

    async def tab_to(self, wanted: Locator) -> None:
        """Go on with the Tab key, as who has no mouse, until it has the keys."""
        for _ in range(MOST_TABS):
            if await wanted.evaluate("one => one === document.activeElement"):
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"{MOST_TABS} times Tab did not lead to {wanted}")


async def log_in(browser: Browser, base: str, name: str, password: str, **options: Any) -> Desk:
    """A context of its own, logged in; a one-time password is changed to `PASSWORD` on the way."""
    context = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    desk = Desk(base, context, page)
    await _say_who(page, base, name, password)
    if page.url.endswith("/password"):
        await page.get_by_label("Present password").fill(password)
        await page.get_by_label("New password").fill(PASSWORD)
        await page.get_by_label("Once more").fill(PASSWORD)
        await page.get_by_role("button", name="Set the password").click()
        await _say_who(page, base, name, PASSWORD)
    await expect(page.get_by_role("button", name="Log out")).to_be_visible(timeout=PATIENCE_MS)
    return desk


async def _say_who(page: Page, base: str, name: str, password: str) -> None:
    await page.goto(f"{base}/login")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(re.compile(r"/(orders|password)$"))


async def findings(page: Page) -> list[str]:
    """What axe finds serious or critical on the page."""
    # Through the debugger's door: the console's own policy lets no script in but its own.
    await page.evaluate(AXE[-1].read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {', '.join(' '.join(map(str, node['target'])) for node in one['nodes'][:3])}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
