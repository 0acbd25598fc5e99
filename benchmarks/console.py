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
from dataclasses import dataclass, field
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
from devstack.errors import NotReadyError
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
WAITS: Final = "WAITS-1"
_WAITS_WITHIN_S: Final = 30.0
_TIMES: Final = 20
_IN_CHROMIUM: Final = 5
_HEADERS: Final = ("page", "cold ms", "HTTP p50", "max", "Chromium p50", "max")


@dataclass(slots=True)
class Timed:
    """A page's times in ms: the first one of a console that has just started, over HTTP, and in Chromium until it is useful.
    `failed`: why there are none, or not all."""

    name: str
    cold: list[float] = field(default_factory=list)
    http: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody who is logged in: where, and by which cookie."""

    base: str
    cookie: str


def console(
    orders: Annotated[int, typer.Option(help="Orders in the table.")] = 1_000_000,
    browser: Annotated[bool, typer.Option(help="Also in Chromium, which `make browser-tests` installs.")] = True,
    only: Annotated[str, typer.Option(help="Only the pages with this in their name, or else in their address.")] = "",
) -> None:
    """How soon each page of the console is useful. The promise is a second."""
    out = Console(stderr=True)
    pages = _chosen(only)
    if not pages:
        out.print(f"error: no page is called {only!r}; there are: {', '.join(PAGES)}.", style="red", markup=False)
        raise typer.Exit(2)
    with place() as at:
        found = uvloop.run(_measure(at, pages, orders, browser, out))
    table = Table(title=f"The console with {orders:,} orders and {LETTERS:,} dead letters, milliseconds")
    for header in _HEADERS:
        table.add_column(header, justify="left" if header == "page" else "right")
    for one in found:
        table.add_row(one.name, *_cells(one.cold)[:1], *_cells(one.http), *_cells(one.seen))
    out.print(table)
    failed = [one for one in found if one.failed]
    for one in failed:
        out.print(f"failed: {one.name}: {one.failed}", style="red", markup=False)
    raise typer.Exit(1 if failed else 0)


def _chosen(only: str) -> dict[str, tuple[str, str]]:
    named = {name: page for name, page in PAGES.items() if only in name}
    return named or {name: page for name, page in PAGES.items() if only in page[0]}


def _cells(times: list[float]) -> tuple[str, str]:
    return (f"{median(times):.0f}", f"{max(times):.0f}") if times else ("-", "-")


async def _measure(
    at: Place, pages: dict[str, tuple[str, str]], orders: int, browser: bool, out: Console
) -> list[Timed]:
    settings = at.stack.settings
    await fill(settings.dsn("orders"), orders, out)
    fleet = Fleet(service_processes(settings, (*SERVICES, WATCHER)), settings.home)
    try:
        await fleet.start()
        names = await _shop(at, fleet)
        password = (settings.logs / "console.log").read_text().rsplit("one-time password ", 1)[1].split()[0]
        seat = await _log_in(fleet.urls["console"], password)
        found = [Timed(name) for name in pages]
        for one in found:
            await _over_http(fleet, seat, one, pages[one.name][0].format(**names))
            out.print(f"over HTTP: {one.name}: {one.failed or '/'.join(_cells(one.http))}", markup=False)
        starts = [await _start(fleet) for _ in range(3)]
        out.print(f"From the start of the console's process to its log-in page: {median(starts):.2f} s")
        if browser:
            await _in_chromium(seat, pages, names, found, out)
        return found
    finally:
        fleet.stop()


async def _shop(at: Place, fleet: Fleet) -> dict[str, str]:
    """Orders that went through the services, dead letters, and an order that waits; their names."""
    await _orderctl("import", str(SAMPLE))
    async with _producer(at) as producer:
        for n in range(LETTERS):
            await producer.send(ORDERS_COMMANDS, b"\xff" * 300, f"garbage-{n}".encode())
    async with aiohttp.ClientSession(fleet.urls["orders-api"]) as http:
        (ended,) = await _items(http, "status=COMPLETED&limit=1")
        sku = ended["items"][0]["sku"]
        # The import's customers bought all there was: without more an order would fail, and not wait.
        await _orderctl("receive-stock", sku, "5")
        start = ("start", "--item", f"{sku}:1", "--customer", ended["customer_id"], "--order-id", WAITS)
        await _orderctl(*start, "--approval-timeout", "86400", "--async")
        await _until_it_waits(http)
        async with http.get("/orders?limit=50&status=COMPLETED") as answer:
            after = (await answer.json())["next"]
    return {
        "ended": quote(ended["order_id"], safe=""),
        "waiting": WAITS,
        "after": f"status=COMPLETED&after={quote(after)}",
    }


async def _orderctl(*words: str) -> None:
    command = [sys.executable, "-m", "orderctl", *words]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)


async def _until_it_waits(http: aiohttp.ClientSession) -> None:
    """Raises `NotReadyError` where the order does something else: its page would be another one than the one that is meant."""
    deadline = time.monotonic() + _WAITS_WITHIN_S
    while True:
        async with http.get(f"/orders/{WAITS}") as answer:
            order = await answer.json()
        if order.get("waiting_for") == "approval":
            return
        if time.monotonic() > deadline or order.get("reason"):
            raise NotReadyError(
                f"{WAITS} should wait for approval, and is {order.get('status')} ({order.get('reason')})."
            )
        await asyncio.sleep(0.1)


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


async def _over_http(fleet: Fleet, seat: Seat, one: Timed, path: str) -> None:
    """Fills in the page's times over HTTP, or why there are none: the other pages are measured all the same."""
    fleet.stop("console")
    await fleet.start_alone("console")
    try:
        async with aiohttp.ClientSession(seat.base, cookies={"console_session": seat.cookie}) as http:
            one.cold.append(await _timed(http, path))
            for _ in range(_TIMES):
                one.http.append(await _timed(http, path))
    except (RuntimeError, aiohttp.ClientError, TimeoutError) as error:
        one.failed = f"over HTTP: {error or type(error).__name__}"


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


async def _in_chromium(
    seat: Seat, pages: dict[str, tuple[str, str]], names: dict[str, str], found: list[Timed], out: Console
) -> None:
    """Fills in the pages' times in Chromium, or what kept one from being seen."""
    from benchmarks.chromium import chromium, useful_after  # noqa: PLC0415 - only who asks for it needs Playwright

    async with chromium() as browser:
        for one in found:
            path, wanted = pages[one.name]
            address = seat.base + path.format(**names)
            one.seen, why = await useful_after(browser, seat.cookie, address, wanted, _IN_CHROMIUM)
            one.failed = one.failed or why
            out.print(f"in Chromium: {one.name}: {why or '/'.join(_cells(one.seen))}", markup=False)
