"""From rows to facts: what each database, the topic and the sender's record say, put together order by order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg
from pydantic_core import from_json

from audit import sql
from audit.facts import (
    Charge,
    CommandRow,
    CommonFacts,
    CustomerFacts,
    GatewayEntry,
    HistoryEntry,
    Irregularity,
    Mail,
    MoneyFacts,
    OrderFacts,
    OrderRow,
    Published,
    Refund,
    Reservation,
    SentElsewhere,
    StockFacts,
    StockRow,
)
from audit.fold import lines_of
from audit.kafka import TopicLog
from audit.postgres import Stream, listed, side_by_side
from audit.record import SenderRecord
from audit.settle import Cut
from contracts.topics import CUSTOMER_COMMANDS, INVENTORY_COMMANDS, ORDERS_EVENTS
from messaging.partitioner import partition_of


@dataclass(frozen=True, slots=True)
class _Row:
    """An order's row, and when it changed last."""

    row: OrderRow
    updated_at: datetime


# --- orders -------------------------------------------------------------------------------------------------------------


async def load_orders(cut: Cut, log: TopicLog, record: SenderRecord) -> AsyncIterator[OrderFacts]:
    """The facts of every order that anybody knows, one after another."""
    gateway = cut.databases["gateway"]
    reads: Sequence[tuple[str, str, str, Callable[[asyncpg.Record], Any]]] = (
        ("rows", "orders", sql.ORDERS, _order),
        ("history", "orders", sql.HISTORY, _entry),
        ("commands", "orders", sql.COMMANDS, _command),
        ("timers", "orders", sql.ORDER_TIMERS, lambda row: row["due_at"]),
        ("charges", "payment", sql.CHARGES, _charge),
        ("counted", "customer", sql.COUNTED_ORDERS, lambda row: row["customer_id"]),
        ("mails", "notification", sql.MAILS, lambda row: Mail(row["kind"], row["cause"], row["message_id"])),
    )
    streams: dict[str, Stream[Any]] = {
        name: Stream(cut.databases[where].by_order(query, build)) for name, where, query, build in reads
    }
    inventory = cut.databases["inventory"]
    streams["reservations"] = Stream(inventory.by_order(sql.RESERVATIONS, _reservation, inventory.as_of))
    streams["entries"] = Stream(gateway.by_order(sql.ENTRIES, _gateway_entry, gateway.as_of))
    streams["published"] = Stream(listed(log.orders))
    streams["sent"] = Stream(listed({order_id: list(sent.values()) for order_id, sent in record.orders.items()}))
    streams["outcomes"] = Stream(listed({order_id: [outcome] for order_id, outcome in record.outcomes.items()}))
    partitions = sum(1 for topic, _ in cut.ends if topic == ORDERS_EVENTS)
    parked = cut.parked
    async for order_id, found in side_by_side(streams):
        yield _facts(cut, order_id, partitions, found, parked.get(order_id, ()))


def _facts(
    cut: Cut, order_id: str, partitions: int, found: Mapping[str, tuple[Any, ...]], parked_at: tuple[str, ...]
) -> OrderFacts:
    rows: tuple[_Row, ...] = found.get("rows", ())
    outcomes = found.get("outcomes", ())
    facts = OrderFacts(
        order_id=order_id,
        row=rows[0].row if rows else None,
        history=found.get("history", ()),
        commands=found.get("commands", ()),
        timers=found.get("timers", ()),
        reservations=found.get("reservations", ()),
        charges=found.get("charges", ()),
        entries=found.get("entries", ()),
        mails=found.get("mails", ()),
        published=found.get("published", ()),
        sent=found.get("sent", ()),
        heard_outcome=outcomes[0] if outcomes else None,
        counted_for=found.get("counted", ()),
        parked_at=parked_at,
        at_rest=not parked_at,
    )
    if cut.quiet:
        return facts
    at_rest = facts.at_rest and bool(rows) and rows[0].row.ended and rows[0].updated_at < cut.began
    position = cut.positions["orders"].get(partition_of(order_id, partitions))
    if position is None:
        return replace(facts, at_rest=at_rest)
    # The topic was read after the database: what was decided since has no history here.
    known = tuple(event for event in facts.published if _decided_before(event, position.next_seq))
    return replace(facts, at_rest=at_rest, published=known, published_to=position.published_seq)


def _decided_before(event: Published, next_seq: int) -> bool:
    return event.sequence is None or event.sequence < next_seq


def _order(row: asyncpg.Record) -> _Row:
    order = OrderRow(
        status=row["status"],
        workflow=row["workflow"],
        workflow_version=row["workflow_version"],
        customer_id=row["customer_id"],
        items=lines_of(from_json(row["items"])),
        currency=row["currency"],
        total_minor=row["total_minor"],
        reason=row["reason"],
        paused=row["paused"],
    )
    return _Row(order, row["updated_at"])


def _entry(row: asyncpg.Record) -> HistoryEntry:
    return HistoryEntry(row["seq"], row["type"], row["event_id"], from_json(row["data"]), row["cause"])


def _command(row: asyncpg.Record) -> CommandRow:
    return CommandRow(row["source"], row["id"], row["type"], row["accepted"], row["reason"])


def _reservation(row: asyncpg.Record) -> Reservation:
    late_s: float | None = row["over_for_s"]
    over_for_s = late_s if late_s is not None and late_s > 0 else None
    lines = lines_of(from_json(row["lines"]))
    return Reservation(row["reservation_id"], row["state"], lines, row["currency"], over_for_s)


