"""The invariants: pure functions from facts to breaches, shared by everything that judges the system.

A rule is a small function; its docstring is the promise, its name (with dashes) what a breach is filed under. Rules about an
order come in two kinds: those that hold at every moment, because one database tells all that they need, and those that compare
what different parties have on record, which can be done only when nothing about the order is under way (`OrderFacts.at_rest`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from audit.facts import CommonFacts, OrderFacts
from audit.partitions import PartitionFacts
from audit.rules import acts, customers, money, publishing, runtime, stock, workflow
from audit.rules.breach import Breach, Finding, Tally, Terms

OrderRule = Callable[[OrderFacts], Iterator[Finding]]
TimelyRule = Callable[[OrderFacts, Terms], Iterator[Finding]]
Rule = Callable[..., Iterator[Finding]]

DEFAULT_TERMS: Final = Terms()

ALWAYS: Final[tuple[OrderRule, ...]] = (
    workflow.history_folds_to_state,
    workflow.total_is_sum_of_lines,
    workflow.one_outcome,
    workflow.no_resurrection,
    workflow.every_command_decided,
    workflow.every_verdict_told,
    workflow.deadline_while_open,
    acts.enriched_before_reserved,
    acts.operators_are_named,
    acts.a_greeting_is_a_greeting,
    money.charged_once,
    money.refunds_within_captures,
)
AT_REST: Final[tuple[OrderRule, ...]] = (
    workflow.every_sent_command_known,
    workflow.what_was_heard_stands,
    publishing.history_is_published,
    publishing.published_is_recorded,
    publishing.sequence_rises,
    money.order_is_paid,
    money.gateway_agrees,
    money.told_money_moved,
    stock.no_hold_after_end,
    stock.shipped_exactly,
    stock.held_exactly,
    runtime.one_mail_per_cause,
    customers.completed_orders_count,
)
#: About an order at every moment too, where it matters how late something may be.
TIMELY: Final[tuple[TimelyRule, ...]] = (stock.no_hold_outlives_its_order,)
STOCK: Final[tuple[Rule, ...]] = (
    stock.stock_is_conserved,
    stock.held_matches_reservations,
    stock.shipped_matches_reservations,
    stock.receipts_are_answered,
)
PARTITION: Final[tuple[Rule, ...]] = (
    runtime.outbox_is_drained,
    runtime.no_timer_is_overdue,
    runtime.no_effect_is_overdue,
    runtime.lanes_can_be_opened,
)
CUSTOMERS: Final[tuple[Rule, ...]] = (customers.tiers_add_up, customers.erased_is_gone)
OTHERS: Final[tuple[Rule, ...]] = (
    runtime.everything_has_ended,
    money.money_adds_up,
    stock.nothing_irregular,
    runtime.every_topic_record_is_an_event,
    runtime.every_shop_command_answered,
)


def name_of(rule: Rule) -> str:
    """What breaches of the rule are filed under."""
    return rule.__name__.replace("_", "-")


_RULES: Final[tuple[Rule, ...]] = (*ALWAYS, *TIMELY, *AT_REST, *STOCK, *PARTITION, *CUSTOMERS, *OTHERS)
#: Every rule's promise by its name.
PROMISES: Final[Mapping[str, str]] = {name_of(rule): " ".join((rule.__doc__ or "").split()) for rule in _RULES}

_Named = tuple[tuple[str, OrderRule], ...]
_ALWAYS_NAMED: Final[_Named] = tuple((name_of(rule), rule) for rule in ALWAYS)
_ALL_NAMED: Final[_Named] = tuple((name_of(rule), rule) for rule in (*ALWAYS, *AT_REST))
_TIMELY_NAMED: Final[tuple[tuple[str, TimelyRule], ...]] = tuple((name_of(rule), rule) for rule in TIMELY)
_NAMES: Final = {named: tuple(name for name, _ in (*named, *_TIMELY_NAMED)) for named in (_ALWAYS_NAMED, _ALL_NAMED)}
_ENDED: Final = name_of(runtime.everything_has_ended)


def check_order(order: OrderFacts, terms: Terms = DEFAULT_TERMS, tally: Tally | None = None) -> list[Breach]:
    """The breaches of one order, or of an id under which something stands that is no order's."""
    named = _ALL_NAMED if order.at_rest else _ALWAYS_NAMED
    found = [_breach(name, "order", order.order_id, f) for name, rule in named for f in rule(order)]
    found += [_breach(name, "order", order.order_id, f) for name, timely in _TIMELY_NAMED for f in timely(order, terms)]
    found += [_breach(_ENDED, "order", order.order_id, f) for f in runtime.everything_has_ended(order, terms)]
    if tally is not None:
        tally.add(*_NAMES[named])
        if terms.expect_ended:
            tally.add(_ENDED)
    return found


def check_partition(
    partition: PartitionFacts, terms: Terms = DEFAULT_TERMS, tally: Tally | None = None
) -> list[Breach]:
    """The breaches of one service's partition."""
    subject = f"{partition.service}/{partition.partition}"
    found = []
    for rule in PARTITION:
        found += [_breach(name_of(rule), "partition", subject, finding) for finding in rule(partition, terms)]
        if tally is not None:
            tally.add(name_of(rule))
    return found


def check_common(facts: CommonFacts, terms: Terms = DEFAULT_TERMS, tally: Tally | None = None) -> list[Breach]:
    """The breaches of what belongs to no order."""
    tally = Tally() if tally is None else tally
    found = [breach for partition in facts.partitions for breach in check_partition(partition, terms, tally)]
    for rule in STOCK:
        found += _each(rule, "sku", [(row.sku, row) for row in facts.stock], tally)
    for rule in CUSTOMERS:
        found += _each(rule, "customer", [(one.customer_id, one) for one in facts.customers], tally)
    found += _each(money.money_adds_up, "currency", [(m.currency, m) for m in facts.money or ()], tally)
    found += _each(stock.nothing_irregular, "order", [(i.order_id, i) for i in facts.irregularities], tally)
    unreadable = [(f"orders.events.v1/{r.partition}/{r.offset}", r) for r in facts.unreadable]
    found += _each(runtime.every_topic_record_is_an_event, "record", unreadable, tally)
    sent = [(command.key, command) for command in facts.sent_elsewhere]
    return found + _each(runtime.every_shop_command_answered, "key", sent, tally)


def check(orders: Iterable[OrderFacts], common: CommonFacts, terms: Terms = DEFAULT_TERMS) -> list[Breach]:
    """All breaches of a system whose facts are in memory."""
    return [*check_common(common, terms), *(breach for order in orders for breach in check_order(order, terms))]


def _each(rule: Rule, kind: str, facts: Iterable[tuple[str, Any]], tally: Tally) -> list[Breach]:
    found = []
    name = name_of(rule)
    for subject, fact in facts:
        tally.add(name)
        found += [_breach(name, kind, subject, finding) for finding in rule(fact)]
    return found


def _breach(rule: str, kind: str, subject: str, finding: Finding) -> Breach:
    return Breach(rule, kind, subject, finding.expected, finding.found, finding.about)


__all__ = [
    "PROMISES",
    "Breach",
    "Finding",
    "Tally",
    "Terms",
    "check",
    "check_common",
    "check_order",
    "check_partition",
    "name_of",
]
