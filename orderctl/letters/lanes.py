"""Asking the services which keys wait behind a letter."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from orderctl.errors import ApiError, ApiUnreachableError, UsageError
from orderctl.http import Api

_TIMEOUT_S = 5.0

#: By service and key, as the service tells it.
Lanes = dict[tuple[str, str], dict[str, Any]]


async def ask_lanes(processes: Mapping[str, tuple[str, ...]]) -> tuple[Lanes, list[str]]:
    """The lanes of all services, and the services of which no process answers."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session:
        asked = (_first_answer(session, name, urls) for name, urls in processes.items())
        answers = dict(zip(processes, await asyncio.gather(*asked), strict=True))
    found = {(name, lane["key"]): lane for name, lanes in answers.items() for lane in lanes or ()}
    return found, sorted(name for name, lanes in answers.items() if lanes is None)


async def _first_answer(session: aiohttp.ClientSession, name: str, urls: tuple[str, ...]) -> list[Any] | None:
    """Any process of a service answers for all of them."""
    for url in urls:
        try:
            return await Api(session, name, url).get_all("/lanes", {"limit": "500"})
        except (ApiUnreachableError, ApiError, UsageError):
            continue
    return None
