"""A worker's HTTP comes when its messages flow: what is imported first, when it comes, and what a taken port does."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from devstack.ports import free_port
from messaging import late_http
from messaging.late_http import Answers, answering
from messaging.settings import Settings, load_settings

WORKERS = ("orders", "inventory", "payment", "customer", "notification", "recommendation")
#: Longer than any test here takes.
NEVER_S = 60.0


def test_a_worker_imports_neither_http_nor_what_paints_tracebacks_before_it_works() -> None:
    program = f"""
import json, sys
for name in {WORKERS}:
    __import__(f"services.{{name}}.app")
print(json.dumps(sorted({{"aiohttp", "rich"}} & sys.modules.keys())))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert json.loads(told.stdout) == []


def settings_at(port: int) -> Settings:
    return load_settings("inventory", env={"HTTP_PORT": str(port)})


async def _ready() -> bool:
    return True


async def _progress(ask: bool) -> dict[str, Any]:
    return {"asked": ask}


def answers() -> Answers:
    return Answers({"service": "inventory"}, CollectorRegistry(), tuple, _ready, lambda: True, _progress)


async def told(port: int, path: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return await response.json()


async def test_it_answers_once_messages_flow_and_no_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_http, "AFTER_S", NEVER_S)
    port, flows, served = free_port(), asyncio.Event(), asyncio.Event()
    async with answering(settings_at(port), answers(), flows, served.set, lambda: None):
        with pytest.raises(aiohttp.ClientConnectorError):
            await told(port, "/healthz")
        flows.set()
        await served.wait()
        assert await told(port, "/healthz") == {"service": "inventory", "alive": True}
        assert await told(port, "/progress?ends=known") == {"asked": False}
        assert await told(port, "/progress") == {"asked": True}
    with pytest.raises(aiohttp.ClientConnectorError):
        await told(port, "/healthz")


async def test_it_answers_after_a_moment_where_no_messages_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_http, "AFTER_S", 0.01)
    port, served = free_port(), asyncio.Event()
    async with answering(settings_at(port), answers(), asyncio.Event(), served.set, lambda: None):
        await served.wait()
        assert (await told(port, "/readyz"))["ready"]


async def test_a_port_that_is_taken_stops_the_process_and_is_its_error() -> None:
    flows, stopped = asyncio.Event(), asyncio.Event()
    flows.set()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="address already in use"):
            async with answering(settings_at(taken.getsockname()[1]), answers(), flows, lambda: None, stopped.set):
                await stopped.wait()


async def test_who_is_stopped_before_it_answers_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_http, "AFTER_S", NEVER_S)
    served = asyncio.Event()
    async with answering(settings_at(free_port()), answers(), asyncio.Event(), served.set, lambda: None):
        pass
    assert not served.is_set()
