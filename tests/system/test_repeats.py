"""The same thing twice, other things under the same id, and what cannot be read at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conversation import Shop, an_order
from promises import dead_letters

from contracts.envelope import headers_for
from contracts.inventory import AdjustStock, ReceiveStock
from contracts.orders import AddLineItem, ApprovePayment, CancelOrder
from contracts.topics import INVENTORY_EVENTS, ORDERS_COMMANDS, ORDERS_EVENTS
from messaging.partitioner import partition_of


def test_the_same_command_twice_has_one_effect(shop: Shop) -> None:
    for data, id in ((an_order(), "start"), (AddLineItem(sku="mug", quantity=1), "add")):
        assert shop.say("O", data, id) == "accepted"
        assert shop.say("O", data, id) == "accepted again"
    assert (shop.shelf("tea"), shop.shelf("mug")) == ((98, 2, 0), (9, 1, 0))
    shop.approve(id="approve")
    assert shop.approve(id="approve") == "accepted again"
    assert shop.money() == [("charge", 500 + 799)]


def test_the_same_source_and_id_is_the_same_command_whatever_it_holds_now(shop: Shop) -> None:
    shop.start(id="one")
    assert shop.say("O", CancelOrder(reason="no"), "one") == "accepted again"
    assert shop.status() == "AWAITING_APPROVAL"


def test_the_same_id_from_another_source_is_another_command(shop: Shop) -> None:
    assert shop.say("O", an_order(), "one", source="web") == "accepted"
    assert shop.say("O", ApprovePayment(approved_by="boss"), "one", source="desk") == "accepted"
    assert shop.status() == "COMPLETED"


def test_a_repeat_of_an_undecided_line_waits_for_its_verdict(shop: Shop) -> None:
    shop.start()
    shop.system.down("inventory")
    for _ in range(3):
        assert shop.add(id="line") == "undecided"
    shop.system.up("inventory")
    shop.system.run()
    told = [verdict.duplicate for verdict in shop.system.verdicts("O") if verdict.command_id == "line"]
    assert told == [False, True, True]
    assert shop.shelf("mug") == (9, 1, 0)


@pytest.mark.parametrize("end", ["cancel", "out-of-stock"])
def test_a_repeat_of_an_undecided_line_is_also_told_that_it_is_too_late(shop: Shop, end: str) -> None:
    shop.start()
    shop.system.down("inventory")
    quantity = 11 if end == "out-of-stock" else 1
    for _ in range(2):
        assert shop.add(quantity=quantity, id="line") == "undecided"
    if end == "cancel":
        shop.cancel()
    shop.system.up("inventory")
    shop.system.run()
    told = [(v.reason, v.duplicate) for v in shop.system.verdicts("O") if v.command_id == "line"]
    reason = "too-late" if end == "cancel" else end
    assert told == [(reason, False), (reason, True)]


def test_a_rejection_is_repeated_even_when_the_command_would_be_accepted_now(shop: Shop) -> None:
    assert shop.approve(id="early") == "unknown-order"
    shop.start()
    assert shop.approve(id="early") == "unknown-order again"
    assert shop.status() == "AWAITING_APPROVAL"


def test_an_equal_order_under_a_new_id_is_a_duplicate_with_or_without_the_defaults(shop: Shop) -> None:
    shop.start()
    spelled_out = an_order(currency="GBP", version=shop.version)
    assert shop.say("O", spelled_out) == "accepted again"
    left_out = an_order(timeout_s=None, version=shop.version)
    assert shop.say("O", left_out) == "accepted again"
    other_version = an_order(version=3 - (shop.version or 2))
    assert shop.say("O", other_version) == "conflict"
    assert shop.say("O", an_order(currency="EUR", version=shop.version)) == "conflict"
    assert shop.say("O", an_order(timeout_s=901, version=shop.version)) == "conflict"
    assert shop.start(items=(("tea", 1), ("tea", 1))) == "conflict"
    assert shop.shelf("tea") == (98, 2, 0)


def test_an_unsupported_version_is_invalid_and_makes_no_order(shop: Shop) -> None:
    future = an_order().model_copy(update={"workflow_version": 999})
    assert shop.say("O", future) == "invalid"
    assert shop.approve() == "unknown-order"
    assert shop.start() == "accepted"


def test_shop_commands_are_answered_again_with_the_same_answer(shop: Shop) -> None:
    for data in (
        ReceiveStock(sku="tea", quantity=5),
        AdjustStock(sku="tea", delta=-3, reason="broken"),
        AdjustStock(sku="tea", delta=-1_000, reason="stolen"),
    ):
        command = shop.system.command("tea", data)
        shop.system.command("tea", data, id=command)
        shop.system.run()
        told = [event.data for event in shop.system.events("tea", INVENTORY_EVENTS)]
        first, again = [data for data in told if getattr(data, "command_id", None) == command]
        assert again == first.model_copy(update={"duplicate": True})
    assert shop.shelf("tea") == (102, 0, 0)


def envelope(**changes: Any) -> dict[str, Any]:
    message = {
        "specversion": "1.0",
        "id": "bad",
        "source": "test",
        "type": "orders.start-order.v1",
        "subject": "O",
        "data": {"customer_id": "ann", "items": [{"sku": "tea", "quantity": 2}]},
    }
    return {**message, **changes}


def start_data(**changes: Any) -> dict[str, Any]:
    return {"data": {**envelope()["data"], **changes}}


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "orders.fly-to-the-moon.v1"},
        {"type": "inventory.receive-stock.v1"},
        {"specversion": "0.3"},
        {"data": None},
        start_data(items=[]),
        start_data(items=[{"sku": "tea", "quantity": 0}]),
        start_data(items=[{"sku": "tea", "quantity": 2.0}]),
        start_data(items=[{"sku": "tea", "quantity": "2"}]),
        start_data(items=[{"sku": "tea", "quantity": 2**63}]),
        start_data(items=[{"sku": "te\u202ea", "quantity": 1}]),
        start_data(items=[{"sku": "tea", "quantity": 1}] * 1_001),
        start_data(colour="red"),
        start_data(approval_timeout_s=0),
        start_data(currency="pounds"),
    ],
)
def test_a_command_that_is_invalid_is_told_so_again_and_again(shop: Shop, changes: dict[str, Any]) -> None:
    value = json.dumps(envelope(**changes)).encode()
    for expected in ("invalid", "invalid again"):
        shop.system.raw(ORDERS_COMMANDS, b"O", value)
        shop.system.run()
        assert shop.verdict("O", "bad") == expected
    assert shop.approve() == "unknown-order"
    assert shop.start() == "accepted"


def test_an_invalid_command_for_an_order_that_lives_changes_nothing(shop: Shop) -> None:
    shop.start()
    shop.system.raw(ORDERS_COMMANDS, b"O", json.dumps(envelope(type="orders.nonsense.v1")).encode())
    shop.system.run()
    assert shop.verdict("O", "bad") == "invalid"
    assert shop.approve() == "accepted"


@pytest.mark.parametrize(("key", "told_under"), [(None, "O"), (b"other", "O")])
def test_a_command_without_its_subject_as_key_is_invalid(shop: Shop, key: bytes | None, told_under: str) -> None:
    shop.system.raw(ORDERS_COMMANDS, key, json.dumps(envelope()).encode())
    shop.system.run()
    assert shop.verdict(told_under, "bad") == "invalid"


@pytest.mark.parametrize("value", [None, b"", b"not json", b"\xff\xfe", b"[]", b"{}", b'{"id": "x"}', b"[" * 100_000])
def test_what_cannot_be_answered_goes_to_the_dead_letters_and_the_partition_goes_on(
    shop: Shop, value: bytes | None
) -> None:
    record = shop.system.raw(ORDERS_COMMANDS, b"O", value)
    assert shop.start() == "accepted"
    ((topic, _reason),) = dead_letters(shop.system)
    assert topic == "orders.commands.v1.orders.dlq"
    (dead,) = shop.system.records(topic)
    facts = dict(dead.headers)
    assert (dead.key, dead.value) == (record.key, record.value)
    assert (facts["dlq-topic"], facts["dlq-partition"], facts["dlq-offset"]) == (
        ORDERS_COMMANDS.encode(),
        str(record.partition).encode(),
        str(record.offset).encode(),
    )


def test_a_command_on_a_foreign_partition_is_sent_on_and_decided_once(shop: Shop) -> None:
    home = partition_of("O", shop.system.broker.partitions)
    for partition in range(shop.system.broker.partitions):
        shop.system.raw(ORDERS_COMMANDS, b"O", json.dumps(envelope(id="one")).encode(), partition=partition)
    shop.system.run()
    told = [verdict for verdict in shop.system.verdicts("O") if verdict.command_id == "one"]
    assert [verdict.duplicate for verdict in told] == [False, True, True, True]
    assert {record.partition for record in shop.system.records(ORDERS_EVENTS) if record.key == b"O"} == {home}
    assert shop.shelf("tea") == (98, 2, 0)


def test_binary_mode_is_understood(shop: Shop) -> None:
    attributes = {name: value for name, value in envelope(id="binary").items() if name != "data"}
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    shop.system.raw(ORDERS_COMMANDS, b"O", json.dumps(envelope()["data"]).encode(), headers)
    shop.system.run()
    assert shop.verdict("O", "binary") == "accepted"


def test_structured_json_is_understood_without_any_header(shop: Shop) -> None:
    shop.system.raw(ORDERS_COMMANDS, b"O", json.dumps(envelope(id="bare")).encode())
    shop.system.run()
    assert shop.verdict("O", "bare") == "accepted"
    assert headers_for("orders.command-accepted.v1") == shop.system.records(ORDERS_EVENTS)[0].headers
