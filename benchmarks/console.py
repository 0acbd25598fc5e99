"""`python -m benchmarks console`: how soon the console's pages are useful, with a million orders and after a cold start."""

from __future__ import annotations

import asyncio
import re
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any, Final
from urllib.parse import quote

import aiohttp
import typer
import uvloop
from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.table import Table

from benchmarks.fleet import Fleet
from benchmarks.listing import fill
from benchmarks.place import Place, place
from contracts.topics import ORDERS_COMMANDS
from devstack.errors import DevstackError
from devstack.processes import SERVICES, WATCHER, service_processes
from messaging.clients import make_producer
from orderctl.importer import SAMPLE

#: By name: the address, and what one came for. `{ended}` and `{waiting}` are orders that went through the services.
PAGES: Final = {
    "orders": ("/orders", "tr[data-order]"),
    "orders, need a person": ("/orders?status=NEEDS_ATTENTION", "tr[data-order]"),
    "orders, failed": ("/orders?status=FAILED", "tr[data-order]"),
    "orders, wait for approval, oldest first": ("/orders?waiting_for=approval&sort=oldest", "tr[data-order]"),
    "orders, largest total first": ("/orders?sort=total", "tr[data-order]"),
    "orders, of a customer": ("/orders?customer=C-77", "tr[data-order]"),
    "orders, of a SKU": ("/orders?sku=S-77", "tr[data-order]"),
    "orders, by reason and age": ("/orders?reason=out-of-stock&older=2+hours", "tr[data-order]"),
    "orders, id begins with LIST-77": ("/orders?q=LIST-77", "tr[data-order]"),
    "orders, a later page": ("/orders?{after}", "tr[data-order]"),
    "one order, ended": ("/orders/{ended}", ".tape li"),
    "one order, waits": ("/orders/{waiting}", ".tape li"),
    "the same, until it tells why": ("/orders/{waiting}", ".chain li"),
    "why, alone": ("/why/{waiting}", ".chain li"),
    "dashboard": ("/dashboard", ".cards .card"),
    "dead letters": ("/letters", "section tr td"),
    "system": ("/system", ".services .card"),
    "start an order": ("/start", "form.stack"),
    "acts": ("/acts", "#main > *"),
}
LETTERS: Final = 1_000
_TIMES: Final = 20
_IN_CHROMIUM: Final = 5
_HEADERS: Final = ("page", "cold ms", "HTTP p50", "max", "Chromium p50", "max")


