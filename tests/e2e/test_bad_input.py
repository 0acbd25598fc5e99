"""Bad input: told to its sender where that can be, else set aside with its reason; nothing is lost, and nothing stands still."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import pytest
from aiokafka.partitioner import murmur2

from contracts.topics import SUBSCRIPTIONS, dead_letter_topic
from e2e.bad_records import DEAD, VERDICT, Bad, Sample, bad_records
from e2e.journal import DeadLetter, Event
from e2e.shop import STRUCTURED, Shop, order_data

MARK: Final = "e2e-mark"
PLACES: Final = {"dlq-reason", "dlq-error", "dlq-topic", "dlq-partition", "dlq-offset", "dlq-time"}

START = Sample(
    "orders.start-order.v1",
    lambda key: {"customer_id": "somebody", "items": [{"sku": "sku", "quantity": 1}]},
    ("items", "quantity"),
    ("customer_id",),
)
RECEIVE = Sample(
    "inventory.receive-stock.v1",
    lambda key: {"sku": key, "quantity": 1, "unit_price_minor": 5, "description": "fine"},
    ("quantity",),
    ("description",),
)
REGISTER = Sample(
    "customer.register-customer.v1",
    lambda key: {"customer_id": key, "name": "Ada", "email": "ada@example.com"},
    ("name",),  # it has no number; a number where a text belongs is as wrong
    ("name",),
)
OPERATE = Sample(
    "orders.resolve-attention.v1",
    lambda key: {"operator": "e2e", "reason": "because", "resolution": "retry"},
    ("resolution",),
    ("reason",),
)
CHARGE = Sample(
    "payment.charge.v1",
    lambda key: {
        "charge_id": f"{key}-c",
        "amount_minor": 5,
        "currency": "GBP",
        "payment_method": "pm_card_visa",
        "attempt": 1,
    },
    ("attempt",),
    ("payment_method",),
)
DOORS = {
    "orders.commands.v1": (START, "orders", True),
    "orders.operations.v1": (OPERATE, "orders", True),
    "inventory.commands.v1": (RECEIVE, "inventory", True),
    "customer.commands.v1": (REGISTER, "customer", True),
    # Only the orchestrator writes here: there is no verdict that could tell anybody else.
    "payment.commands.v1": (CHARGE, "payment", False),
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A record under its mark, and where it was put."""

    mark: bytes
    bad: Bad
    partition: int


@pytest.mark.parametrize("topic", DOORS)
async def test_every_bad_record_is_rejected_or_set_aside_and_none_is_lost(shop: Shop, topic: str) -> None:
    sample, service, answers = DOORS[topic]
    sent: list[Sent] = []
    for partition in range(shop.place.partitions):
        for bad in bad_records(sample, shop.new_id):
            if topic == "customer.commands.v1" and bad.name in HARMLESS_TO_CUSTOMERS:
                continue
            sent.append(Sent(shop.new_id("mark").encode(), bad, partition))
    for one in sent:
        headers = [*one.bad.headers, (MARK, one.mark)]
        await shop.put(topic, one.bad.key, one.bad.value, headers, one.partition)
    by_mark = {one.mark: one for one in sent}
    fates = await shop.journal.until(
        lambda: found if len(found := _fates(shop, sent)) == len(sent) else None,
        f"a fate for each of {len(sent)} records on {topic}; missing: "
        f"{[(one.bad.name, one.partition) for one in sent if one.mark not in _fates(shop, sent)][:10]}",
        40,
    )
    wrong: list[str] = []
    for mark, fate in fates.items():
        one = by_mark[mark]
        wrong += [f"{one.bad.name} on {one.partition}: {what}" for what in _wrong(one, fate, topic, service, answers)]
    assert not wrong, "\n".join(sorted(wrong))
    rejected = sum(isinstance(fate, Event) for fate in fates.values())
    assert rejected + sum(isinstance(fate, DeadLetter) for fate in fates.values()) == len(sent)
    # Twice would be as wrong as never: each record has one fate, and it was told once.
    assert max(Counter(dead.headers.get(MARK) for dead in shop.journal.dead if MARK in dead.headers).values()) == 1
    await _a_normal_order_completes_on_every_partition(shop)


