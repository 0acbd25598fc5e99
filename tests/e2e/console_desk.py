"""The console, as a browser without scripts uses it: cookies, forms, and somebody who is logged in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import aiohttp

from e2e.shop import Shop
from e2e.stack import Place

PASSWORD = "correct-horse-battery"


class Browser:
    """Cookies, and forms that are sent from the console's own pages."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base
        self.csrf = ""

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        async with self._session.get(self._base + path, **options) as answer:
            text = await answer.text()
        found = re.search(r'name="csrf" value="([^"]+)"', text)
        self.csrf = found[1] if found else self.csrf
        return answer.status, text

    async def post(
        self, path: str, form: Mapping[str, str], origin: str | None = None, csrf: str | None = None
    ) -> tuple[int, str]:
        data = {"csrf": self.csrf if csrf is None else csrf, **form}
        headers = {"Origin": origin or self._base}
        async with self._session.post(self._base + path, data=data, headers=headers) as answer:
            return answer.status, await answer.text()

    async def log_in(self, name: str, password: str) -> tuple[int, str]:
        return await self.post("/login", {"name": name, "password": password})

    async def choose(self, present: str, fresh: str) -> None:
        await self.get("/password")
        await self.post("/password", {"password": present, "fresh": fresh, "again": fresh})


def planned(text: str) -> str:
    """The command that a plan's page would send."""
    found = re.search(r'name="command_id" value="([^"]+)"', text)
    assert found, text
    return found[1]


def new_browser(place: Place) -> Browser:
    # Cookies of an IP address are kept only where that is asked for.
    jar = aiohttp.CookieJar(unsafe=True)
    return Browser(aiohttp.ClientSession(cookie_jar=jar), place.urls["console"])


async def seated(place: Place, admin: Browser, name: str, role: str) -> Browser:
    """Somebody of that role, logged in."""
    await admin.get("/accounts")
    text = (await admin.post("/accounts", {"name": name, "role": role, "reason": "joins us"}))[1]
    found = re.search(rf"one-time password of {name} is <code>([^<]+)</code>", text)
    assert found, text
    browser = new_browser(place)
    await browser.log_in(name, found[1])
    await browser.choose(found[1], PASSWORD)
    await browser.log_in(name, PASSWORD)
    return browser


async def planned_and_sent(browser: Browser, path: str, reason: str) -> None:
    """An action, from its plan to its verdict."""
    _, text = await browser.post(path, {"step": "plan", "reason": reason})
    found = re.search(r'name="command_id" value="([^"]+)"', text)
    assert found, text
    _, text = await browser.post(path, {"step": "send", "reason": reason, "command_id": found[1]})
    assert "Accepted." in text


async def until(admin: Browser, path: str, wanted: str, shop: Shop) -> str:
    """The page, once it says so."""

    async def says() -> str | None:
        text = (await admin.get(path))[1]
        return text if wanted in text else None

    return await shop.eventually(says, f"{wanted!r} on {path}")
