"""Dead letters and many orders at once at the console, as a browser without scripts uses it."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from urllib.parse import quote, unquote

from contracts.topics import ORDERS_COMMANDS
from e2e.console_desk import Browser, planned, until
from e2e.shop import Shop


async def test_a_dead_letter_is_shown_as_text_and_bytes_and_discarded_after_its_plan(
    shop: Shop, admin: Browser
) -> None:
    key = shop.new_id("garbage")
    await shop.put(ORDERS_COMMANDS, key.encode(), b"\xff<b>bold</b>", [("mine", b"<i>")])

    async def listed() -> str | None:
        found = re.search(
            rf'name=([^"]+)">[^<]+</a></td>(?:(?!<tr>).)*{key}', (await admin.get("/letters"))[1], re.DOTALL
        )
        return found[1] if found else None

    name = await shop.eventually(listed, "the letter on the page")
    status, text = await admin.get(f"/letters/one?name={name}")
    assert (status, "<b>bold" in text, "ff 3c 62 3e 62 6f 6c 64" in text) == (200, False, True)
    assert "<b>bold</b>" in unescape(text)
    await admin.get(f"/letters/discard?names={name}")
    said = {"names": unquote(name), "reason": "it is noise"}
    status, text = await admin.post("/letters/discard", {"step": "plan", "names": unquote(name), "reason": ""})
    assert (status, "Say why" in text) == (400, True)
    status, text = await admin.post("/letters/discard", {"step": "plan", **said})
    assert (status, "1 of 1 would be given up" in text) == (200, True)
    sent = {"step": "send", "command_id": planned(text)}
    # A link does nothing, and neither does a press on a button of which no plan is known.
    status, text = await admin.get(f"/letters/discard?step=send&names={name}&reason=x&command_id={sent['command_id']}")
    assert (status, "Show what it would do" in text) == (200, True)
    assert (await admin.post("/letters/discard", {"step": "send", **said}))[0] == 409
    assert "is given up" not in (await admin.get("/acts"))[1]
    for _ in range(2):  # pressed twice it is sent once
        status, text = await admin.post("/letters/discard", sent)
        assert (status, "it is given up" in text) == (200, True)
    status, text = await admin.post("/letters/discard", {"step": "plan", **said})
    assert (status, "it is discarded already" in text) == (200, True)
    text = (await admin.get("/acts"))[1]
    assert re.search(r"<td>admin [^\n]*<td>discard-letter</td>[^\n]*<td>it is noise</td>[^\n]*it is given up", text)


async def test_many_orders_are_cancelled_after_their_plan_with_a_receipt_each(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(9)
    order_ids = [await shop.held({sku: 1}) for _ in range(3)]
    status, text = await admin.get(f"/bulk?sku={quote(sku)}")
    assert (status, f"SKU {sku}" in unescape(text)) == (200, True)
    form = {"sku": sku, "action": "cancel", "rate": "50.0"}
    status, text = await admin.post("/bulk", {**form, "reason": ""})
    assert (status, "Say why" in text) == (400, True)
    status, text = await admin.post("/bulk", {**form, "reason": "recalled"})
    found = re.search(r'action="(/bulk/[0-9a-f]+)"', text)
    assert (status, bool(found)) == (200, True)
    assert found
    text = await until(admin, found[1], "3 would be accepted", shop)
    assert f"release {sku} × 3" in unescape(text)
    assert {(await shop.order(one))["status"] for one in order_ids} == {"AWAITING_APPROVAL"}
    await admin.post(found[1], {"step": "go"})
    text = await until(admin, found[1], "It is done.", shop)
    assert "3 of 3 have their verdict: 3 accepted, 0 rejected." in " ".join(text.split())
    assert all(order_id in text for order_id in order_ids)
    for order_id in order_ids:
        await shop.ended(order_id)
    status, text = await admin.get(f"{found[1]}.csv")
    assert (status, text.count(",accepted,")) == (200, 3)
    text = (await admin.get("/acts"))[1]
    assert ("bulk cancel" in text, "3 accepted" in text) == (True, True)
    assert "recalled" in (await admin.get(f"/orders/{quote(order_ids[0])}"))[1]


async def test_a_bulk_run_is_stopped_and_goes_on_where_it_stopped(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(99)
    order_ids = await asyncio.gather(*(shop.held({sku: 1}) for _ in range(60)))
    form = {"sku": sku, "action": "pause", "rate": "10.0", "reason": "stocktaking"}
    await admin.get("/bulk")
    found = re.search(r'action="(/bulk/[0-9a-f]+)"', (await admin.post("/bulk", form))[1])
    assert found
    await until(admin, found[1], "60 would be accepted", shop)
    await admin.post(found[1], {"step": "go"})
    await until(admin, found[1], ">accepted</span>", shop)
    await admin.post(found[1], {"step": "stop"})
    text = await until(admin, found[1], "It stopped.", shop)
    left = re.search(r"Go on with the (\d+) that are left", text)
    assert left
    assert 0 < int(left[1]) < 60
    await admin.post(found[1], {"step": "go"})
    await until(admin, found[1], "It is done.", shop)
    assert {(await shop.order(order_id))["paused"] for order_id in order_ids} == {True}
