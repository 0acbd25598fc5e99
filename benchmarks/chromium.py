"""Pages in Chromium: how long from the moment that one goes there until what one came for can be seen."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urljoin

from playwright.async_api import Browser, BrowserContext, Error, Page, async_playwright

from devstack.errors import DevstackError


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's. Raises `DevstackError`."""
    program = shutil.which("chromium")
    if program is None:
        raise DevstackError("Chromium is missing; tests/browser/install.sh installs it, --no-browser goes without.")
    async with async_playwright() as playwright:
        # In its sandbox root may not start it; what it opens is our own page.
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        try:
            yield browser
        finally:
            await browser.close()


async def useful_after(browser: Browser, cookie: str, address: str, wanted: str, times: int) -> tuple[list[float], str]:
    """So many times the milliseconds until what one came for (`wanted`, a selector) is seen at the address; and, where it once
    was not, why that was the last time (else empty)."""
    seen: list[float] = []
    for _ in range(times):
        context = await browser.new_context()
        try:
            seen.append(await _useful(await _seat(context, cookie, address), address, wanted))
        except Error as error:
            return seen, " ".join(str(error).split())
        finally:
            await context.close()
    return seen, ""


async def _seat(context: BrowserContext, cookie: str, address: str) -> Page:
    """A browser that knows nothing of the console but its log-in page, where everybody begins."""
    # By the address of a page the cookie would hold for what is below that page alone.
    await context.add_cookies([{"name": "console_session", "value": cookie, "url": urljoin(address, "/")}])
    page = await context.new_page()
    await page.goto(urljoin(address, "/login"))
    return page


async def _useful(page: Page, address: str, wanted: str) -> float:
    began = time.perf_counter()
    await page.goto(address, wait_until="commit")
    await page.locator(wanted).first.wait_for(state="visible")
    return (time.perf_counter() - began) * 1000
