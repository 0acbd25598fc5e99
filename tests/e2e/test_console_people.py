"""Who may do and see what at the console, on a stack that runs."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote

import asyncpg
import pytest

from contracts.topics import ORDERS_COMMANDS
from e2e.console_desk import PASSWORD, Browser, new_browser, planned_and_sent, seated, until
from e2e.shop import Shop
from e2e.stack import Place
from e2e.tools import orderctl

#: What people wrote about a customer.
WRITTEN = "Zoe Smith of 1 Elm Road, zoe@example.org"


async def test_nothing_is_shown_to_who_is_not_logged_in(place: Place, admin: Browser) -> None:
    stranger = new_browser(place)
    try:
        for path in ("/orders", "/orders/O-1", "/system", "/acts", "/accounts", "/live", "/orders.csv", "/start"):
            status, text = await stranger.get(path)
            assert (status, "<h1>Log in</h1>" in text) == (200, True), path
        assert (await stranger.log_in("admin", "wrong"))[0] == 403
    finally:
        await stranger._session.close()


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