#: What for want of a number or of other limits is not wrong in a registration.
HARMLESS_TO_CUSTOMERS: Final = {"number in text"}


def _fates(shop: Shop, sent: list[Sent]) -> dict[bytes, Event | DeadLetter]:
    fates: dict[bytes, Event | DeadLetter] = {
        dead.headers[MARK]: dead for dead in shop.journal.dead if MARK in dead.headers
    }
    ours = {one.mark for one in sent}
    fates = {mark: fate for mark, fate in fates.items() if mark in ours}
    for one in sent:
        verdicts = shop.journal.by_command.get(one.bad.command_id)
        if verdicts:
            fates[one.mark] = verdicts[0]
    return fates


def _wrong(one: Sent, fate: Event | DeadLetter, topic: str, service: str, answers: bool) -> list[str]:
    """What is wrong with what became of the record."""
    if isinstance(fate, Event):
        if one.bad.fate == DEAD:
            return [f"has a verdict: {fate.data}"]
        if fate.short != "command-rejected" or fate.data["reason"] != "invalid" or not fate.data["message"]:
            return [f"{fate.short} {fate.data}"]
        return []
    if one.bad.fate == VERDICT and answers:
        return [f"its sender could have been told, but it is a dead letter: {fate.headers['dlq-error']!r}"]
    problems = []
    if fate.topic != dead_letter_topic(topic, service):
        problems.append(f"on {fate.topic}")
    if (fate.key, fate.value or b"") != (one.bad.key, one.bad.value or b""):
        problems.append("key or value changed")
    if not (PLACES | {name for name, _ in one.bad.headers} <= set(fate.headers)):
        problems.append(f"headers {sorted(fate.headers)}")
    elif fate.headers["dlq-topic"] != topic.encode() or not fate.headers["dlq-reason"] or not fate.headers["dlq-error"]:
        problems.append(f"headers {fate.headers}")
    return problems


GARBAGE: Final[tuple[tuple[str, bytes | None, bool], ...]] = (
    ("null", None, False),
    ("empty", b"", False),
    ("not JSON", b"{not json", False),
    ("not UTF-8", b"\xff\xfe\x00", False),
    ("nested", b"[" * 100_000, False),
    ("no type", b"{}", False),
    ("a known type and nothing else", b'{"type": "@"}', True),
    ("a known type in the header alone", b"{}", True),
    ("a known type, garbage behind it", b"\x00\x01\x02", True),
    ("1 MB", b"\x03" * 1_000_000, True),
    ("as much as the broker takes", b"\x04" * 1_048_000, True),
)
#: An event type of each topic that its reader takes an interest in.
OF_INTEREST: Final = {
    ("inventory.events.v1", "orders"): "inventory.stock-reserved.v1",
    ("payment.events.v1", "orders"): "payment.charge-captured.v1",
    ("orders.events.v1", "inventory"): "orders.order-completed.v1",
    ("orders.events.v1", "notification"): "orders.order-completed.v1",
    ("customer.events.v1", "notification"): "customer.customer-registered.v1",
}


@pytest.mark.parametrize("topic", sorted({topic for topic, _ in OF_INTEREST}))
async def test_garbage_on_an_event_topic_is_set_aside_by_each_of_its_readers(shop: Shop, topic: str) -> None:
    readers = sorted(service for (read, service) in OF_INTEREST if read == topic)
    assert readers == sorted(
        service for service, topics in SUBSCRIPTIONS.items() if topic in topics and (topic, service) in OF_INTEREST
    )
    named = OF_INTEREST[topic, readers[0]]
    marks: dict[bytes, tuple[str, bytes | None]] = {}
    for partition in range(shop.place.partitions):
        for name, value, in_header in GARBAGE:
            mark, body = shop.new_id("mark").encode(), value and value.replace(b"@", named.encode())
            marks[mark] = (name, body)
            headers = [(MARK, mark), *([("ce_type", named.encode())] if in_header else [])]
            shop.garbage.add(await shop.put(topic, b"nobody", body, headers, partition))
    wanted = {(mark, dead_letter_topic(topic, reader)) for mark in marks for reader in readers}

    def found() -> list[DeadLetter] | None:
        # Readers with other interests set aside only what no header tells them to pass over.
        there = [dead for dead in shop.journal.dead if (dead.headers.get(MARK), dead.topic) in wanted]
        return there if {(dead.headers[MARK], dead.topic) for dead in there} >= wanted else None

    dead = await shop.journal.until(found, f"{len(wanted)} dead letters of {topic}")
    assert len(dead) == len(wanted)
    for letter in dead:
        assert (letter.value or b"") == (marks[letter.headers[MARK]][1] or b"")
        assert set(letter.headers) >= PLACES
    await _a_normal_order_completes_on_every_partition(shop)


