"""Asking the participants: all at once, never for long, and nobody's trouble is ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from messaging.errors import SettingsError
from services.orders.api.participants import Participants, addresses


class Others:
    """Three services in one; what `trouble` names answers badly."""

    def __init__(self) -> None:
        self.trouble: dict[str, str] = {}
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.path}?{request.query['order_id']}")
        match self.trouble.get(request.path):
            case "slow":
                await asyncio.sleep(30)
            case "busy":
                return web.json_response({"title": "Database busy"}, status=503)
            case "nonsense":
                return web.Response(text="<html>")
            case "no list":
                return web.json_response({"items": 7})
        return web.json_response({"items": [{"path": request.path}], "next": None})


@pytest.fixture
def others() -> Others:
    return Others()


@pytest.fixture
async def server(others: Others) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_get("/{path:.*}", others.answer)
    async with TestServer(app) as server:
        yield server


def asking(server: TestServer, **urls: str) -> Participants:
    url = str(server.make_url("")).rstrip("/")
    return Participants({"inventory": url, "payment": url, "notification": url, **urls}, deadline_s=2.0)


async def test_everybody_is_asked_about_the_order(server: TestServer, others: Others) -> None:
    participants = asking(server)
    found = await participants.ask("O &1")
    await participants.close()
    assert (found.movements, found.missing) == ([{"path": "/movements"}], ())
    assert sorted(others.asked) == [f"{path}?O &1" for path in ("/charges", "/gateway/entries", "/mails", "/movements")]


@pytest.mark.parametrize("trouble", ["slow", "busy", "nonsense", "no list"])
async def test_who_does_not_answer_is_missing_and_holds_nobody_up(
    server: TestServer, others: Others, trouble: str
) -> None:
    others.trouble = {"/gateway/entries": trouble, "/movements": trouble}
    participants = asking(server)
    began = time.monotonic()
    found = await participants.ask("O")
    await participants.close()
    assert time.monotonic() - began < 5
    assert found.missing == ("inventory", "payment")
    assert (found.movements, found.entries, found.charges) == ([], [], [{"path": "/charges"}])


async def test_who_is_not_there_at_all_is_missing(server: TestServer) -> None:
    participants = asking(server, notification="http://127.0.0.1:1")
    found = await participants.ask("O")
    await participants.close()
    assert found.missing == ("notification",)


def test_addresses_come_from_settings_and_default_to_the_table_of_ports() -> None:
    env: dict[str, Any] = {"PAYMENT_API_URL": "http://payment:80/"}
    assert addresses(env) == {
        "inventory": "http://127.0.0.1:8002",
        "notification": "http://127.0.0.1:8005",
        "payment": "http://payment:80",
    }
    with pytest.raises(SettingsError, match="INVENTORY_API_URL"):
        addresses({"INVENTORY_API_URL": " "})
