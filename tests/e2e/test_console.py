"""The console, as a browser without scripts uses it: log in, look, step in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from html import unescape
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from contracts.topics import ORDERS_COMMANDS
from e2e.compose import ComposeStack
from e2e.shop import Shop
from e2e.stack import Place, Stack
from e2e.tools import orderctl

PASSWORD = "correct-horse-battery"


class Browser:
    """Cookies, and forms that are sent from the console's own pages."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base
        self.csrf = ""

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        async with self._session.get(self._base + path, **options) as answer:
            text = await answer.text()
        found = re.search(r'name="csrf" value="([^"]+)"', text)
        self.csrf = found[1] if found else self.csrf
        return answer.status, text

    async def post(
        self, path: str, form: Mapping[str, str], origin: str | None = None, csrf: str | None = None
    ) -> tuple[int, str]:
        data = {"csrf": self.csrf if csrf is None else csrf, **form}
        headers = {"Origin": origin or self._base}
        async with self._session.post(self._base + path, data=data, headers=headers) as answer:
            return answer.status, await answer.text()

    async def log_in(self, name: str, password: str) -> tuple[int, str]:
        return await self.post("/login", {"name": name, "password": password})

    async def choose(self, present: str, fresh: str) -> None:
        await self.get("/password")
        await self.post("/password", {"password": present, "fresh": fresh, "again": fresh})


def planned(text: str) -> str:
    """The command that a plan's page would send."""
    found = re.search(r'name="command_id" value="([^"]+)"', text)
    assert found, text
    return found[1]


def new_browser(place: Place) -> Browser:
    # Cookies of an IP address are kept only where that is asked for.
    jar = aiohttp.CookieJar(unsafe=True)
    return Browser(aiohttp.ClientSession(cookie_jar=jar), place.urls["console"])


@pytest.fixture(scope="module")
def one_time(stack: Stack | ComposeStack | None) -> str:
    """What the console printed at its first start; in containers, where that would stay in a log, what it prints when asked."""
    if stack is None:
        pytest.skip("a running stack's one-time password is not ours")
    printed = stack.log("console")
    found = re.search(r"one-time password (\S+)", printed)
    if isinstance(stack, ComposeStack):
        assert found is None
        assert "python -m services.console password admin" in printed
        return stack.run_in("console", "python", "-m", "services.console", "password", "admin").strip()
    assert found, printed
    return found[1]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def admin(place: Place, one_time: str) -> AsyncIterator[Browser]:
    browser = new_browser(place)
    try:
        await browser.log_in("admin", one_time)
        await browser.choose(one_time, PASSWORD)
        assert "Log out" in (await browser.log_in("admin", PASSWORD))[1]
        yield browser
    finally:
        await browser._session.close()


async def test_nothing_is_shown_to_who_is_not_logged_in(place: Place, admin: Browser) -> None:
    stranger = new_browser(place)
    try:
        for path in ("/orders", "/orders/O-1", "/system", "/acts", "/accounts", "/live", "/orders.csv", "/start"):
            status, text = await stranger.get(path)
            assert (status, "<h1>Log in</h1>" in text) == (200, True), path
        assert (await stranger.log_in("admin", "wrong"))[0] == 403
    finally:
        await stranger._session.close()


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


async def test_a_form_from_elsewhere_or_without_its_token_does_nothing(shop: Shop, admin: Browser) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1})
    form = {"step": "send", "reason": "no", "command_id": "forged"}
    path = f"/act/cancel/{quote(order_id)}"
    assert (await admin.post(path, form, origin="http://evil.example"))[0] == 403
    assert (await admin.post(path, form, csrf="guessed"))[0] == 403
    assert (await shop.order(order_id))["status"] == "AWAITING_APPROVAL"


async def test_a_viewer_sees_less_and_may_do_nothing(place: Place, shop: Shop, admin: Browser) -> None:
    await admin.get("/accounts")
    status, text = await admin.post("/accounts", {"name": "looker", "role": "viewer", "reason": "looks on"})
    found = re.search(r"one-time password of looker is <code>([^<]+)</code>", text)
    assert (status, bool(found)) == (200, True)
    assert found
    sku, customer = await shop.shelf(5), await shop.customer()
    order_id = await shop.held({sku: 1}, customer_id=customer)
    looker = new_browser(place)
    try:
        await looker.log_in("looker", found[1])
        await looker.choose(found[1], PASSWORD)
        await looker.log_in("looker", PASSWORD)
        status, text = await looker.get(f"/orders/{quote(order_id)}")
        assert (status, customer in text) == (200, False)
        assert "/act/" not in text
        form = {"step": "send", "reason": "no", "command_id": "x"}
        assert (await looker.post(f"/act/cancel/{quote(order_id)}", form))[0] == 403
        assert (await looker.get("/accounts"))[0] == 403
    finally:
        await looker._session.close()
    assert (await shop.order(order_id))["status"] == "AWAITING_APPROVAL"


async def seated(place: Place, admin: Browser, name: str, role: str) -> Browser:
    """Somebody of that role, logged in."""
    await admin.get("/accounts")
    text = (await admin.post("/accounts", {"name": name, "role": role, "reason": "joins us"}))[1]
    found = re.search(rf"one-time password of {name} is <code>([^<]+)</code>", text)
    assert found, text
    browser = new_browser(place)
    await browser.log_in(name, found[1])
    await browser.choose(found[1], PASSWORD)
    await browser.log_in(name, PASSWORD)
    return browser


