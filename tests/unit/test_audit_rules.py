"""The audit's rules: a sound world passes, and each hand-made corruption is found by exactly the right rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_world import (
    APPROVE,
    CHARGED,
    NOW,
    ORDERS,
    PRICED,
    TOTAL,
    common,
    event,
    with_history,
)

from audit.facts import (
    Charge,
    CommonFacts,
    CustomerFacts,
    GatewayEntry,
    HistoryEntry,
    Irregularity,
    Line,
    Mail,
    OrderFacts,
    Published,
    Reservation,
    SentCommand,
    StockRow,
    UnreadableRecord,
)
from audit.partitions import Effect, OutboxRow, ParkedKey, PartitionFacts, Timer
from audit.rules import ALWAYS, AT_REST, CUSTOMERS, OTHERS, PARTITION, TIMELY, check, check_common, check_order, name_of
from audit.rules import STOCK as STOCK_RULES

OrderCorruption = Callable[[OrderFacts], OrderFacts]


def test_a_sound_world_has_no_breaches() -> None:
    assert check([make() for make in ORDERS.values()], common()) == []


def row(**changes: object) -> OrderCorruption:
    return lambda order: replace(order, row=replace(order.row, **changes))  # type: ignore[type-var]


def facts(**changes: object) -> OrderCorruption:
    return lambda order: replace(order, **changes)  # type: ignore[arg-type]


def both(*entries: object) -> OrderCorruption:
    """More history, told and remembered as if it had really been decided."""
    return lambda order: with_history(order, *order.history, *entries)  # type: ignore[arg-type]


def more(**added: object) -> OrderCorruption:
    """One more of these."""
    return lambda order: replace(order, **{name: (*getattr(order, name), one) for name, one in added.items()})


def without_event(number: int) -> OrderCorruption:
    return lambda order: replace(order, published=order.published[:number] + order.published[number + 1 :])


def misheard(order: OrderFacts) -> OrderFacts:
    return replace(order, sent=(replace(order.sent[0], heard=False, heard_reason="invalid"),))


def mailed_twice(order: OrderFacts) -> OrderFacts:
    return replace(order, mails=order.mails * 2)


def swapped(order: OrderFacts) -> OrderFacts:
    first, second, *rest = order.published
    return replace(order, published=(second, first, *rest))


def redelivered_changed(order: OrderFacts) -> OrderFacts:
    again = replace(order.published[1], sequence=9, offset=900)
    return replace(order, published=(*order.published, again))


def undecided(order: OrderFacts) -> OrderFacts:
    pending = replace(order.commands[-1], id="c99", accepted=None)
    return replace(order, commands=(*order.commands, pending))


def forgotten_verdict(order: OrderFacts) -> OrderFacts:
    changed = replace(order.commands[0], accepted=False, reason="conflict")
    return replace(order, commands=(changed, *order.commands[1:]), sent=())


def without_entry(number: int) -> OrderCorruption:
    return lambda order: with_history(order, *order.history[:number], *order.history[number + 1 :])


def again(number: int) -> OrderCorruption:
    def twice(order: OrderFacts) -> OrderFacts:
        entry = replace(order.history[number], seq=4, event_id="e4")
        return with_history(order, *order.history[: number + 1], entry, *order.history[number + 1 :])

    return twice


def before_the_end(entry: HistoryEntry) -> OrderCorruption:
    return lambda order: with_history(order, *order.history[:-1], entry, order.history[-1])


def told_otherwise(number: int, **data: object) -> OrderCorruption:
    def other(order: OrderFacts) -> OrderFacts:
        entry = replace(order.history[number], data={**order.history[number].data, **data})
        return with_history(order, *order.history[:number], entry, *order.history[number + 1 :])

    return other


def unsigned(number: int, what: str = "operator") -> OrderCorruption:
    return told_otherwise(number, **{what: ""})


STRAY = Published("e99", "orders.payment-approved.v1", 99, 0, 999)
ENRICHED = event(4, "order-enriched", customer_id="k1", tier="GOLD")
APPROVED = event(2, "payment-approved", approved_by="me")
LATE_APPROVAL = event(12, "payment-approved", approved_by="me")
SECOND_END = event(12, "order-failed", reason="payment-failed", customer_id="k1")
STILL_HELD = Reservation("r0", "held", (PRICED,), "GBP")
EXTRA_HELD = Reservation("r1", "held", (Line("A", 1, 250),), "GBP")
SHIPPED = Reservation("r0", "shipped", (PRICED,), "GBP")
TWICE = GatewayEntry("refund", "ch", TOTAL, "GBP", "rf")
HALF = GatewayEntry("charge", "ch", TOTAL // 2, "GBP")
GHOST = Charge("ch", "captured", TOTAL, "GBP", TOTAL, 0)
ENDED_ON_TOPIC = Published("e98", "orders.order-completed.v1", 98, 0, 998)
FEWER_SHIPPED = Reservation("r0", "shipped", (Line("A", 1, 250),), "GBP")
WRONG_MAIL = Mail("confirmation", "e10", "<m10>")
IRREGULAR = Irregularity("o", "r0", "release-after-shipping", "shipped")
UNANSWERED = replace(common().sent_elsewhere[0], answered=False)
LOST = SentCommand("shop", "c99", APPROVE, True)

ORDER_CORRUPTIONS: list[tuple[str, str, OrderCorruption, str]] = [
    ("the row says another status than the history", "waiting", row(status="PAYING"), "history-folds-to-state"),
    (
        "a dead order has risen",
        "failed",
        row(status="RESERVING"),
        "history-folds-to-state deadline-while-open one-outcome what-was-heard-stands",
    ),
    ("the row has another reason", "failed", row(reason="unknown-sku"), "history-folds-to-state"),
    ("the row has another customer", "waiting", row(customer_id="k2"), "history-folds-to-state"),
    (
        "the total is not that of the lines",
        "waiting",
        row(total_minor=TOTAL + 1),
        "history-folds-to-state total-is-sum-of-lines",
    ),
    ("a second outcome was told", "cancelled", both(SECOND_END), "one-outcome"),
    ("an outcome of an open order is on the topic", "waiting", more(published=ENDED_ON_TOPIC), "one-outcome"),
    ("something happened after the end", "cancelled", both(LATE_APPROVAL), "no-resurrection"),
    ("a command of an ended order is undecided", "completed", undecided, "every-command-decided"),
    ("another verdict is remembered than was told", "completed", forgotten_verdict, "every-verdict-told"),
    ("an open order has no timer", "waiting", facts(timers=()), "deadline-while-open"),
    ("an ended order has a timer", "failed", facts(timers=(NOW,)), "deadline-while-open"),
    ("an event of the history is not on the topic", "completed", without_event(4), "history-is-published"),
    ("an outcome is not on the topic", "completed", without_event(6), "history-is-published"),
    ("an event on the topic is not in the history", "completed", more(published=STRAY), "published-is-recorded"),
    ("events stand in the wrong order", "completed", swapped, "sequence-rises"),
    ("an event id stands for two events", "failed", redelivered_changed, "history-is-published sequence-rises"),
    (
        "a completed order was not captured",
        "completed",
        facts(charges=(), entries=()),
        "order-is-paid told-money-moved",
    ),
    (
        "a cancelled order was not refunded",
        "cancelled",
        facts(charges=(GHOST,), entries=(CHARGED,)),
        "order-is-paid told-money-moved",
    ),
    ("money was taken before the approval", "waiting", facts(charges=(GHOST,), entries=(CHARGED,)), "order-is-paid"),
    ("money was taken from nobody's order", "stranger", facts(charges=(GHOST,), entries=(CHARGED,)), "order-is-paid"),
    ("the gateway lost a charge", "completed", facts(entries=()), "gateway-agrees"),
    ("the gateway charged another amount", "completed", facts(entries=(HALF,)), "gateway-agrees"),
    ("the gateway charged what payment does not know", "failed", facts(entries=(CHARGED,)), "gateway-agrees"),
    ("the gateway never gave the refund", "cancelled", facts(entries=(CHARGED,)), "gateway-agrees"),
    ("the gateway charged twice", "completed", facts(entries=(CHARGED, CHARGED)), "charged-once"),
    ("the gateway refunded twice", "cancelled", more(entries=TWICE), "refunds-within-captures"),
    ("an order that failed holds stock", "failed", facts(reservations=(STILL_HELD,)), "no-hold-after-end"),
    ("a completed order holds a second reservation", "completed", more(reservations=EXTRA_HELD), "no-hold-after-end"),
    ("an id that is no order's holds stock", "stranger", facts(reservations=(STILL_HELD,)), "no-hold-after-end"),
    (
        "stock is held for an order that has ended, long after the time for it",
        "failed",
        facts(reservations=(replace(STILL_HELD, over_for_s=91.0),)),
        "no-hold-after-end no-hold-outlives-its-order",
    ),
    (
        "stock is held for nobody, long after the time for it",
        "stranger",
        facts(reservations=(replace(STILL_HELD, over_for_s=91.0),), at_rest=False),
        "no-hold-outlives-its-order",
    ),
    ("a completed order was not shipped", "completed", facts(reservations=(STILL_HELD,)), "shipped-exactly"),
    ("a cancelled order was shipped", "cancelled", facts(reservations=(SHIPPED,)), "shipped-exactly"),
    ("other pieces were shipped", "completed", facts(reservations=(FEWER_SHIPPED,)), "shipped-exactly"),
    ("a waiting order holds nothing", "waiting", facts(reservations=()), "held-exactly"),
    ("a mail was made twice", "completed", mailed_twice, "one-mail-per-cause"),
    ("a confirmation of a cancelled order", "cancelled", facts(mails=(WRONG_MAIL,)), "one-mail-per-cause"),
    ("a command was lost", "completed", more(sent=LOST), "every-sent-command-known"),
    ("stock is held for an order that was never enriched", "enriched", without_entry(2), "enriched-before-reserved"),
    ("an order was enriched twice", "enriched", again(2), "enriched-before-reserved"),
    (
        "an order of version 1 was enriched",
        "waiting",
        both(ENRICHED),
        "enriched-before-reserved history-folds-to-state",
    ),
    ("nobody knows who paused an order", "enriched", unsigned(5), "operators-are-named"),
    ("nobody knows why an order was resumed", "enriched", unsigned(7, "reason"), "operators-are-named"),
    ("a greeting greets somebody else", "greeted", row(customer_id="bob"), "a-greeting-is-a-greeting"),
    ("a greeting was approved", "greeted", before_the_end(APPROVED), "a-greeting-is-a-greeting"),
    ("a greeting was charged", "greeted", facts(charges=(GHOST,), entries=(CHARGED,)), "order-is-paid"),
    ("a greeting holds stock", "greeted", facts(reservations=(STILL_HELD,)), "no-hold-after-end"),
    ("a greeting was mailed about", "greeted", facts(mails=(WRONG_MAIL,)), "one-mail-per-cause"),
    ("a greeting counts for a tier", "greeted", facts(counted_for=("ada",)), "completed-orders-count"),
    ("a refund was told that was not made", "cancelled", told_otherwise(8, refund_id="rx"), "told-money-moved"),
    ("another amount was told to be refunded", "cancelled", told_otherwise(8, amount_minor=1), "told-money-moved"),
    ("another amount was told to be captured", "completed", told_otherwise(5, amount_minor=1), "told-money-moved"),
    ("a completed order counts for nobody", "completed", facts(counted_for=()), "completed-orders-count"),
    ("a completed order counts twice", "completed", facts(counted_for=("k1", "k1")), "completed-orders-count"),
    ("a cancelled order counts", "cancelled", facts(counted_for=("k1",)), "completed-orders-count"),
    ("the sender heard another verdict", "failed", misheard, "what-was-heard-stands"),
    ("the sender heard another outcome", "completed", facts(heard_outcome="cancelled"), "what-was-heard-stands"),
]


@pytest.mark.parametrize(
    ("what", "world", "corrupt", "rules"), ORDER_CORRUPTIONS, ids=[c[0] for c in ORDER_CORRUPTIONS]
)
def test_a_corruption_of_an_order_is_found_by_the_right_rule(
    what: str, world: str, corrupt: OrderCorruption, rules: str
) -> None:
    breaches = check_order(corrupt(ORDERS[world]()))
    assert {breach.rule for breach in breaches} == set(rules.split()), what
    assert {breach.subject for breach in breaches} == {world}


def test_every_rule_about_orders_has_a_corruption_that_it_finds() -> None:
    found = {rule for _, _, _, rules in ORDER_CORRUPTIONS for rule in rules.split()}
    assert found == {name_of(rule) for rule in (*ALWAYS, *TIMELY, *AT_REST)}


STOCK = common().stock[0]
LONG_AGO = NOW - timedelta(seconds=31)
JUST_NOW = NOW - timedelta(seconds=1)


def stock_row(*counts: int) -> CommonFacts:
    return replace(common(), stock=(replace(STOCK, row=StockRow(*counts)),))


def partition(**changes: object) -> CommonFacts:
    return replace(common(), partitions=(replace(PartitionFacts("orders", 0, NOW), **changes),))  # type: ignore[arg-type]


def outbox(at: object) -> CommonFacts:
    return partition(outbox=(OutboxRow(7, "orders.events.v1", "orders.order-completed.v1", at),))  # type: ignore[arg-type]


def of_customers(*customers: CustomerFacts) -> CommonFacts:
    return replace(common(), customers=customers)


COMMON_CORRUPTIONS: list[tuple[str, CommonFacts, str]] = [
    ("a piece vanished", stock_row(11, -1, 5, 2, 2), "stock-is-conserved"),
    ("more was sold than there was", stock_row(11, -9, -2, 2, 2), "stock-is-conserved receipts-are-answered"),
    ("more is held than reserved", stock_row(11, -1, 5, 3, 2), "held-matches-reservations"),
    ("less is shipped than reserved", stock_row(11, -1, 7, 2, 1), "shipped-matches-reservations"),
    (
        "reserved of an unknown SKU",
        replace(common(), stock=(replace(STOCK, row=None),)),
        "held-matches-reservations shipped-matches-reservations receipts-are-answered",
    ),
    ("a receipt counted twice", stock_row(22, -1, 17, 2, 2), "receipts-are-answered"),
    (
        "payment's sum",
        replace(common(), money=(replace(common().money[0], payment_captured_minor=1),)),
        "money-adds-up",
    ),  # type: ignore[index]
    (
        "gateway's sum",
        replace(common(), money=(replace(common().money[0], gateway_refunded_minor=1),)),
        "money-adds-up",
    ),  # type: ignore[index]
    ("a release of what was shipped", replace(common(), irregularities=(IRREGULAR,)), "nothing-irregular"),
    ("a message that never left", outbox(LONG_AGO), "outbox-is-drained"),
    ("a timer that never fired", partition(timers=(Timer("o", "order", LONG_AGO),)), "no-timer-is-overdue"),
    ("a call that never ended", partition(effects=(Effect("f", "o", "charge", LONG_AGO),)), "no-effect-is-overdue"),
    (
        "a lane behind a letter that is settled",
        partition(parked=(ParkedKey("b", 2, "t", 7, "ValueError", settled=True),)),
        "lanes-can-be-opened",
    ),
    ("an order counted twice for a tier", of_customers(CustomerFacts("k1", 2, 1)), "tiers-add-up"),
    ("a counted order does not count", of_customers(CustomerFacts("k1", 0, 1)), "tiers-add-up"),
    ("an erased address", of_customers(CustomerFacts("k1", left_at=("contact",))), "erased-is-gone"),
    ("rubbish", replace(common(), unreadable=(UnreadableRecord(0, 7, "?"),)), "every-topic-record-is-an-event"),
    ("a receipt was lost", replace(common(), sent_elsewhere=(UNANSWERED,)), "every-shop-command-answered"),
]


@pytest.mark.parametrize(("what", "spoilt", "rules"), COMMON_CORRUPTIONS, ids=[c[0] for c in COMMON_CORRUPTIONS])
def test_a_corruption_elsewhere_is_found_by_the_right_rule(what: str, spoilt: CommonFacts, rules: str) -> None:
    assert {breach.rule for breach in check_common(spoilt)} == set(rules.split()), what


def test_every_other_rule_has_a_corruption_that_it_finds() -> None:
    found = {rule for _, _, rules in COMMON_CORRUPTIONS for rule in rules.split()}
    others = {name_of(rule) for rule in (*STOCK_RULES, *PARTITION, *CUSTOMERS, *OTHERS)}
    assert found == others - {"everything-has-ended"}
