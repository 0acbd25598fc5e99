"""Pages in Chromium: how long from the moment that one goes there until what one came for can be seen."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence

from playwright.async_api import Browser, Page, async_playwright

from devstack.errors import DevstackError


async def useful_after(base: str, cookie: str, pages: Sequence[tuple[str, str]], times: int) -> list[list[float]]:
    """For each page (its path, and the selector of what one came for) the milliseconds, so many times. Raises `DevstackError`."""
    program = shutil.which("chromium")
    if program is None:
        raise DevstackError("Chromium is missing; tests/browser/install.sh installs it, --no-browser goes without.")
    async with async_playwright() as playwright:
        # In its sandbox root may not start it; what it opens is our own page.
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        try:
            found = []
            for path, wanted in pages:
                found.append(
                    [await _useful(await _seat(browser, base, cookie), base + path, wanted) for _ in range(times)]
                )
            return found
        finally:
            await browser.close()


async def _seat(browser: Browser, base: str, cookie: str) -> Page:
    """A browser that knows nothing of the console but its log-in page, where everybody begins."""
    context = await browser.new_context()
    await context.add_cookies([{"name": "console_session", "value": cookie, "url": base}])
    page = await context.new_page()
    await page.goto(f"{base}/login")
    return page


async def _useful(page: Page, address: str, wanted: str) -> float:
    began = time.perf_counter()
    await page.goto(address, wait_until="commit")
    await page.locator(wanted).first.wait_for(state="visible")
    took = (time.perf_counter() - began) * 1000
    await page.context.close()
    return took
