"""An audit of our own, by adding up what the queries answer: what was taken, what was sold, and that the two agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from email.parser import BytesHeaderParser
from typing import Any, Final

from e2e.shop import Shop

ENDED: Final = frozenset({"COMPLETED", "CANCELLED", "FAILED"})


async def breaches(shop: Shop) -> list[str]:
    """Everything that does not add up, in words; shipping follows an order's end, so a moment later it may."""
    orders = {row["order_id"]: row for row in await shop.everything("orders-api", "/orders")}
    charges = await shop.everything("payment", "/charges")
    entries = await shop.everything("payment", "/gateway/entries")
    skus = await shop.everything("inventory", "/skus")
    return [*_money(orders, charges, entries), *_stock(orders, skus)]


def _money(
    orders: dict[str, dict[str, Any]], charges: list[dict[str, Any]], entries: list[dict[str, Any]]
) -> list[str]:
    found = []
    kept: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    captures: Counter[str] = Counter()
    order_of = {charge["charge_id"]: charge["order_id"] for charge in charges}
    for charge in charges:
        kept[charge["order_id"]] += charge["captured_minor"] - charge["refunded_minor"]
    for entry in entries:
        order_id = order_of.get(entry["charge_id"], f"no order: {entry['charge_id']}")
        captures[order_id] += entry["kind"] == "charge"
        moved[order_id] += entry["amount_minor"] if entry["kind"] == "charge" else -entry["amount_minor"]
    for order_id in {*orders, *kept, *moved}:
        order = orders.get(order_id)
        if captures[order_id] > 1:
            found.append(f"{order_id} was charged {captures[order_id]} times")
        if order is None or order["status"] in ENDED:
            # A greeting is complete, and costs nothing.
            due = (order["total_minor"] or 0) if order is not None and order["status"] == "COMPLETED" else 0
            if (kept[order_id], moved[order_id]) != (due, due):
                found.append(f"{order_id}: {due} due, payment keeps {kept[order_id]}, the gateway {moved[order_id]}")
    return found


def _stock(orders: dict[str, dict[str, Any]], skus: list[dict[str, Any]]) -> list[str]:
    found = []
    sold: Counter[str] = Counter()
    open_for: defaultdict[str, int] = defaultdict(int)
    for order in orders.values():
        for item in order["items"]:
            if order["status"] == "COMPLETED":
                sold[item["sku"]] += item["quantity"]
            elif order["status"] not in ENDED:
                open_for[item["sku"]] += item["quantity"]
    for row in skus:
        if row["on_hand"] + row["held"] + row["shipped"] != row["received"] + row["adjusted"]:
            found.append(f"{row['sku']} does not add up: {row}")
        if row["shipped"] != sold[row["sku"]]:
            found.append(f"{row['sku']}: {sold[row['sku']]} sold, {row['shipped']} shipped")
        if row["held"] > open_for[row["sku"]]:
            found.append(f"{row['sku']}: {row['held']} held for orders that want {open_for[row['sku']]}")
    return found


def mails_by_order(shop: Shop) -> Counter[str]:
    """How many mails the sink has about each order."""
    assert shop.place.mails is not None
    parse = BytesHeaderParser().parsebytes
    subjects = (str(parse(path.read_bytes())["Subject"]).split() for path in shop.place.mails.glob("*.eml"))
    return Counter(words[2] for words in subjects if len(words) > 2)