def _charge(row: asyncpg.Record) -> Charge:
    refunds = () if row["refunds"] is None else tuple(Refund(*refund) for refund in from_json(row["refunds"]))
    return Charge(
        charge_id=row["charge_id"],
        status=row["status"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        captured_minor=row["captured_minor"],
        refunded_minor=row["refunded_minor"],
        refunds=refunds,
    )


def _gateway_entry(row: asyncpg.Record) -> GatewayEntry:
    return GatewayEntry(row["kind"], row["charge_id"], row["amount_minor"], row["currency"], row["refund_id"])


# --- what belongs to no order -------------------------------------------------------------------------------------------


async def load_common(cut: Cut, log: TopicLog, record: SenderRecord) -> CommonFacts:
    """Stock, sums, partitions, and the sender's commands to other services."""
    inventory = cut.databases["inventory"]
    stock = [_stock(row) for row in await inventory.fetch(sql.STOCK)]
    irregularities = [Irregularity(*row.values()) for row in await inventory.fetch(sql.IRREGULARITIES)]
    return CommonFacts(
        stock=tuple(stock),
        irregularities=tuple(irregularities),
        partitions=cut.partitions,
        money=await _money(cut) if cut.quiet else None,
        unreadable=tuple(log.unreadable),
        customers=await _customers(cut),
        sent_elsewhere=await _elsewhere(cut, record) if cut.quiet else (),
    )


async def _customers(cut: Cut) -> tuple[CustomerFacts, ...]:
    rows = await cut.databases["customer"].fetch(sql.CUSTOMERS)
    # What notification has not read yet it cannot have erased.
    erased = [row["customer_id"] for row in rows if row["erased"]] if cut.quiet else []
    contacts = await cut.databases["notification"].fetch(sql.CONTACTS_LEFT, erased) if erased else []
    written_to = {row["customer_id"] for row in contacts}
    places = ("customer", "in_row"), ("answer", "in_answers")
    return tuple(
        CustomerFacts(
            row["customer_id"],
            row["completed_orders"],
            row["counted_orders"],
            (
                *(place for place, found in places if row[found]),
                *(("contact",) if row["customer_id"] in written_to else ()),
            ),
        )
        for row in rows
    )


def _stock(row: asyncpg.Record) -> StockFacts:
    counts = (row["received"], row["adjusted"], row["on_hand"], row["held"], row["shipped"])
    return StockFacts(
        sku=row["sku"] or "(no SKU)",
        row=StockRow(*counts) if row["known"] else None,
        held_in_lines=row["held_in_lines"],
        shipped_in_lines=row["shipped_in_lines"],
        receipts=row["receipts"],
        adjustments=row["adjustments"],
    )


async def _money(cut: Cut) -> tuple[MoneyFacts, ...]:
    """Each party's own sums, over all orders that are not open, do not wait behind a dead letter and were not settled by hand."""
    orders, payment, gateway = (cut.databases[name] for name in ("orders", "payment", "gateway"))
    parked = list(cut.parked)
    uncounted = [*(row["order_id"] for row in await orders.fetch(sql.UNCOUNTED_ORDERS)), *parked]
    completed = _sums(await orders.fetch(sql.COMPLETED_SUMS, parked))
    paid = _sums(await payment.fetch(sql.PAYMENT_SUMS, uncounted))
    moved = _sums(await gateway.fetch(sql.GATEWAY_SUMS, gateway.as_of, uncounted))
    return tuple(
        MoneyFacts(
            currency=currency,
            completed_minor=completed[currency]["total"],
            payment_captured_minor=paid[currency]["captured"],
            payment_refunded_minor=paid[currency]["refunded"],
            gateway_charged_minor=moved[currency]["charged"],
            gateway_refunded_minor=moved[currency]["refunded"],
        )
        for currency in sorted({*completed, *paid, *moved}, key=str)
    )


def _sums(rows: Sequence[asyncpg.Record]) -> Mapping[Any, Counter[str]]:
    """The sums of each currency, over all databases that told of it."""
    found: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    for row in rows:
        found[row["currency"]].update({name: value or 0 for name, value in row.items() if name != "currency"})
    return found


async def _elsewhere(cut: Cut, record: SenderRecord) -> tuple[SentElsewhere, ...]:
    answered: dict[str, set[tuple[str, str]]] = {}
    parked = cut.parked
    elsewhere = [sent for sent in record.elsewhere if sent[1] not in parked]
    for topic, name, query in (
        (INVENTORY_COMMANDS, "inventory", sql.ANSWERED_BY_INVENTORY),
        (CUSTOMER_COMMANDS, "customer", sql.ANSWERED_BY_CUSTOMER),
    ):
        ids = sorted({command_id for where, _, command_id, _, _ in elsewhere if where == topic})
        rows = await cut.databases[name].fetch(query, ids) if ids else []
        answered[topic] = {(row["source"], row["id"]) for row in rows}
    return tuple(
        SentElsewhere(topic, key, command_id, kind, _is_answered(answered.get(topic, set()), source, command_id))
        for topic, key, command_id, source, kind in elsewhere
    )


def _is_answered(answered: set[tuple[str, str]], source: str | None, command_id: str) -> bool:
    if source is not None:
        return (source, command_id) in answered
    return any(command_id == known for _, known in answered)
