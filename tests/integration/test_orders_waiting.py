"""Since when an order waits for what it waits for: the list tells it of orders that the service itself has decided about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from conftest import NewDatabase
from test_orders_history import ORDER, Desk, history

from contracts import inventory, orders, payment
from contracts.values import MAX_TOTAL_MINOR, Item, PricedItem
from services.orders.api.listing import Wanted
from services.orders.api.queries import ONE
from services.orders.app import MIGRATIONS
from services.orders.domain.state import business_id

TEA = PricedItem(sku="tea", quantity=2, unit_price_minor=250)
MILK = PricedItem(sku="milk", quantity=1, unit_price_minor=100)
FIRST, SECOND = business_id("rsv", ORDER, "0"), business_id("rsv", ORDER, "1")
WHO = {"operator": "ann", "reason": "a look"}


@pytest.fixture
async def dsn(new_database: NewDatabase) -> str:
    return await new_database(MIGRATIONS)


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    """An order that waits for approval."""
    made = Desk(dsn)
    await made.worker.take_over()
    items = (Item(sku="tea", quantity=2),)
    await made.hear(orders.StartOrder(customer_id="ann", items=items, workflow_version=1), "cmd-1")
    await made.hear(inventory.StockReserved(reservation_id=FIRST, items=(TEA,), currency="GBP"), "held")
    yield made
    await made.worker._store.close()


async def listed(dsn: str) -> dict[str, Any]:
    """The order's row of the list, which is that of the query about the order alone."""
    connection = await asyncpg.connect(dsn)
    try:
        query, arguments = Wanted().query(50)
        (row,) = await connection.fetch(query, *arguments)
        assert dict(await connection.fetchrow(ONE, ORDER) or {}) == dict(row)
        return dict(row)
    finally:
        await connection.close()


async def at(dsn: str, type_: str) -> datetime:
    """When the history's last entry of the type was written."""
    found: datetime = [entry["at"] for entry in await history(dsn) if entry["type"] == type_][-1]
    return found


async def asked(dsn: str, type_: str) -> dict[str, Any]:
    """What the first request of the type said."""
    found = [sent["data"] for entry in await history(dsn) for sent in entry["sent"] if sent["type"] == type_]
    return dict(found[0])


async def sent_at(dsn: str, type_: str) -> datetime:
    """When something of the kind was first asked for."""
    found: list[datetime] = [
        entry["at"]
        for entry in await history(dsn)
        for sent in entry["sent"]
        if sent["type"].removesuffix(".v1") == type_
    ]
    return found[0]


async def test_a_line_that_is_added_does_not_move_since_when_the_approval_is_waited_for(desk: Desk, dsn: str) -> None:
    began = await at(dsn, "orders.stock-reserved.v1")
    assert (await listed(dsn))["waiting_since"] == began
    await desk.hear(orders.AddLineItem(sku="milk", quantity=1), "cmd-2")
    assert (await listed(dsn))["waiting_since"] == began
    await desk.hear(inventory.StockReserved(reservation_id=SECOND, items=(MILK,), currency="GBP"), "held-2")
    row = await listed(dsn)
    assert (row["total_minor"], row["waiting_since"]) == (600, began)
    assert row["updated_at"] > began


async def test_a_pause_is_waited_for_since_it_began_and_after_it_the_approval_as_before(desk: Desk, dsn: str) -> None:
    began = (await listed(dsn))["waiting_since"]
    await desk.hear(orders.PauseOrder(**WHO), "cmd-2")
    row = await listed(dsn)
    assert (row["waiting_for"], row["waiting_since"]) == ("operator", await at(dsn, "orders.order-paused.v1"))
    assert row["waiting_since"] > began
    await desk.hear(orders.ResumeOrder(**WHO), "cmd-3")
    row = await listed(dsn)
    assert (row["waiting_for"], row["waiting_since"]) == ("approval", began)


async def test_a_step_moves_it_and_an_attempt_that_fails_does_not(desk: Desk, dsn: str) -> None:
    await desk.hear(orders.ApprovePayment(approved_by="ann"), "cmd-2")
    began = await at(dsn, "orders.payment-approved.v1")
    assert (await listed(dsn))["waiting_since"] == began
    charge = await asked(dsn, "payment.charge.v1")
    failed = payment.ChargeFailed(charge_id=charge["charge_id"], attempt=1, failure="transient", message="no")
    await desk.hear(failed, "failed")
    assert await at(dsn, "orders.retry-scheduled") > began
    row = await listed(dsn)
    assert (row["waiting_for"], row["waiting_since"]) == ("payment", began)


async def test_a_release_is_waited_for_since_it_was_asked_for_though_a_refused_line_was_given_back_before(
    desk: Desk, dsn: str
) -> None:
    await desk.hear(orders.AddLineItem(sku="milk", quantity=1), "cmd-0")
    dear = PricedItem(sku="milk", quantity=1, unit_price_minor=MAX_TOTAL_MINOR)
    await desk.hear(inventory.StockReserved(reservation_id=SECOND, items=(dear,), currency="GBP"), "held-2")
    began = (await listed(dsn))["waiting_since"]
    await desk.hear(orders.CancelOrder(reason="found it cheaper"), "cmd-2")
    refused, released = (
        entry for entry in await history(dsn) for sent in entry["sent"] if sent["type"] == "inventory.release-stock.v1"
    )
    assert (refused["type"], refused["at"] < released["at"]) == ("orders.command-rejected.v1", True)
    row = await listed(dsn)
    assert (row["waiting_for"], row["waiting_since"]) == ("release", released["at"])
    assert row["waiting_since"] > began
    await desk.hear(inventory.StockReleased(reservation_id=FIRST, items=(Item(sku="tea", quantity=2),)), "released")
    row = await listed(dsn)
    assert (row["status"], row["waiting_since"]) == ("CANCELLED", None)


async def test_a_refund_that_keeps_failing_is_waited_for_since_it_was_first_asked_for(desk: Desk, dsn: str) -> None:
    await desk.hear(orders.ApprovePayment(approved_by="ann"), "cmd-2")
    charge = await asked(dsn, "payment.charge.v1")
    await desk.hear(orders.CancelOrder(reason="found it cheaper"), "cmd-3")
    row = await listed(dsn)
    assert (row["waiting_for"], row["waiting_since"]) == ("payment-outcome", await sent_at(dsn, "payment.void-charge"))
    captured = payment.ChargeCaptured(charge_id=charge["charge_id"], amount_minor=500, currency="GBP", attempt=1)
    await desk.hear(captured, "captured")
    began = await sent_at(dsn, "payment.refund")
    refund = await asked(dsn, "payment.refund.v1")
    failed = payment.RefundFailed(
        charge_id=refund["charge_id"], refund_id=refund["refund_id"], attempt=1, failure="transient", message="no"
    )
    await desk.hear(failed, "failed")
    await desk.hear(orders.RetryNow(**WHO), "cmd-4")
    row = await listed(dsn)
    assert (row["waiting_for"], row["waiting_since"]) == ("refund", began)
    assert await at(dsn, "orders.retry-scheduled") > began


async def test_what_the_row_says_is_read_along_the_historys_key(desk: Desk, dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        query, arguments = Wanted().query(50)
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}", *arguments))
    finally:
        await connection.close()
    assert plan.count("history_pkey") == 3
    assert "Seq Scan on history" not in plan
