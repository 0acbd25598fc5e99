"""How orders end, and what they leave behind: stock, money, mail."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from e2e.shop import Shop
from e2e.tools import orderctl


async def test_an_auto_approved_order_completes_with_its_stock_shipped_one_charge_and_one_mail(shop: Shop) -> None:
    sku, customer, order_id = await shop.shelf(10, 250), await shop.customer(), shop.new_id("order")
    env = {
        "ORDER_ID": order_id,
        "USER_ID": customer,
        "AUTO_APPROVE": "true",
        "WORKFLOW_TYPE": "order",
        "ASYNC": "false",
    }
    done = await orderctl(shop.place, "start", "--item", f"{sku}:3", env=env)
    assert done.returncode == 0, done.output
    end = await shop.ended(order_id)  # what orderctl has heard, the journal may be about to read
    told = [kind for kind in shop.kinds(order_id) if kind != "command-accepted"]
    assert told == [
        "order-started",
        "order-enriched",
        "stock-reserved",
        "payment-approved",
        "payment-captured",
        "order-completed",
    ]
    assert end.data["items"] == [{"sku": sku, "quantity": 3, "unit_price_minor": 250}]
    assert (end.data["total_minor"], end.data["currency"], end.data["customer_id"]) == (750, "GBP", customer)
    await shop.stock_settles(sku, received=10, adjusted=0, on_hand=7, held=0, shipped=3)
    (charge,) = await shop.charges(order_id)
    assert (charge["amount_minor"], charge["captured_minor"], charge["refunded_minor"]) == (750, 750, 0)
    (entry,) = await shop.entries(order_id)
    assert (entry["kind"], entry["charge_id"], entry["amount_minor"]) == ("charge", charge["charge_id"], 750)
    assert await _mails(shop, order_id) == [(f"{customer}@example.com", "complete")]


async def test_the_mail_sinks_page_shows_the_mail_that_the_customer_got(shop: Shop) -> None:
    page = shop.place.env.get("MAIL_PAGE_URL")
    if page is None:
        pytest.skip("this stack has no page of mails (MAIL_PAGE_URL)")
    customer, order_id = await shop.customer(), shop.new_id("order")
    await shop.buy({await shop.shelf(5): 1}, order_id=order_id, customer_id=customer)
    await _mails(shop, order_id)
    async with aiohttp.ClientSession() as browser:
        async with browser.get(f"{page}/") as answer:
            (row,) = [row for row in (await answer.text()).split("<tr>") if order_id in row]
        assert f"{customer}@example.com" in row
        async with browser.get(page + row.partition('href="')[2].partition('"')[0]) as answer:
            told = await answer.text()
    assert f"To: {customer}@example.com" in told
    assert order_id in told.partition("<pre>")[2]


async def test_a_declined_card_fails_the_order_and_frees_its_stock(shop: Shop) -> None:
    sku = await shop.shelf(5)
    end = await shop.buy({sku: 2}, payment_method="pm_card_declined")
    assert (end.short, end.data["reason"]) == ("order-failed", "payment-declined")
    await shop.stock_settles(sku, on_hand=5, held=0, shipped=0)
    assert sum(charge["captured_minor"] for charge in await shop.charges(end.key)) == 0
    assert await shop.entries(end.key) == []


async def test_a_payment_method_that_the_gateway_does_not_know_is_declined(shop: Shop) -> None:
    sku = await shop.shelf(1)
    end = await shop.buy({sku: 1}, payment_method="pm_seashells")
    assert (end.short, end.data["reason"]) == ("order-failed", "payment-declined")


async def test_a_charge_whose_answer_is_lost_is_taken_exactly_once(shop: Shop) -> None:
    sku = await shop.shelf(5)
    end = await shop.buy({sku: 1}, payment_method="pm_card_timeout")
    assert end.short == "order-completed"
    assert [entry["kind"] for entry in await shop.entries(end.key)] == ["charge"]
    assert [charge["captured_minor"] for charge in await shop.charges(end.key)] == [250]


async def test_a_late_charge_completes_the_order_when_nobody_cancels(shop: Shop) -> None:
    sku = await shop.shelf(5)
    end = await shop.buy({sku: 1}, payment_method="pm_card_late")
    assert end.short == "order-completed"
    assert [entry["kind"] for entry in await shop.entries(end.key)] == ["charge"]


@pytest.mark.parametrize("cancelled_after_s", [0.0, 2.5], ids=["at once", "after the call was given up"])
async def test_a_late_charge_that_is_cancelled_in_between_takes_no_money(shop: Shop, cancelled_after_s: float) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1}, payment_method="pm_card_late")
    await shop.approve(order_id)
    await asyncio.sleep(cancelled_after_s)  # the moment is what is tested: within the call, and after its deadline
    assert (await shop.cancel(order_id)).short == "command-accepted"
    end = await shop.ended(order_id)
    assert (end.short, end.data["reason"]) == ("order-cancelled", "customer-request")
    moved = sorted(entry["kind"] for entry in await shop.entries(order_id))
    assert moved in ([], ["charge", "refund"])
    await shop.stock_settles(sku, on_hand=5, held=0, shipped=0)


async def test_a_refund_that_keeps_failing_needs_attention_until_it_works(shop: Shop) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 2}, payment_method="pm_refund_fails")
    await shop.approve(order_id)
    assert (await shop.cancel(order_id)).short == "command-accepted"
    await shop.saw(order_id, "attention-needed")
    seen = await shop.order(order_id)
    assert (seen["status"], seen["waiting_for"]) == ("NEEDS_ATTENTION", "refund")
    listed = await shop.everything("orders-api", "/orders", status="NEEDS_ATTENTION")
    assert order_id in {row["order_id"] for row in listed}
    end = await shop.ended(order_id)
    assert end.short == "order-cancelled"
    kinds = shop.kinds(order_id)
    assert kinds.index("attention-needed") < kinds.index("attention-resolved") < kinds.index("order-cancelled")
    assert sorted(entry["kind"] for entry in await shop.entries(order_id)) == ["charge", "refund"]
    (charge,) = await shop.charges(order_id)
    assert charge["captured_minor"] == charge["refunded_minor"] == 500
    await shop.stock_settles(sku, on_hand=5, held=0, shipped=0)


async def test_an_order_cancelled_before_approval_gives_its_stock_back_and_tells_the_customer(shop: Shop) -> None:
    sku, customer = await shop.shelf(4), await shop.customer()
    order_id = await shop.held({sku: 4}, customer_id=customer)
    assert (await shop.stock(sku))["held"] == 4
    assert (await shop.cancel(order_id)).short == "command-accepted"
    end = await shop.ended(order_id)
    assert (end.short, end.data["reason"], end.data["customer_id"]) == ("order-cancelled", "customer-request", customer)
    assert "stock-released" in shop.kinds(order_id)
    await shop.stock_settles(sku, on_hand=4, held=0, shipped=0)
    assert await shop.entries(order_id) == []
    assert await _mails(shop, order_id) == [(f"{customer}@example.com", "cancelled")]


async def test_an_order_that_nobody_approves_is_cancelled_and_its_stock_is_back(shop: Shop) -> None:
    sku = await shop.shelf(3)
    order_id = await shop.held({sku: 3}, approval_timeout_s=2)
    reserved = await shop.saw(order_id, "stock-reserved")
    end = await shop.ended(order_id)
    assert (end.short, end.data["reason"]) == ("order-cancelled", "approval-timeout")
    assert 1.9 <= (end.at - reserved.at).total_seconds() <= 5
    await shop.stock_settles(sku, on_hand=3, held=0)


async def test_an_order_for_more_than_there_is_fails_as_out_of_stock_and_holds_nothing(shop: Shop) -> None:
    plenty, scarce = await shop.shelf(10), await shop.shelf(3)
    order_id = await shop.start([(plenty, 1), (scarce, 2), (scarce, 2)])
    end = await shop.ended(order_id)
    assert (end.short, end.data["reason"]) == ("order-failed", "out-of-stock")
    assert [(await shop.stock(sku))["held"] for sku in (plenty, scarce)] == [0, 0]


async def test_an_order_for_an_unknown_sku_is_accepted_and_fails(shop: Shop) -> None:
    end = await shop.ended(await shop.start({shop.new_id("no-such-sku"): 1}))
    assert (end.short, end.data["reason"]) == ("order-failed", "unknown-sku")


async def test_an_order_in_another_currency_than_the_catalogue_s_fails(shop: Shop) -> None:
    sku = await shop.shelf(1)
    end = await shop.ended(await shop.start({sku: 1}, currency="JPY"))
    assert (end.short, end.data["reason"]) == ("order-failed", "currency-mismatch")


async def test_a_total_beyond_the_limit_fails_the_order_and_frees_its_stock(shop: Shop) -> None:
    sku = await shop.shelf(1_000_000, 10**12)
    end = await shop.ended(await shop.start({sku: 1_000_000}))
    assert (end.short, end.data["reason"]) == ("order-failed", "total-too-large")
    await shop.stock_settles(sku, on_hand=1_000_000, held=0)


async def _mails(shop: Shop, order_id: str) -> list[tuple[str, str]]:
    """To whom mails about the order went, and what their subject ends with; waits for the first one."""

    async def probe() -> list[tuple[str, str]] | None:
        return [(str(mail["To"]), str(mail["Subject"]).split()[-1]) for mail in shop.mails(order_id)] or None

    return await shop.eventually(probe, f"a mail about {order_id}")
