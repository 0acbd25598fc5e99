"""What the outside sees of retries: the policies in effect, every failed attempt with its kind, and settings that are refused."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest

from e2e.shop import Shop
from e2e.tools import orderctl, run

NOTES = ("orders.retry-scheduled", "orders.asked-again", "orders.attempt-failed")


async def attempts(shop: Shop, order_id: str) -> list[tuple[str, str, int, str, float | None]]:
    """The failed attempts in the order's history: entry, step, number, kind of failure, seconds until the next one."""
    entries = [entry for entry in await shop.history(order_id) if entry["type"] in NOTES]
    facts: list[dict[str, Any]] = [entry["data"] for entry in entries]
    assert all(fact["error"] for fact in facts)
    assert all((fact["next_attempt_at"] is None) == (fact["delay_s"] is None) for fact in facts)
    names = [entry["type"].removeprefix("orders.") for entry in entries]
    return [
        (name, fact["step"], fact["failed_attempt"], fact["failure"], fact["delay_s"])
        for name, fact in zip(names, facts, strict=True)
    ]


async def test_the_policies_are_told_by_the_api_and_by_orderctl(shop: Shop) -> None:
    told = await shop.read("orders-api", "/policies")
    charge = next(row for row in told["items"] if row["step"] == "charge")
    assert (charge["initial_interval_s"], charge["maximum_attempts"], charge["overridden"]) == (1, 5, {})
    assert await shop.read("orders", "/policies") == told, "the worker decides by what the API tells"
    done = await orderctl(shop.place, "policies", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, told)
    done = await orderctl(shop.place, "policies")
    assert done.returncode == 0
    assert "payment-failed" in " ".join(done.stdout.split())


@pytest.mark.parametrize(("method", "kind"), [("pm_card_declined", "permanent"), ("pm_shells", "validation")])
async def test_a_decline_is_told_with_its_kind_and_not_tried_again(shop: Shop, method: str, kind: str) -> None:
    order_id = await shop.held({await shop.shelf(1): 1}, payment_method=method)
    await shop.approve(order_id)
    assert (await shop.ended(order_id)).data["reason"] == "payment-declined"
    assert await attempts(shop, order_id) == [("attempt-failed", "charge", 1, kind, None)]


async def test_an_unknown_outcome_is_told_asked_for_and_found_out(shop: Shop) -> None:
    order_id = await shop.held({await shop.shelf(1): 1}, payment_method="pm_card_timeout")
    await shop.approve(order_id)
    assert (await shop.ended(order_id)).short == "order-completed"
    assert await attempts(shop, order_id) == [("retry-scheduled", "charge", 1, "unknown", 1)]
    assert [entry["kind"] for entry in await shop.entries(order_id)] == ["charge"]


async def test_every_failed_refund_is_told_until_one_works(shop: Shop) -> None:
    order_id = await shop.held({await shop.shelf(1): 1}, payment_method="pm_refund_fails")
    await shop.approve(order_id)
    await shop.cancel(order_id)
    assert (await shop.ended(order_id)).short == "order-cancelled"
    refunds = [attempt for attempt in await attempts(shop, order_id) if attempt[1] == "refund"]
    assert refunds == [("retry-scheduled", "refund", n, "transient", wait) for n, wait in ((1, 1), (2, 2), (3, 4))]


@pytest.mark.parametrize(
    ("name", "value"), [("ORDER_POLICY_CHARGE_TRIES", "3"), ("ORDER_POLICY_REFUND_BACKOFF_COEFFICIENT", "half")]
)
async def test_a_policy_that_cannot_be_stops_the_orchestrator_at_its_start(name: str, value: str) -> None:
    done = await run([sys.executable, "-m", "services.orders"], env={**os.environ, "HTTP_PORT": "0", name: value})
    assert done.returncode == 2
    assert name in done.stderr
