"""Orders at the console, as a browser without scripts uses it: look, find, step in."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote

import aiohttp

from e2e.compose import ComposeStack
from e2e.console_desk import Browser, planned, until
from e2e.shop import Shop
from e2e.stack import Stack


async def test_an_order_is_seen_with_its_state_in_words_and_approved_after_its_plan(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(5, 99)
    order_id = await shop.held({sku: 2})
    status, text = await admin.get("/orders")
    assert status == 200
    assert order_id in text
    status, text = await admin.get(f"/orders/{quote(order_id)}")
    assert (status, "It waits for a person to approve the payment." in text) == (200, True)
    assert "1.98 GBP" in text
    form = {"step": "plan", "reason": "the customer called"}
    status, text = await admin.post(f"/act/approve/{quote(order_id)}", form)
    assert (status, "It would be accepted" in text, "charge 1.98 GBP" in text) == (200, True, True)
    assert (await shop.order(order_id))["status"] == "AWAITING_APPROVAL"
    sent = {"step": "send", "command_id": planned(text)}
    for _ in range(2):  # pressed twice it is one command
        status, text = await admin.post(f"/act/approve/{quote(order_id)}", sent)
        assert (status, "Accepted." in text) == (200, True)
    await shop.ended(order_id)
    status, text = await admin.get(f"/orders/{quote(order_id)}")
    assert "Completed: the money is taken" in text
    assert "the customer called" in text
    assert len(await shop.charges(order_id)) == 1


async def test_a_plan_that_would_be_refused_says_so_and_a_reason_is_asked_for(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1})
    status, text = await admin.post(f"/act/cancel/{quote(order_id)}", {"step": "plan", "reason": " "})
    assert (status, "Say why" in text) == (400, True)
    await shop.approve(order_id)
    await shop.ended(order_id)
    status, text = await admin.post(f"/act/cancel/{quote(order_id)}", {"step": "plan", "reason": "late"})
    assert (status, "It would be rejected (too-late)" in text) == (200, True)
    # Sent all the same it is refused, and that stands on record with who and why.
    sent = {"step": "send", "command_id": planned(text)}
    status, text = await admin.post(f"/act/cancel/{quote(order_id)}", sent)
    assert (status, "Rejected (too-late)" in text) == (200, True)
    for where in (f"/orders/{quote(order_id)}", "/acts"):
        text = (await admin.get(where))[1]
        assert re.search(r"<td>admin [^\n]*<td>late</td><td><a[^>]*>rejected: too-late", text), where


async def test_without_a_plan_nothing_is_sent(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(5)
    order_id, other = await shop.held({sku: 1}), await shop.held({sku: 1})
    path = f"/act/cancel/{quote(order_id)}"
    _, text = await admin.post(f"/act/cancel/{quote(other)}", {"step": "plan", "reason": "of another order"})
    for command_id in ("", "made-up", planned(text)):
        form = {"step": "send", "reason": "no plan", "command_id": command_id}
        status, text = await admin.post(path, form)
        assert (status, "There is no plan of yours for this." in text) == (409, True)
    assert {(await shop.order(one))["status"] for one in (order_id, other)} == {"AWAITING_APPROVAL"}


async def test_markup_in_an_id_is_shown_as_text(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(5)
    order_id = f"<b>{sku}</b>\"&'"
    await shop.start({sku: 1}, order_id=order_id)
    status, text = await admin.get(f"/orders/{quote(order_id, safe='')}")
    assert status == 200
    assert order_id not in text
    assert order_id in unescape(text)


async def test_an_id_that_ends_like_a_page_of_the_console_is_an_id(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(5)
    order_id = f"{sku}/why"
    await shop.start({sku: 1}, order_id=order_id)
    status, text = await admin.get(f"/orders/{quote(order_id)}")
    assert (status, f"<title>{order_id}" in text) == (200, True)
    assert (await admin.get(f"/why/{quote(order_id)}"))[0] == 200


async def test_a_body_is_read_as_it_was_written_and_stays_text(shop: Shop, admin: Browser) -> None:
    order_id = await shop.held({await shop.shelf(5): 1})
    said = "Zoë O'Brien & 日本 <script>alert(1)</script>"
    await shop.send("orders.cancel-order.v1", order_id, {"reason": said})
    await shop.ended(order_id)
    status, text = await admin.get(f"/orders/{quote(order_id)}")
    assert (status, "<script>alert" in text) == (200, False)
    bodies = re.findall(r"<summary>[←→] (\S+ \d+/\d+)</summary>.*?<pre>(.*?)</pre>", text, re.DOTALL)
    (place,) = [place for place, body in bodies if f'"reason": "{said}"' in unescape(body)]
    assert place.startswith("orders.commands.v1 ")


async def test_why_and_system_and_export_answer(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1})
    status, text = await admin.get(f"/why/{quote(order_id)}")
    assert (status, "approval" in text) == (200, True)
    status, text = await admin.get("/system")
    assert (status, "notification" in text, "Retry policies" in text) == (200, True, True)
    status, text = await admin.get("/system/topics")
    assert (status, "orders.events.v1" in text) == (200, True)
    status, text = await admin.get("/system/versions")
    assert status == 200
    assert re.search(r"<td>order</td><td>2[^<]*</td><td class=.num.>[1-9]", text)
    status, text = await admin.get("/orders.csv?status=AWAITING_APPROVAL")
    assert (status, order_id in text) == (200, True)
    assert (await admin.get("/orders/NO-SUCH-ORDER"))[0] == 404


async def test_orders_are_found_by_the_beginning_of_their_id_by_sku_and_by_reason(shop: Shop, admin: Browser) -> None:
    sku, other = await shop.shelf(5), await shop.shelf(1)
    held, failed = await shop.held({sku: 1}), await shop.start({other: 2})
    await shop.ended(failed)
    status, text = await admin.get(f"/orders?sku={quote(sku)}&sort=oldest")
    assert (status, held in text, failed in text) == (200, True, False)
    status, text = await admin.get(f"/orders?sku={quote(other)}&reason=out-of-stock")
    assert (status, held in text, failed in text) == (200, False, True)
    status, text = await admin.get(f"/orders?q={quote(held[:-1])}&sku=")
    assert (status, held in text) == (200, True)
    status, text = await admin.get("/orders?q=NOBODY-HAS-THIS")
    assert (status, "No order matches these filters" in text) == (200, True)
    status, text = await admin.get("/orders?older=soon")
    assert (status, "10 minutes" in text) == (400, True)
    assert (await admin.get("/orders.csv?older=soon"))[0] == 400
    status, text = await admin.get("/no-such-page")
    assert (status, "No such page" in text) == (404, True)


async def test_the_dashboard_says_what_it_does_not_know_and_shows_the_rest(
    shop: Shop, admin: Browser, stack: Stack | ComposeStack | None
) -> None:
    # The first of all that are sold out: other tests leave more of them than the page shows.
    sku = shop.new_id("0-sku")
    await shop.receive(sku, 2, unit_price_minor=250)
    order_id = await shop.held({sku: 2})
    status, text = await admin.get("/dashboard")
    assert (status, sku in text) == (200, True)
    assert order_id
    if isinstance(stack, ComposeStack):  # a watcher runs there, and none beside a stack of devstack's
        await until(admin, "/dashboard", "Balanced since", shop)
    else:
        assert "Not known: the watcher does not answer" in text
        assert "Balanced since" not in text


async def test_the_stream_tells_which_order_changed(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1})
    address = admin._base + f"/live?order={quote(order_id)}"
    async with admin._session.get(address, timeout=aiohttp.ClientTimeout(total=30)) as stream:
        assert b"state" in await stream.content.readline()
        await shop.approve(order_id)
        async for line in stream.content:
            if line.startswith(b"data:") and order_id.encode() in line:
                break
        else:
            raise AssertionError("the stream ended without a word about the order")
