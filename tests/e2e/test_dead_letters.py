"""An order whose message a service cannot handle waits with all that follows, alone, until an operator has mended the cause."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from contracts.topics import ORDERS_COMMANDS, dead_letter_topic
from e2e.shop import Shop
from e2e.stack import Place
from e2e.tools import orderctl

ME = ("--operator", "night-shift", "--reason", "ticket 4711", "--json")


async def dlq(place: Place, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = await orderctl(place, "dlq", *arguments)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


async def in_inventory(place: Place, statement: str) -> None:
    """What a person with access to the database does."""
    connection = await asyncpg.connect(place.env["INVENTORY_DATABASE_URL"], timeout=30)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_an_order_waits_behind_its_letter_and_completes_when_it_is_replayed(place: Place, shop: Shop) -> None:
    if "INVENTORY_DATABASE_URL" not in place.env:
        pytest.skip("this stack does not tell where its databases are")
    sku = await shop.shelf(100)
    order_id = shop.new_id("order")
    # As a wrong migration would: the database refuses whatever is written about this order.
    name = f"refused_{shop.run}"
    await in_inventory(
        place, f"ALTER TABLE reservation ADD CONSTRAINT {name} CHECK (order_id <> '{order_id}') NOT VALID"
    )
    try:
        await shop.start({sku: 2}, order_id=order_id)

        async def letter() -> dict[str, Any] | None:
            _, (listed,) = await dlq(place, "list", "--key", order_id, "--json")
            return listed["items"][0] if listed["items"] else None

        found = await shop.eventually(letter, "the letter")
        assert (found["service"], found["lane"], found["reason"]) == ("inventory", order_id, "handler-error")
        assert (await shop.buy({sku: 1})).short == "order-completed", "others go on"
        lanes = await shop.read("inventory", "/lanes", key=order_id)
        assert [(lane["key"], lane["held"]) for lane in lanes["items"]] == [(order_id, True)]
        await _audit_shows(place, order_id)
        code, (failed,) = await dlq(place, "replay", found["letter"], *ME)
        assert (code, failed["outcome"]) == (5, "failed")
    finally:
        await in_inventory(place, f"ALTER TABLE reservation DROP CONSTRAINT {name}")
    await shop.approve(order_id)
    code, (done,) = await dlq(place, "replay", found["letter"], *ME)
    assert (code, done["outcome"]) == (0, "handled")
    ended = await shop.ended(order_id)
    assert ended.short == "order-completed"
    await shop.stock_settles(sku, on_hand=97, held=0, shipped=3)
    code, (again,) = await dlq(place, "replay", found["letter"], *ME)
    assert (code, again["outcome"]) == (0, "skipped")
    assert (await shop.read("inventory", "/lanes", key=order_id))["items"] == []


async def _audit_shows(place: Place, order_id: str) -> None:
    """The order is told as waiting, and is no breach."""
    done = await orderctl(place, "audit", "--json", "--settle-timeout", "5", timeout_s=300)
    report = json.loads(done.stdout)
    assert [(lane["service"], lane["error"] is None) for lane in report["parked"] if lane["key"] == order_id] == [
        ("inventory", False)
    ]
    assert not [breach for breach in report["breaches"] if breach.get("order") == order_id]


async def test_garbage_is_shown_with_its_bytes_and_discarded(place: Place, shop: Shop) -> None:
    key = shop.new_id("garbage")
    await shop.put(ORDERS_COMMANDS, key.encode(), b"\xff\x00 nothing", [("mine", b"\x01")])

    async def letter() -> dict[str, Any] | None:
        _, (listed,) = await dlq(place, "list", "--key", key, "--json")
        return listed["items"][0] if listed["items"] else None

    found = await shop.eventually(letter, "the letter")
    assert found["lane"] is None
    _, (shown,) = await dlq(place, "show", found["letter"], "--json")
    assert bytes.fromhex(shown["value_hex"]) == b"\xff\x00 nothing"
    assert shown["dead_letter"]["topic"] == dead_letter_topic(ORDERS_COMMANDS, "orders")
    assert {"name": "mine", "text": "\x01", "hex": "01"} in shown["headers"]
    code, (done,) = await dlq(place, "discard", found["letter"], *ME)
    assert (code, done["outcome"]) == (0, "discarded")
    _, (listed,) = await dlq(place, "list", "--key", key, "--json")
    assert listed["totals"] == {"open": 0, "asked": 0, "replayed": 0, "discarded": 1}
