"""What the participants have on record about an order, asked of their queries, all at once and never for long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from pydantic_core import from_json

from contracts.ports import HTTP_PORTS
from messaging.setting import Setting, Url, web_url

#: Nobody waits longer than this for a tape; who has not answered is missing on it.
ASK_DEADLINE_S: Final = 1.5
#: The most that a list of another service tells at once; an order has less.
_MOST: Final = "500"

_QUESTIONS: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "movements": ("inventory", "/movements", {}),
    "charges": ("payment", "/charges", {"limit": _MOST}),
    "entries": ("payment", "/gateway/entries", {"limit": _MOST}),
    "mails": ("notification", "/mails", {"limit": _MOST}),
}

_URLS: Final[dict[str, Url]] = {
    name: web_url(
        f"{name.upper()}_API_URL", HTTP_PORTS[name], f"where {name} tells what it has on record about an order"
    )
    for name in sorted({service for service, _, _ in _QUESTIONS.values()})
}
SETTINGS: Final[tuple[Setting, ...]] = tuple(_URLS.values())


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered, by question; `missing` names the services that did not answer."""

    movements: list[Any]
    charges: list[Any]
    entries: list[Any]
    mails: list[Any]
    missing: tuple[str, ...]


def addresses(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Where the participants' queries are: `INVENTORY_API_URL` and the like. Raises `SettingsError`."""
    return {name: url.read(env).rstrip("/") for name, url in _URLS.items()}


class Participants:
    """Asks over one session, which is opened with the first question."""

    def __init__(self, urls: Mapping[str, str], deadline_s: float = ASK_DEADLINE_S) -> None:
        self._urls = urls
        self._deadline_s = deadline_s
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, order_id: str) -> Answers:
        """Everything that is on record about the order. A service that is away, slow or answers nonsense is missing."""
        names = list(_QUESTIONS)
        found = await asyncio.gather(*(self._question(name, order_id) for name in names))
        answers = dict(zip(names, found, strict=True))
        missing = {_QUESTIONS[name][0] for name, items in answers.items() if items is None}
        return Answers(**{name: items or [] for name, items in answers.items()}, missing=tuple(sorted(missing)))

    async def _question(self, name: str, order_id: str) -> list[Any] | None:
        service, path, query = _QUESTIONS[name]
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        try:
            async with (
                asyncio.timeout(self._deadline_s),
                self._session.get(self._urls[service] + path, params={"order_id": order_id, **query}) as response,
            ):
                body = from_json(await response.read()) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None  # told as missing: whoever reads the tape sees whom to look after
        items = body.get("items") if isinstance(body, dict) else None
        return items if isinstance(items, list) else None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
