"""What a container's health check says of the process beside it: the script itself, run as Docker runs it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "healthcheck.py"


async def check(port: int, *arguments: str) -> tuple[int, str]:
    """Its exit code and what it told."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-S", "-E", str(SCRIPT), *arguments),
        env={"HTTP_PORT": str(port)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, told.decode()


@asynccontextmanager
async def answering(**statuses: int) -> AsyncIterator[int]:
    """A process whose `/healthz` and `/readyz` answer so; its port."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, status=statuses[request.path.strip("/")])

    app = web.Application()
    app.add_routes([web.get(f"/{name}", answer) for name in statuses])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def saying(first: bytes) -> AsyncIterator[int]:
    """Somebody who says this to whoever connects, and hangs up; the port."""

    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        writer.close()

    async with await asyncio.start_server(say, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("healthz", "readyz", "code"), [(200, 200, 0), (503, 200, 1), (200, 503, 1), (503, 503, 1), (500, 200, 1)]
)
async def test_a_container_is_healthy_while_its_process_is_alive_and_ready(
    healthz: int, readyz: int, code: int
) -> None:
    async with answering(healthz=healthz, readyz=readyz) as port:
        assert await check(port) == (code, "")


async def test_a_process_that_does_not_know_the_question_is_not_healthy() -> None:
    async with answering(healthz=200) as port:
        assert (await check(port))[0] == 1


async def test_where_nobody_listens_it_says_so_and_is_not_healthy() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        code, told = await check(unused.getsockname()[1])
    assert code == 1
    assert told.startswith("error: ")
    assert "refused" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("first", [b"", b"200\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n"])
async def test_who_says_something_else_is_not_healthy(first: bytes) -> None:
    async with saying(first) as port:
        assert (await check(port))[0] == 1


@pytest.mark.parametrize(("greeting", "code"), [(b"220 here\r\n", 0), (b"421 not now\r\n", 1), (b"", 1)])
async def test_a_mail_server_is_healthy_where_it_greets(greeting: bytes, code: int) -> None:
    async with saying(greeting) as port:
        assert (await check(port, "smtp", str(port)))[0] == code
