"""A small world in which everything is as it should be: four orders, their stock, money, events and mails. Tests spoil it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from audit.facts import (
    Charge,
    CommandRow,
    CommonFacts,
    CustomerFacts,
    GatewayEntry,
    HistoryEntry,
    Line,
    Mail,
    MoneyFacts,
    OrderFacts,
    OrderRow,
    Published,
    Refund,
    Reservation,
    SentCommand,
    SentElsewhere,
    StockFacts,
    StockRow,
)
from audit.partitions import ParkedKey, PartitionFacts

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
START, APPROVE, CANCEL = "orders.start-order.v1", "orders.approve-payment.v1", "orders.cancel-order.v1"
UNPRICED = Line("A", 2)
PRICED = Line("A", 2, 250)
TOTAL = 500


def event(seq: int, kind: str, cause: str = "", **data: Any) -> HistoryEntry:
    return HistoryEntry(seq, f"orders.{kind}.v1", f"e{seq}", data, cause)


def note(seq: int, kind: str, cause: str = "", **data: Any) -> HistoryEntry:
    return HistoryEntry(seq, f"orders.{kind}", None, data, cause)


def accepted(seq: int, command_type: str) -> HistoryEntry:
    cause = f"c{seq}"
    return event(seq, "command-accepted", cause, command_id=cause, command_type=command_type, duplicate=False)


def items(*lines: Line) -> list[dict[str, Any]]:
    return [{"sku": line.sku, "quantity": line.quantity, "unit_price_minor": line.unit_price_minor} for line in lines]


def begun() -> tuple[HistoryEntry, ...]:
    started = event(
        2, "order-started", workflow="order", workflow_version=1, customer_id="k1", items=items(UNPRICED), currency=None
    )
    held = event(3, "stock-reserved", reservation_id="r0", items=items(PRICED), total_minor=TOTAL, currency="GBP")
    return (accepted(1, START), started, held)


def published(history: tuple[HistoryEntry, ...], partition: int = 0) -> tuple[Published, ...]:
    told = [entry for entry in history if entry.event_id is not None]
    return tuple(Published(e.event_id or "", e.type, e.seq, partition, 100 + n) for n, e in enumerate(told))


def commands(history: tuple[HistoryEntry, ...]) -> tuple[CommandRow, ...]:
    verdicts = [entry for entry in history if "command_id" in entry.data]
    return tuple(
        CommandRow("shop", e.data["command_id"], e.data["command_type"], "accepted" in e.type, e.data.get("reason"))
        for e in verdicts
    )


def with_history(order: OrderFacts, *history: HistoryEntry) -> OrderFacts:
    """The order with this history, its events published and its commands remembered, as it should be."""
    sent = tuple(SentCommand("shop", c.id, c.type, True, c.accepted, c.reason) for c in commands(history))
    return replace(order, history=history, published=published(history), commands=commands(history), sent=sent)


ROW = OrderRow("COMPLETED", "order", 1, "k1", (PRICED,), "GBP", TOTAL)
CAPTURED = Charge("ch", "captured", TOTAL, "GBP", TOTAL, 0)
CHARGED = GatewayEntry("charge", "ch", TOTAL, "GBP")


def completed() -> OrderFacts:
    """Approved, paid, shipped, told by mail."""
    order = OrderFacts(
        "completed",
        row=ROW,
        reservations=(Reservation("r0", "shipped", (PRICED,), "GBP"),),
        charges=(CAPTURED,),
        entries=(CHARGED,),
        mails=(Mail("confirmation", "e7", "<m7>"),),
        heard_outcome="completed",
        counted_for=("k1",),
    )
    return with_history(
        order,
        *begun(),
        accepted(4, APPROVE),
        event(5, "payment-approved", approved_by="me"),
        event(6, "payment-captured", charge_id="ch", amount_minor=TOTAL, currency="GBP"),
        event(
            7,
            "order-completed",
            items=items(PRICED),
            total_minor=TOTAL,
            currency="GBP",
            customer_id="k1",
            reservation_ids=["r0"],
        ),
    )


def cancelled() -> OrderFacts:
    """Cancelled while it was paid: the money was given back at the second try, and the stock."""
    order = OrderFacts(
        "cancelled",
        row=replace(ROW, status="CANCELLED", reason="customer-request"),
        reservations=(Reservation("r0", "released", (PRICED,), "GBP"),),
        charges=(replace(CAPTURED, refunded_minor=TOTAL, refunds=(Refund("rf", TOTAL, "GBP", True),)),),
        entries=(CHARGED, GatewayEntry("refund", "ch", TOTAL, "GBP", "rf")),
        mails=(Mail("cancellation", "e10", "<m10>"),),
        heard_outcome="cancelled",
    )
    return with_history(
        order,
        *begun(),
        accepted(4, APPROVE),
        event(5, "payment-approved", approved_by="me"),
        accepted(6, CANCEL),
        event(7, "payment-captured", charge_id="ch", amount_minor=TOTAL, currency="GBP"),
        note(8, "retry-scheduled", waiting_for="refund"),
        event(9, "payment-refunded", charge_id="ch", refund_id="rf", amount_minor=TOTAL, currency="GBP"),
        event(10, "order-cancelled", reason="customer-request", customer_id="k1"),
        event(11, "command-rejected", command_id="c11", command_type=APPROVE, reason="too-late", duplicate=False),
    )


def failed() -> OrderFacts:
    """The stock was not there."""
    order = OrderFacts(
        "failed",
        row=OrderRow("FAILED", "order", 1, "k1", (UNPRICED,), reason="out-of-stock"),
        reservations=(Reservation("r0", "refused", (UNPRICED,)),),
        heard_outcome="failed",
    )
    return with_history(order, *begun()[:2], event(3, "order-failed", reason="out-of-stock", customer_id="k1"))


def waiting() -> OrderFacts:
    """Open: it holds its stock and waits for an approval, for which there is a deadline."""
    order = OrderFacts(
        "waiting",
        row=replace(ROW, status="AWAITING_APPROVAL"),
        timers=(NOW + timedelta(minutes=15),),
        reservations=(Reservation("r0", "held", (PRICED,), "GBP"),),
    )
    return with_history(order, *begun())


def stranger() -> OrderFacts:
    """No order: somebody wanted to cancel one that does not exist."""
    refused = event(
        1, "command-rejected", command_id="c1", command_type=CANCEL, reason="unknown-order", duplicate=False
    )
    return with_history(OrderFacts("stranger"), refused)


def enriched() -> OrderFacts:
    """Version 2, open, and an operator has let it stand still and go on."""
    asked = accepted(6, "orders.pause-order.v1")
    order = OrderFacts(
        "enriched",
        row=replace(ROW, status="AWAITING_APPROVAL", workflow_version=2),
        timers=(NOW + timedelta(minutes=15),),
        reservations=(Reservation("r0", "held", (PRICED,), "GBP"),),
        counted_for=(),
    )
    first, started, held = begun()
    return with_history(
        order,
        first,
        replace(started, data={**started.data, "workflow_version": 2}),
        event(3, "order-enriched", customer_id="k1", tier="STANDARD"),
        replace(held, seq=5, event_id="e5"),
        asked,
        event(7, "order-paused", "c6", operator="m.brown", reason="ticket 4711", message="It stands still."),
        accepted(8, "orders.resume-order.v1"),
        event(9, "order-resumed", "c8", operator="m.brown", reason="ticket 4711", message="It goes on."),
    )


def greeted() -> OrderFacts:
    """The second workflow."""
    order = OrderFacts("greeted", row=OrderRow("COMPLETED", "greet", 1, "ada", ()), counted_for=())
    return with_history(order, accepted(1, "orders.start-greet.v1"), event(3, "greeted", greeting="Hello, ada!"))


ORDERS = {make.__name__: make for make in (completed, cancelled, failed, waiting, stranger, enriched, greeted)}


def common() -> CommonFacts:
    """What belongs to no order: 2 pieces shipped, 2 held, 6 left of 10 + 1 - 1."""
    return CommonFacts(
        stock=(StockFacts("A", StockRow(11, -1, 6, 2, 2), 2, 2, 11, -1),),
        partitions=(PartitionFacts("orders", 0, NOW, parked=(ParkedKey("b", 2, "t", 7, "ValueError"),)),),
        customers=(CustomerFacts("k1", 1, 1), CustomerFacts("k2")),
        money=(MoneyFacts("GBP", TOTAL, 2 * TOTAL, TOTAL, 2 * TOTAL, TOTAL),),
        sent_elsewhere=(SentElsewhere("inventory.commands.v1", "A", "s1", "inventory.receive-stock.v1", True),),
    )
