"""The live stream under many viewers, and over a restart of the console."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import AsyncExitStack

import aiohttp
import psutil
from e2e.shop import Shop
from e2e.stack import Place, Stack
from e2e.tools import orderctl
from playwright.async_api import expect
from waiting import until

from browser.desk import PATIENCE_MS, Desk

VIEWERS = 500
#: So many of them never read.
DEAF = 50
ORDERS = 550
#: What 500 viewers may cost together: a box of at most 500 orders each would be more, if boxes were not emptied.
MOST_BYTES = 150_000_000


def console_of(place: Place) -> psutil.Process:
    port = int(place.urls["console"].rsplit(":", 1)[1])
    found = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
    }
    (pid,) = found
    assert pid
    return psutil.Process(pid)


async def viewers(desk: Desk) -> float:
    """How many pages listen, as the console's own metrics tell."""
    async with aiohttp.ClientSession() as web, web.get(f"{desk.base}/metrics") as answer:
        found = re.search(r"^console_viewers (\S+)$", await answer.text(), re.MULTILINE)
    assert found
    return float(found[1])


async def deaf(base: str, cookies: dict[str, str]) -> socket.socket:
    """A viewer that asks for the stream and never reads it: what is sent to it fills the buffers between, and then waits."""
    host, port = base.removeprefix("http://").rsplit(":", 1)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (host, int(port)))
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    await loop.sock_sendall(
        connection, f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie}\r\n\r\n".encode()
    )
    return connection


async def test_500_viewers_each_hear_of_an_order_and_memory_stays_bounded(shop: Shop, desk: Desk, place: Place) -> None:
    cookies = {cookie["name"]: cookie["value"] for cookie in await desk.context.cookies()}
    process = console_of(place)
    before = process.memory_info().rss
    heard = [asyncio.Event() for _ in range(VIEWERS - DEAF)]
    order_id = shop.new_id("many")

    async def listen(stream: aiohttp.ClientResponse, told: asyncio.Event) -> None:
        async for line in stream.content:
            if order_id.encode() in line:
                told.set()

    async with AsyncExitStack() as opened:
        session = await opened.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookies=cookies,
                cookie_jar=aiohttp.CookieJar(unsafe=True),
                timeout=aiohttp.ClientTimeout(),
            )
        )
        tasks = []
        for told in heard:
            stream = await session.get(f"{desk.base}/live")
            assert stream.status == 200
            tasks.append(asyncio.create_task(listen(stream, told)))
        for _ in range(DEAF):
            opened.callback((await deaf(desk.base, cookies)).close)

        async def all_there() -> bool:
            return await viewers(desk) >= VIEWERS

        await until(all_there, "all viewers are there")
        grown = []
        for seed in ("1", "2", "3"):
            # More orders than a box holds; each of them has several events.
            done = await orderctl(place, "load", "--orders", str(ORDERS), "--rate", "50", "--seed", seed, timeout_s=300)
            assert done.returncode == 0, done.output[-2000:]
            grown.append(process.memory_info().rss - before)
        await shop.start({await shop.shelf(1): 1}, order_id=order_id)
        await asyncio.wait_for(asyncio.gather(*(told.wait() for told in heard)), 300)
        assert await viewers(desk) >= VIEWERS, "nobody was thrown out"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(
        f"\n{VIEWERS} viewers, {DEAF} of them deaf: {[round(each / 1e6, 1) for each in grown]} MB more after {ORDERS} orders each"
    )
    assert max(grown) < MOST_BYTES
    assert grown[2] - grown[1] < MOST_BYTES / 10, "once the boxes are full, what nobody reads does not pile up"

    async def gone() -> bool:
        return await viewers(desk) < 5

    await until(gone, "the viewers are forgotten")


async def test_a_page_says_that_the_stream_is_lost_and_goes_on_after_a_restart(
    shop: Shop, desk: Desk, stack: Stack
) -> None:
    sku, page = await shop.shelf(5), desk.page
    order_id = await shop.held({sku: 1})
    await desk.order(order_id)
    await stack.kill("console")
    await expect(page.locator("#stream")).to_contain_text("The stream is lost; reconnecting", timeout=PATIENCE_MS)
    await stack.wait_ready()
    await expect(page.locator("#stream")).to_be_hidden(timeout=PATIENCE_MS)
    await shop.approve(order_id)
    await desk.sees("Completed: the money is taken")


async def test_a_page_goes_on_over_a_restart_of_the_orders_api(shop: Shop, desk: Desk, stack: Stack) -> None:
    sku, page = await shop.shelf(5), desk.page
    order_id = await shop.held({sku: 1})
    await desk.go(f"/orders?sku={sku}")
    await desk.sees("It waits for a person to approve the payment.")
    await stack.kill("orders-api")
    await stack.wait_ready()
    await shop.approve(order_id)
    await shop.ended(order_id)
    # The line tells it in its place; nobody loaded the page again.
    await expect(page.locator("tr", has_text=order_id)).to_contain_text("Paid, and on its way.", timeout=PATIENCE_MS)


async def test_a_bulk_run_whose_console_is_killed_says_what_is_certain_and_goes_on(
    shop: Shop, desk: Desk, stack: Stack, place: Place
) -> None:
    sku, page = await shop.shelf(99), desk.page
    order_ids = await asyncio.gather(*(shop.held({sku: 1}) for _ in range(60)))
    await desk.go(f"/bulk?sku={sku}")
    await page.get_by_label("Cancel the order").check()
    await page.get_by_label("Why").fill("recalled")
    await page.get_by_role("button", name="Count them and show the plan").click()
    await page.get_by_role("button", name="Cancel the order: 60 orders").click()
    await expect(page.get_by_text("accepted", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    # At once: the run is over within seconds.
    console_of(place).kill()
    await stack.wait_ready()
    await desk.go(page.url.removeprefix(desk.base))
    await desk.sees("The console ended while it was at it.")
    await desk.sees("Each receipt below is for certain.")
    before = await page.get_by_text("accepted", exact=True).count()
    assert 0 < before < len(order_ids)
    await page.get_by_role("button", name=f"Go on with the {len(order_ids) - before} that are left").click()
    await desk.sees(re.compile(r"60 of 60 have their\s+verdict: 60 accepted, 0 rejected"))
    for order_id in order_ids:
        assert (await shop.ended(order_id)).short == "order-cancelled"
