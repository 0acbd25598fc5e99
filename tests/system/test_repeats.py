"""The same thing twice, other things under the same id, and what cannot be read at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.envelope import headers_for
from contracts.topics import INVENTORY_EVENTS, ORDERS_COMMANDS, ORDERS_EVENTS
from messaging.partitioner import partition_of
from simulation.kit import ORDER, Saying, Shop, add_line, adjust_stock, approve, cancel, receive_stock, start_order


def test_the_same_command_twice_has_one_effect(shop: Shop) -> None:
    for data, id in ((start_order(), "start"), (add_line(), "add")):
        shop.when(data, id=id).expect("accepted")
        shop.when(data, id=id).expect("accepted again")
    shop.expect_stock("tea", on_hand=98, held=2)
    shop.expect_stock("mug", on_hand=9, held=1)
    shop.when(approve(), id="approve")
    shop.when(approve(), id="approve").expect("accepted again")
    shop.expect_money(500 + 799)


def test_the_same_source_and_id_is_the_same_command_whatever_it_holds_now(shop: Shop) -> None:
    shop.when(start_order(), id="one")
    shop.when(cancel(), id="one").expect("accepted again")
    shop.expect_status("AWAITING_APPROVAL")


def test_the_same_id_from_another_source_is_another_command(shop: Shop) -> None:
    shop.when(start_order(), id="one", source="web").expect("accepted")
    shop.when(approve(), id="one", source="desk").expect("accepted")
    shop.expect_status("COMPLETED")


def test_a_repeat_of_an_undecided_line_waits_for_its_verdict(shop: Shop) -> None:
    shop.given_order()
    shop.down("inventory")
    for _ in range(3):
        shop.when(add_line(), id="line").expect("undecided")
    shop.up("inventory")
    told = [verdict.duplicate for verdict in shop.system.verdicts(ORDER) if verdict.command_id == "line"]
    assert told == [False, True, True]
    shop.expect_stock("mug", on_hand=9, held=1)


@pytest.mark.parametrize("end", ["cancel", "out-of-stock"])
def test_a_repeat_of_an_undecided_line_is_also_told_that_it_is_too_late(shop: Shop, end: str) -> None:
    shop.given_order()
    shop.down("inventory")
    quantity = 11 if end == "out-of-stock" else 1
    for _ in range(2):
        shop.when(add_line(quantity=quantity), id="line").expect("undecided")
    if end == "cancel":
        shop.when(cancel())
    shop.up("inventory")
    told = [(v.reason, v.duplicate) for v in shop.system.verdicts(ORDER) if v.command_id == "line"]
    reason = "too-late" if end == "cancel" else end
    assert told == [(reason, False), (reason, True)]


def test_a_rejection_is_repeated_even_when_the_command_would_be_accepted_now(shop: Shop) -> None:
    shop.when(approve(), id="early").expect("unknown-order")
    shop.given_order()
    shop.when(approve(), id="early").expect("unknown-order again")
    shop.expect_status("AWAITING_APPROVAL")


def test_an_equal_order_under_a_new_id_is_a_duplicate_with_or_without_the_defaults(shop: Shop) -> None:
    shop.given_order()
    spelled_out = start_order(currency="GBP", approval_timeout_s=900, payment_method="pm_card_visa")
    shop.when(spelled_out).expect("accepted again")
    for other in (
        start_order(workflow_version=3 - (shop.version or 2)),
        start_order(currency="EUR"),
        start_order(approval_timeout_s=901),
        start_order(items=[("tea", 1), ("tea", 1)]),
    ):
        shop.when(other).expect("conflict")
    shop.expect_stock("tea", on_hand=98, held=2)


def test_an_unsupported_version_is_invalid_and_makes_no_order(shop: Shop) -> None:
    shop.when(start_order(workflow_version=999)).expect("invalid")
    shop.when(approve()).expect("unknown-order")
    shop.given_order()


def test_shop_commands_are_answered_again_with_the_same_answer(shop: Shop) -> None:
    for data, verdict in (
        (receive_stock("tea", 5), "accepted"),
        (adjust_stock("tea", -3), "accepted"),
        (adjust_stock("tea", -1_000), "not-allowed"),
    ):
        said = shop.when(data).expect(verdict)
        shop.when(data, id=said.id).expect(f"{verdict} again")
        told = [event.data for event in shop.system.events("tea", INVENTORY_EVENTS)]
        first, again = [data for data in told if getattr(data, "command_id", None) == said.id]
        assert again == first.model_copy(update={"duplicate": True})
    shop.expect_stock("tea", on_hand=102)


def written(shop: Shop, value: bytes, id: str, told_under: str = ORDER, **record: Any) -> Saying:
    """Something that was written to the topic by hand."""
    shop.system.raw(ORDERS_COMMANDS, value=value, **{"key": ORDER.encode(), **record})
    shop.skip()
    return Saying(id, told_under, "what was written", ORDERS_EVENTS, shop)


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
        written(shop, value, "bad").expect(expected)
    shop.when(approve()).expect("unknown-order")
    shop.given_order()


def test_an_invalid_command_for_an_order_that_lives_changes_nothing(shop: Shop) -> None:
    shop.given_order()
    written(shop, json.dumps(envelope(type="orders.nonsense.v1")).encode(), "bad").expect("invalid")
    shop.when(approve()).expect("accepted")


@pytest.mark.parametrize(("key", "told_under"), [(None, "O"), (b"other", "O")])
def test_a_command_without_its_subject_as_key_is_invalid(shop: Shop, key: bytes | None, told_under: str) -> None:
    written(shop, json.dumps(envelope()).encode(), "bad", told_under, key=key).expect("invalid")


@pytest.mark.parametrize("value", [None, b"", b"not json", b"\xff\xfe", b"[]", b"{}", b'{"id": "x"}', b"[" * 100_000])
def test_what_cannot_be_answered_goes_to_the_dead_letters_and_the_partition_goes_on(
    shop: Shop, value: bytes | None
) -> None:
    record = shop.system.raw(ORDERS_COMMANDS, b"O", value)
    shop.given_order()
    ((topic, _reason),) = shop.system.dead_letters()
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
    told = [verdict for verdict in shop.system.verdicts(ORDER) if verdict.command_id == "one"]
    assert [verdict.duplicate for verdict in told] == [False, True, True, True]
    assert {record.partition for record in shop.system.records(ORDERS_EVENTS) if record.key == b"O"} == {home}
    shop.expect_stock("tea", on_hand=98, held=2)


def test_binary_mode_is_understood(shop: Shop) -> None:
    attributes = {name: value for name, value in envelope(id="binary").items() if name != "data"}
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    written(shop, json.dumps(envelope()["data"]).encode(), "binary", headers=headers).expect("accepted")


def test_structured_json_is_understood_without_any_header(shop: Shop) -> None:
    written(shop, json.dumps(envelope(id="bare")).encode(), "bare").expect("accepted")
    assert headers_for("orders.command-accepted.v1") == shop.system.records(ORDERS_EVENTS)[0].headers
