"""What is held shows who holds it and until when, is announced when that is over, and when it is freed the next order has it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from contracts.topics import INVENTORY_EVENTS
from e2e.shop import STRUCTURED, Shop, envelope
from e2e.tools import orderctl

BY = ("--operator", "night-shift", "--reason", "ticket 4711")


async def holds(shop: Shop, **query: str) -> list[dict[str, Any]]:
    """What is held, by the API."""
    return await shop.everything("inventory", "/reservations", state="held", **query)


def until(hold: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(hold["expires_at"])


async def test_pressure_shows_for_whom_and_until_when(shop: Shop) -> None:
    sku = await shop.shelf(5)
    order_id = await shop.held({sku: 2}, approval_timeout_s=300)
    (hold,) = await holds(shop, sku=sku)
    assert (hold["order_id"], hold["state"], hold["announced"]) == (order_id, "held", 0)
    assert [(item["sku"], item["quantity"]) for item in hold["items"]] == [(sku, 2)]
    deadline = datetime.fromisoformat((await shop.order(order_id))["deadline"])
    assert timedelta(seconds=30) < until(hold) - deadline <= timedelta(seconds=60)
    assert datetime.fromisoformat(hold["held_since"]) < deadline
    told = await orderctl(shop.place, "stock", "--pressure", "--sku", sku, "--json")
    assert told.returncode == 0, told.output
    assert [item["order_id"] for item in json.loads(told.stdout)["items"]] == [order_id]
    shown = await orderctl(shop.place, "stock", "--pressure", sku)
    assert f"{sku}: 2 held, 3 left on hand." in shown.stdout
    await shop.cancel(order_id)
    await shop.ended(order_id)
    assert await holds(shop, sku=sku) == []


async def test_what_an_order_gives_back_is_the_next_orders_at_once(shop: Shop) -> None:
    sku = await shop.shelf(1)
    first = await shop.held({sku: 1}, approval_timeout_s=6)
    refused = await shop.ended(await shop.start({sku: 1}))
    assert (refused.short, refused.data["reason"]) == ("order-failed", "out-of-stock")
    end = await shop.ended(first)
    assert (end.short, end.data["reason"]) == ("order-cancelled", "approval-timeout")
    assert (await shop.buy({sku: 1})).short == "order-completed"


async def test_a_hold_that_is_over_is_announced_and_stays_held_until_it_is_released(shop: Shop) -> None:
    sku, key = await shop.shelf(1), shop.new_id("holder")
    over = datetime.now(UTC) + timedelta(seconds=1)
    reservation = {"reservation_id": f"{key}-r"}
    asked = {**reservation, "items": [{"sku": sku, "quantity": 1}], "expires_at": over.isoformat()}
    await shop.send("inventory.reserve-stock.v1", key, asked)
    await shop.saw(key, "stock-reserved", topic=INVENTORY_EVENTS)
    told = await shop.saw(key, "reservation-expired", topic=INVENTORY_EVENTS)
    assert datetime.fromisoformat(told.data["expired_at"]) == over
    (hold,) = await holds(shop, sku=sku)
    assert hold["announced"] == 1
    later = datetime.now(UTC) + timedelta(hours=1)
    await shop.send("inventory.extend-reservation.v1", key, {**reservation, "expires_at": later.isoformat()})

    async def extended() -> dict[str, Any] | None:
        (found,) = await holds(shop, order_id=key)
        return found if until(found) == later else None

    assert (await shop.eventually(extended, "the extension"))["announced"] == 0
    await shop.send("inventory.release-stock.v1", key, reservation)
    await shop.saw(key, "stock-released", topic=INVENTORY_EVENTS)
    assert (await shop.stock(sku))["on_hand"] == 1


async def test_an_order_whose_hold_is_over_before_its_own_late_timer_ends_as_reservation_timeout(shop: Shop) -> None:
    if "ORDERS_DATABASE_URL" not in shop.place.env:
        pytest.skip("this stack does not tell where its databases are")
    sku = await shop.shelf(1)
    order_id = await shop.held({sku: 1}, approval_timeout_s=5)
    (hold,) = await holds(shop, sku=sku)
    connection = await asyncpg.connect(shop.place.env["ORDERS_DATABASE_URL"], timeout=30)
    try:
        # Its timer fires seconds later than it was to.
        late = "UPDATE timer SET due_at = due_at + interval '40 seconds' WHERE key = $1"
        assert await connection.execute(late, order_id) == "UPDATE 1"
    finally:
        await connection.close()
    deadline = datetime.fromisoformat((await shop.order(order_id))["deadline"])

    async def passed() -> bool | None:
        return True if datetime.now(UTC) > deadline + timedelta(seconds=1) else None

    await shop.eventually(passed, "the deadline")
    assert (await shop.order(order_id))["status"] == "AWAITING_APPROVAL"
    # A minute is long to wait for: the announcement comes as soon as nothing else ends the order.
    data = {"reservation_id": hold["reservation_id"], "expired_at": datetime.now(UTC).isoformat()}
    event = envelope("inventory.reservation-expired.v1", order_id, data, shop.new_id("over"), "inventory")
    await shop.put(INVENTORY_EVENTS, order_id.encode(), json.dumps(event).encode(), STRUCTURED)
    end = await shop.ended(order_id)
    assert (end.short, end.data["reason"]) == ("order-failed", "reservation-timeout")
    assert await shop.entries(order_id) == []
    assert (await shop.buy({sku: 1})).short == "order-completed", "what was freed is the next order's at once"


async def test_a_paused_order_extends_its_hold_when_that_is_over(shop: Shop) -> None:
    sku = await shop.shelf(1)
    order_id = await shop.held({sku: 1})
    assert (await orderctl(shop.place, "pause", order_id, *BY)).returncode == 0
    (before,) = await holds(shop, sku=sku)
    # An hour is too long to wait for: the announcement comes early.
    data = {"reservation_id": before["reservation_id"], "expired_at": before["expires_at"]}
    event = envelope("inventory.reservation-expired.v1", order_id, data, shop.new_id("early"), "inventory")
    await shop.put(INVENTORY_EVENTS, order_id.encode(), json.dumps(event).encode(), STRUCTURED)

    async def extended() -> dict[str, Any] | None:
        (found,) = await holds(shop, sku=sku)
        return found if until(found) > until(before) else None

    await shop.eventually(extended, "the extension")
    notes = [entry for entry in await shop.history(order_id) if entry["type"] == "orders.hold-extended"]
    assert [note["data"]["waiting_for"] for note in notes] == ["operator"]
    assert (await orderctl(shop.place, "resume", order_id, *BY)).returncode == 0
    await shop.approve(order_id)
    assert (await shop.ended(order_id)).short == "order-completed"
