"""What holds for every process, whoever adds one: it stands in the table of ports, and says how it is."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import aiohttp

from audit.watcher.__main__ import _serve, load_settings
from contracts.ports import HTTP_PORTS, WATCHER_PORT
from devstack.processes import SERVICES

ROOT = Path(__file__).parents[2]
WELL = {"/metrics": 200, "/healthz": 200, "/readyz": 200}
TABLE = (ROOT / "docs" / "operations.md").read_text().split("## Settings")[0]


def test_every_process_of_a_service_has_a_port_and_runs_in_the_stack() -> None:
    programs = {
        ".".join(path.relative_to(ROOT).parts[:-1])
        for path in (ROOT / "services").rglob("__main__.py")
        if "gateway" not in path.parts
    }
    assert {service.module for service in SERVICES} == programs
    assert {service.name for service in SERVICES} == HTTP_PORTS.keys()


def test_every_port_stands_in_the_table() -> None:
    ports = {int(found) for found in re.findall(r"^\|[^|]+\| (\d+)", TABLE, re.MULTILINE)}
    assert {*HTTP_PORTS.values(), WATCHER_PORT} <= ports
    assert "Every process serves `/metrics`, `/healthz` (is progress possible) and `/readyz`" in TABLE


async def test_the_watcher_says_how_it_is_though_nothing_that_it_watches_is_there() -> None:
    """The others are asked in `tests/e2e/test_queries.py`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nowhere = {f"{name.upper()}_DATABASE_URL": "postgresql:///x?host=/nowhere" for name in (*HTTP_PORTS, "gateway")}
    settings = load_settings({**nowhere, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    watcher = asyncio.create_task(_serve(settings, "127.0.0.1", port))
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as web:
            answers: dict[str, int] = {}
            while answers != WELL:
                for path in ("/metrics", "/healthz", "/readyz"):
                    try:
                        async with web.get(f"http://127.0.0.1:{port}{path}") as answer:
                            answers[path] = answer.status
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.05)
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    assert answers == WELL
