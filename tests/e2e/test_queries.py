"""The shapes of the answers over HTTP: what DESIGN promises to whoever reads them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from e2e.shop import Shop
from e2e.stack import SERVICES

_ORDER = """order_id workflow workflow_version status reason waiting_for deadline paused customer_id currency total_minor items
created_at updated_at waiting_since"""
_SKU = "sku unit_price_minor currency received adjusted on_hand held shipped"
_CHARGE = "charge_id order_id amount_minor currency status captured_minor refunded_minor"
_ENTRY = "kind charge_id amount_minor currency at"
ORDER_FIELDS, SKU_FIELDS, CHARGE_FIELDS, ENTRY_FIELDS = (
    set(names.split()) for names in (_ORDER, _SKU, _CHARGE, _ENTRY)
)


def moment(text: str) -> datetime:
    """A time in RFC 3339; all of ours are in UTC."""
    found = datetime.fromisoformat(text)
    assert found.utcoffset() == UTC.utcoffset(None), text
    return found


async def test_an_order_reads_as_the_contract_says_while_it_waits_and_after_its_end(shop: Shop) -> None:
    sku, customer = await shop.shelf(5, 99), await shop.customer()
    order_id = await shop.held({sku: 2}, customer_id=customer)
    order = await shop.order(order_id)
    assert set(order) >= ORDER_FIELDS
    assert (order["order_id"], order["workflow"], order["customer_id"]) == (order_id, "order", customer)
    assert (order["status"], order["waiting_for"], order["reason"], order["paused"]) == (
        "AWAITING_APPROVAL",
        "approval",
        None,
        False,
    )
    assert (order["total_minor"], order["currency"]) == (198, "GBP")
    assert moment(order["waiting_since"]) >= moment(order["created_at"])
    assert 890 <= (moment(order["deadline"]) - moment(order["created_at"])).total_seconds() <= 910
    items = await shop.read("orders-api", f"/orders/{order_id}/items")
    assert items == {"items": [{"sku": sku, "quantity": 2, "unit_price_minor": 99}], "next": None}
    await shop.approve(order_id)
    await shop.ended(order_id)
    order = await shop.order(order_id)
    assert (order["status"], order["waiting_for"], order["deadline"]) == ("COMPLETED", None, None)
    assert order["waiting_since"] is None
    assert moment(order["updated_at"]) >= moment(order["created_at"])


async def test_the_history_has_an_entry_for_every_published_event_with_what_caused_it(shop: Shop) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 1})
    await shop.add_line(order_id, sku, 1)
    await shop.cancel(order_id)
    await shop.ended(order_id)
    history = await shop.history(order_id)
    assert all(set(entry) >= {"at", "type", "cause", "data"} for entry in history)
    assert [moment(entry["at"]) for entry in history] == sorted(moment(entry["at"]) for entry in history)
    published = [event for event in shop.journal.by_key[order_id] if event.topic == "orders.events.v1"]
    listed = [(entry["type"], entry["cause"], _text(entry["data"])) for entry in history]
    for event in published:
        assert (event.type, event.cause, _text(event.data)) in listed
    numbers = [event.sequence for event in published if event.sequence is not None]
    assert len(numbers) == len(published)
    assert numbers == sorted(set(numbers))
    for event in published:
        assert event.envelope["correlationid"] == event.envelope["subject"] == order_id
        assert event.envelope["traceparent"]
        moment(event.envelope["time"])


async def test_the_list_of_orders_is_filtered_newest_first_and_comes_in_pages(shop: Shop) -> None:
    sku, customer = await shop.shelf(20), await shop.customer()
    made = [await shop.held({sku: 1}, customer_id=customer) for _ in range(5)]
    cancelled = made[1]
    await shop.cancel(cancelled)
    await shop.ended(cancelled)
    mine = await shop.read("orders-api", "/orders", customer=customer)
    assert [row["order_id"] for row in mine["items"]] == made[::-1]
    assert mine["next"] is None
    assert all(set(row) >= ORDER_FIELDS for row in mine["items"])
    waiting = await shop.read("orders-api", "/orders", customer=customer, waiting_for="approval")
    assert [row["order_id"] for row in waiting["items"]] == [one for one in made[::-1] if one != cancelled]
    over = await shop.read("orders-api", "/orders", customer=customer, status="CANCELLED")
    assert [row["order_id"] for row in over["items"]] == [cancelled]
    paged: list[str] = []
    query: dict[str, Any] = {"customer": customer, "limit": 2}
    while True:
        page = await shop.read("orders-api", "/orders", **query)
        assert len(page["items"]) <= 2
        paged += [row["order_id"] for row in page["items"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert paged == made[::-1]
    nothing = await shop.read("orders-api", "/orders", customer=shop.new_id("nobody"))
    assert nothing == {"items": [], "next": None}


async def test_lists_have_50_items_by_default_and_500_at_most(shop: Shop) -> None:
    page = await shop.read("orders-api", "/orders")
    assert len(page["items"]) <= 50
    assert (await shop.get("orders-api", "/orders", limit=500))[0] == 200
    assert (await shop.get("orders-api", "/orders", limit=501))[0] == 400


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("orders-api", "/orders?status=SLEEPING"),
        ("orders-api", "/orders?status="),
        ("orders-api", "/orders?waiting_for=godot"),
        ("orders-api", "/orders?limit=0"),
        ("orders-api", "/orders?limit=many"),
        ("orders-api", "/orders?after=nowhere"),
        ("orders-api", "/orders?colour=red"),
        ("orders-api", "/orders?customer=%00"),
        ("payment", "/charges?order_id=%00"),
        ("inventory", "/skus?limit=-1"),
    ],
)
async def test_a_filter_that_cannot_be_understood_is_a_problem_with_status_400(
    shop: Shop, service: str, path: str
) -> None:
    _is_problem(await shop.get(service, path), 400)


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("orders-api", "/orders/no-such-order"),
        ("orders-api", "/orders/no-such-order/items"),
        ("orders-api", "/orders/no-such-order/history"),
        ("orders-api", "/orders/%00"),
        ("orders-api", "/orders/" + "x" * 65),
        ("orders-api", "/nothing/here"),
        ("inventory", "/skus/no-such-sku"),
        ("inventory", "/skus/%E2%80%AE"),
    ],
)
async def test_one_thing_that_is_not_there_is_a_problem_with_status_404(shop: Shop, service: str, path: str) -> None:
    _is_problem(await shop.get(service, path), 404)


async def test_skus_charges_and_gateway_entries_read_as_the_contract_says(shop: Shop) -> None:
    sku = await shop.shelf(5, 120)
    end = await shop.buy({sku: 2})
    row = await shop.stock_settles(sku, shipped=2)
    assert set(row) >= SKU_FIELDS
    assert (row["unit_price_minor"], row["currency"]) == (120, "GBP")
    assert row["on_hand"] + row["held"] + row["shipped"] == row["received"] + row["adjusted"]
    (charge,), (entry,) = await shop.charges(end.key), await shop.entries(end.key)
    assert set(charge) >= CHARGE_FIELDS
    assert set(entry) >= ENTRY_FIELDS
    moment(entry["at"])
    assert (charge["order_id"], charge["currency"], entry["currency"]) == (end.key, "GBP", "GBP")
    for path in ("/charges", "/gateway/entries"):
        assert await shop.read("payment", path, order_id="no-such-order") == {"items": [], "next": None}


async def test_a_query_made_after_reading_an_event_reflects_it(shop: Shop) -> None:
    sku = await shop.shelf(100)
    for _ in range(20):
        order_id = await shop.start({sku: 1})
        assert (await shop.order(order_id))["order_id"] == order_id
        await shop.saw(order_id, "stock-reserved")
        assert (await shop.order(order_id))["status"] == "AWAITING_APPROVAL"
        await shop.approve(order_id)
        await shop.ended(order_id)
        assert (await shop.order(order_id))["status"] == "COMPLETED"


@pytest.mark.parametrize("service", SERVICES)
async def test_every_process_serves_metrics_and_says_that_it_is_alive_and_ready(shop: Shop, service: str) -> None:
    versions = {(await shop.read(service, path))["version"] for path in ("/healthz", "/readyz")}
    assert re.fullmatch(r"[0-9a-f]{7}", "/".join(versions)), "both tell the same code"
    status, content_type, body = await shop.get(service, "/metrics")
    assert (status, content_type) == (200, "text/plain")
    assert b"# HELP" in body


def _text(data: Any) -> str:
    return json.dumps(data, sort_keys=True)


def _is_problem(answer: tuple[int, str, bytes], status: int) -> None:
    assert answer[0] == status, answer
    assert answer[1] == "application/problem+json"
    problem = json.loads(answer[2])
    assert problem["status"] == status
    assert problem["title"]