async def test_an_order_of_10_000_lines_is_rejected_and_one_of_1_000_is_not(shop: Shop) -> None:
    sku = await shop.shelf(5_000)
    for lines in (10_000, 1_001):
        verdict = await shop.ask("orders.start-order.v1", shop.new_id("order"), order_data([(sku, 1)] * lines))
        assert (verdict.short, verdict.data["reason"]) == ("command-rejected", "invalid")
    end = await shop.buy([(sku, 1)] * 1_000)
    assert (end.short, len(end.data["items"])) == ("order-completed", 1_000)


@pytest.mark.parametrize(
    "more",
    [
        {"items": []},
        {"approval_timeout_s": 0},
        {"approval_timeout_s": 2_592_001},
        {"workflow_version": 99},
        {"workflow_version": 0},
        {"currency": "POUND"},
        {"payment_method": ""},
        {"customer_id": "a\u202eb"},
        {"customer_id": " a"},
        {"items": [{"sku": "a\x00b", "quantity": 1}]},
        {"items": [{"sku": "a", "quantity": 1_000_001}]},
        {"items": [{"sku": "a", "quantity": 1, "price": 1}]},
    ],
    ids=str,
)
async def test_an_order_beyond_the_limits_is_rejected_as_invalid(shop: Shop, more: dict[str, Any]) -> None:
    order_id = shop.new_id("order")
    verdict = await shop.ask("orders.start-order.v1", order_id, {**order_data({"a": 1}), **more})
    assert (verdict.key, verdict.short, verdict.data["reason"]) == (order_id, "command-rejected", "invalid")
    assert (verdict.data["command_type"], verdict.data["duplicate"]) == ("orders.start-order.v1", False)
    assert (await shop.get("orders-api", f"/orders/{order_id}"))[0] == 404


async def test_unknown_extensions_of_the_envelope_are_ignored(shop: Shop) -> None:
    sku, order_id, command_id = await shop.shelf(1), shop.new_id("order"), shop.new_id("cmd")
    document = {
        "specversion": "1.0",
        "id": command_id,
        "source": "e2e",
        "type": "orders.start-order.v1",
        "subject": order_id,
        "data": order_data({sku: 1}),
        "dataschema": "https://example.com/schema",
        "colour": "red",
    }
    await shop.put("orders.commands.v1", order_id.encode(), json.dumps(document).encode(), STRUCTURED)
    assert (await shop.verdict(command_id)).short == "command-accepted"
    await shop.saw(order_id, "stock-reserved")


async def _a_normal_order_completes_on_every_partition(shop: Shop) -> None:
    """Its order, its SKU and so its stock's receipt lie on that partition."""
    ids = [_on_partition(shop, partition) for partition in range(shop.place.partitions)]
    await asyncio.gather(*(shop.receive(one, 1, unit_price_minor=5) for one in ids))
    ends = await asyncio.gather(*(shop.buy({one: 1}, order_id=one) for one in ids))
    assert [end.short for end in ends] == ["order-completed"] * len(ids)


def _on_partition(shop: Shop, partition: int) -> str:
    while True:
        key = shop.new_id("normal")
        if (murmur2(key.encode()) & 0x7FFFFFFF) % shop.place.partitions == partition:
            return key