async def planned_and_sent(browser: Browser, path: str, reason: str) -> None:
    """An action, from its plan to its verdict."""
    _, text = await browser.post(path, {"step": "plan", "reason": reason})
    found = re.search(r'name="command_id" value="([^"]+)"', text)
    assert found, text
    _, text = await browser.post(path, {"step": "send", "reason": reason, "command_id": found[1]})
    assert "Accepted." in text


async def test_the_support_desk_approves_and_may_not_step_into_the_machinery(
    place: Place, shop: Shop, admin: Browser
) -> None:
    order_id = await shop.held({await shop.shelf(5): 1})
    desk = await seated(place, admin, "supporter", "support")
    try:
        form = {"step": "plan", "reason": "the customer called"}
        await desk.get("/orders")
        for action in ("pause", "resume", "retry-now", "resolve"):
            assert (await desk.post(f"/act/{action}/{quote(order_id)}", form))[0] == 403
        for path in ("/bulk", "/letters/replay", "/letters/discard"):
            assert (await desk.post(path, {**form, "names": "orders/orders.commands.v1/0/0"}))[0] == 403
        assert not (await shop.order(order_id))["paused"]
        await planned_and_sent(desk, f"/act/approve/{quote(order_id)}", "the customer called")
    finally:
        await desk._session.close()
    assert (await shop.ended(order_id)).short == "order-completed"


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


#: What people wrote about a customer.
WRITTEN = "Zoe Smith of 1 Elm Road, zoe@example.org"


async def test_a_viewer_never_reads_a_customers_id_an_address_or_what_a_letter_says(
    place: Place, shop: Shop, admin: Browser
) -> None:
    if "INVENTORY_DATABASE_URL" not in place.env:
        pytest.skip("this stack does not tell where its databases are")
    sku, customer = await shop.shelf(9), await shop.customer()
    cancelled = await shop.held({sku: 1}, customer_id=customer)
    await planned_and_sent(admin, f"/act/cancel/{quote(cancelled)}", WRITTEN)
    await shop.ended(cancelled)
    key = shop.new_id("garbage")
    await shop.put(ORDERS_COMMANDS, key.encode(), WRITTEN.encode(), [("mine", WRITTEN.encode())])
    set_aside, stuck = shop.new_id("order"), shop.new_id("order")
    looker = await seated(place, admin, "onlooker", "viewer")
    # The database refuses both orders, one for good and one for now. Its error, which the service tells, says whom of.
    said = f"'refused: {customer}, {WRITTEN}'"
    refuse = f"""
        CREATE FUNCTION refuse_{shop.run}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.order_id = '{set_aside}' THEN RAISE EXCEPTION {said} USING ERRCODE = 'check_violation';
        ELSIF NEW.order_id = '{stuck}' THEN RAISE EXCEPTION {said}; END IF;
        RETURN NEW; END $$;
        CREATE TRIGGER refuse_{shop.run} BEFORE INSERT ON reservation FOR EACH ROW EXECUTE FUNCTION refuse_{shop.run}()"""
    inventory = await asyncpg.connect(place.env["INVENTORY_DATABASE_URL"], timeout=30)
    try:
        await inventory.execute(refuse)
        for order_id, told in ((set_aside, "inventory could not handle"), (stuck, WRITTEN)):
            await shop.start({sku: 1}, order_id=order_id, customer_id=customer)
            await until(admin, f"/why/{quote(order_id)}", told, shop)
        mine = (cancelled, set_aside, stuck)
        paths = [f"/{page}/{quote(one)}" for one in mine for page in ("orders", "why")]
        await until(admin, "/letters", key, shop)
        letters = await until(admin, "/letters", set_aside, shop)
        paths += [f"/letters/one?name={name}" for name in re.findall(r'/letters/one\?name=([^"]+)"', letters)]
        query = f"?customer={quote(customer)}"
        paths += ["/orders", f"/orders.csv{query}", "/letters", "/letters?state=all", "/system", "/acts", "/dashboard"]
        await until(admin, "/system", WRITTEN, shop)
        await _sees_nothing_of(looker, admin, paths, (customer, *WRITTEN.split(", ")))
        status, text = await looker.get(f"/orders.csv{query}")
        rows = [line for line in text.splitlines() if line.startswith(mine)]
        assert (status, len(rows), all(f",{customer[:2]}…," in row for row in rows)) == (200, 3, True)
    finally:
        await inventory.execute(f"DROP FUNCTION IF EXISTS refuse_{shop.run}() CASCADE")
        await inventory.close()
        await looker._session.close()
    await shop.saw(stuck, "stock-reserved")
    for name in set(
        re.findall(rf"[a-z]+/inventory\.commands\.v1/\d+/\d+(?=</a></td>(?:(?!<tr>).)*{set_aside})", letters, re.S)
    ):
        done = await orderctl(place, "dlq", "replay", name, "--operator", "me", "--reason", "mended")
        assert done.returncode == 0, done.stdout
    await shop.saw(set_aside, "stock-reserved")


async def _sees_nothing_of(viewer: Browser, admin: Browser, paths: list[str], written: tuple[str, ...]) -> None:
    read = set()
    for path in paths:
        status, text = await viewer.get(path)
        assert status == 200, path
        assert [words for words in written if words in unescape(text)] == [], path
        _, everything = await admin.get(path)
        read |= {path.split("?")[0].split("/")[1] for words in written if words in unescape(everything)}
    assert read >= {"orders", "orders.csv", "why", "letters", "acts", "system"}, "an operator reads it on these pages"


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


async def until(admin: Browser, path: str, wanted: str, shop: Shop) -> str:
    """The page, once it says so."""

    async def says() -> str | None:
        text = (await admin.get(path))[1]
        return text if wanted in text else None

    return await shop.eventually(says, f"{wanted!r} on {path}")


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