@dataclass(slots=True)
class Timed:
    """A page's times in ms: the first one of a console that has just started, over HTTP, and in Chromium until it is useful."""

    name: str
    cold: float
    http: list[float]
    seen: list[float]


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody who is logged in: where, and by which cookie."""

    base: str
    cookie: str


def console(
    orders: Annotated[int, typer.Option(help="Orders in the table.")] = 1_000_000,
    browser: Annotated[bool, typer.Option(help="Also in Chromium, which `make browser-tests` installs.")] = True,
) -> None:
    """How soon each page of the console is useful. The promise is a second."""
    out = Console(stderr=True)
    try:
        with place() as at:
            found = uvloop.run(_measure(at, orders, browser, out))
    except DevstackError as error:
        out.print(f"error: {error}", style="red")
        raise typer.Exit(1) from None
    table = Table(title=f"The console with {orders:,} orders and {LETTERS:,} dead letters, milliseconds")
    for header in _HEADERS:
        table.add_column(header, justify="left" if header == "page" else "right")
    for one in found:
        seen = (f"{median(one.seen):.0f}", f"{max(one.seen):.0f}") if one.seen else ("-", "-")
        table.add_row(one.name, f"{one.cold:.0f}", f"{median(one.http):.0f}", f"{max(one.http):.0f}", *seen)
    out.print(table)


async def _measure(at: Place, orders: int, browser: bool, out: Console) -> list[Timed]:
    settings = at.stack.settings
    await fill(settings.dsn("orders"), orders, out)
    fleet = Fleet(service_processes(settings, (*SERVICES, WATCHER)), settings.home)
    try:
        await fleet.start()
        names = await _shop(at, fleet)
        password = (settings.logs / "console.log").read_text().rsplit("one-time password ", 1)[1].split()[0]
        seat = await _log_in(fleet.urls["console"], password)
        found = [await _over_http(fleet, seat, name, path.format(**names)) for name, (path, _) in PAGES.items()]
        starts = [await _start(fleet) for _ in range(3)]
        out.print(f"From the start of the console's process to its log-in page: {median(starts):.2f} s")
        if browser:
            await _in_chromium(seat, names, found)
        return found
    finally:
        fleet.stop()


async def _shop(at: Place, fleet: Fleet) -> dict[str, str]:
    """Orders that went through the services, dead letters, and an order that waits; their names."""
    command = [sys.executable, "-m", "orderctl", "import", str(SAMPLE)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    async with _producer(at) as producer:
        for n in range(LETTERS):
            await producer.send(ORDERS_COMMANDS, b"\xff" * 300, f"garbage-{n}".encode())
    async with aiohttp.ClientSession(fleet.urls["orders-api"]) as http:
        (ended,) = await _items(http, "status=COMPLETED&limit=1")
        line = ended["items"][0]
        start = [
            "start",
            "--item",
            f"{line['sku']}:1",
            "--customer",
            ended["customer_id"],
            "--order-id",
            "WAITS-1",
            "--async",
        ]
        command = [sys.executable, "-m", "orderctl", *start]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
        async with http.get("/orders?limit=50&status=COMPLETED") as answer:
            after = (await answer.json())["next"]
    return {
        "ended": quote(ended["order_id"], safe=""),
        "waiting": "WAITS-1",
        "after": f"status=COMPLETED&after={quote(after)}",
    }


async def _items(http: aiohttp.ClientSession, query: str) -> list[dict[str, Any]]:
    async with http.get(f"/orders?{query}") as answer:
        found: list[dict[str, Any]] = (await answer.json())["items"]
        return found


@asynccontextmanager
async def _producer(at: Place) -> AsyncIterator[AIOKafkaProducer]:
    producer = make_producer(at.stack.settings.bootstrap, "benchmark")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def _log_in(base: str, one_time: str) -> Seat:
    """As a browser does it, with the one-time password and then a chosen one."""
    chosen = secrets.token_hex(8)
    async with aiohttp.ClientSession(base, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:

        async def post(path: str, **form: str) -> str:
            async with http.post(path, data=form, headers={"Origin": base}) as answer:
                answer.raise_for_status()
                return await answer.text()

        text = await post("/login", name="admin", password=one_time)
        csrf = re.findall(r'name="csrf" value="([^"]+)"', text)[-1]
        await post("/password", csrf=csrf, password=one_time, fresh=chosen, again=chosen)
        assert "Log out" in await post("/login", name="admin", password=chosen)
        (cookie,) = [cookie.value for cookie in http.cookie_jar]
    return Seat(base, cookie)


async def _over_http(fleet: Fleet, seat: Seat, name: str, path: str) -> Timed:
    fleet.stop("console")
    await fleet.start_alone("console")
    async with aiohttp.ClientSession(seat.base, cookies={"console_session": seat.cookie}) as http:
        cold, *times = [await _timed(http, path) for _ in range(_TIMES + 1)]
    return Timed(name, cold, times, [])


async def _timed(http: aiohttp.ClientSession, path: str) -> float:
    began = time.perf_counter()
    async with http.get(path, allow_redirects=False) as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answers {answer.status}")
    return (time.perf_counter() - began) * 1000


async def _start(fleet: Fleet) -> float:
    """Seconds from the start of the process to its first page."""
    fleet.stop("console")
    began = time.monotonic()
    ready = asyncio.create_task(fleet.start_alone("console"))
    await asyncio.sleep(0)
    async with aiohttp.ClientSession(fleet.specs["console"].address) as http:
        while True:
            try:
                async with http.get("/login") as answer:
                    await answer.read()
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
    took = time.monotonic() - began
    await ready
    return took


async def _in_chromium(seat: Seat, names: dict[str, str], found: list[Timed]) -> None:
    from benchmarks.chromium import useful_after  # noqa: PLC0415 - only who asks for it needs Playwright

    pages = [(path.format(**names), wanted) for path, wanted in PAGES.values()]
    for one, seen in zip(found, await useful_after(seat.base, seat.cookie, pages, _IN_CHROMIUM), strict=True):
        one.seen = seen
