"""A stack of its own with a watcher, Debian's Chromium, and an operator who is logged in. `make browser-tests` runs these."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e.shop import Shop
from e2e.stack import Place, Stack, place_of, uses_running_stack
from playwright.async_api import Browser, async_playwright
from waiting import until

from browser.desk import PASSWORD, Desk, log_in

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all: they share the browser and the client."""
    for item in items:
        if (
            _HERE in item.path.parents
            and isinstance(item, pytest.Function)
            and asyncio.iscoroutinefunction(item.function)
        ):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def stack() -> Stack:
    return Stack(
        "browser",
        PAYMENT_FAILURE_RATE="0",
        DEVSTACK_WATCHER="1",
        WATCH_EVERY_S="2",
        WATCH_REST_S="2",
        # After the third failure, when an order needs a person, 25 s pass before the next attempt: time for the person.
        ORDER_POLICY_REFUND_BACKOFF_COEFFICIENT="5",
    )


@pytest.fixture(scope="session")
def place(stack: Stack) -> Iterator[Place]:
    if uses_running_stack():
        # `E2E_STACK=running`, its variables, and CONSOLE_PASSWORD: to look at it again and again while one works on the console.
        yield place_of(os.environ)
        return
    try:
        yield stack.up()
    finally:
        if not os.environ.get("E2E_KEEP"):
            stack.down(wipe=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(place: Place) -> AsyncIterator[Shop]:
    async with Shop(place) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    assert program, "tests/browser/install.sh installs Chromium"
    async with async_playwright() as playwright:
        # In its sandbox root may not start it; what it opens is our own page.
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def desk(place: Place, stack: Stack, chromium: Browser) -> AsyncIterator[Desk]:
    def printed() -> str | None:
        found = re.search(r"one-time password (\S+)", (Path(stack.home) / "logs" / "console.log").read_text())
        return found[1] if found else None

    password = os.environ.get("CONSOLE_PASSWORD") or await until(printed, "the one-time password")
    desk = await log_in(
        chromium, place.urls["console"], "admin", password, permissions=["clipboard-read", "clipboard-write"]
    )
    try:
        yield desk
    finally:
        await desk.context.close()


@pytest.fixture
def password(desk: Desk) -> str:
    """The admin's, once it has been chosen."""
    return PASSWORD
