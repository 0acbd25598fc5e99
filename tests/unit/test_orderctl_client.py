"""The client hears every verdict, and follows orders from whatever point they have come to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from orderctl_shop import MemoryTransport, Shop

from contracts.orders import ApprovePayment, CancelOrder, StartOrder
from contracts.values import Item
from messaging.ports import Record
from orderctl.client import connect
from orderctl.command import Command, new_command
from orderctl.errors import BrokerUnreachableError, NoEndError, NoVerdictError, TopicMissingError, UsageError
from orderctl.events import Event, read_event
from orderctl.following import order_events, outcome_of, past_events, with_past


def start(order_id: str = "A", sku: str = "MUG") -> Command:
    return new_command(order_id, lambda: StartOrder(customer_id="c", items=(Item(sku=sku, quantity=1),)), None)


def approve(order_id: str = "A") -> Command:
    return new_command(order_id, lambda: ApprovePayment(approved_by="me"), None)


def event(number: int, kind: str = "order-started", cause: str = "c") -> Event:
    return Event(f"orders.{kind}.v1", f"e{number}", "A", None, number, cause, {})


async def stream(events: Sequence[Event]) -> AsyncIterator[Event]:
    for one in events:
        yield one


async def test_a_verdict_that_comes_before_anybody_asks_is_not_missed() -> None:
    shop, command = Shop(), start()
    async with connect(shop.transport) as client:
        await client.send(command)
        await asyncio.sleep(0.02)
        verdict = await client.verdict("A", command.id, 1.0)
    assert verdict.accepted
    assert not verdict.duplicate


async def test_each_command_gets_its_own_verdict_whatever_their_order() -> None:
    shop, first, second = Shop(), start("A"), approve("B")
    async with connect(shop.transport) as client:
        await client.send_all([first, second])
        rejected, accepted = await asyncio.gather(client.verdict("B", second.id, 1), client.verdict("A", first.id, 1))
    assert (accepted.accepted, rejected.accepted, rejected.reason) == (True, False, "unknown-order")


async def test_the_same_command_again_is_told_to_be_a_duplicate() -> None:
    shop, command = Shop(), start()
    async with connect(shop.transport) as client:
        await client.ask(command, 1.0)
    async with connect(shop.transport) as client:
        assert (await client.ask(command, 1.0)).duplicate


async def test_a_missing_verdict_names_the_command_and_the_service_to_look_at() -> None:
    shop, command = Shop(), start()
    shop.deaf_to = {command.type}
    async with connect(shop.transport) as client:
        with pytest.raises(NoVerdictError, match=f"{command.id}.*orders service"):
            await client.ask(command, 0.02)


async def test_nothing_is_kept_of_a_command_once_it_was_answered_or_given_up() -> None:
    shop, silent = Shop(), approve("A")
    async with connect(shop.transport) as client:
        for number in range(20):
            await client.ask(start(f"O-{number}"), 1.0)
        assert client.kept == 0
        command = start("A")
        await client.send(command)
        assert client.kept == 1
        await client.verdict("A", command.id, 1.0)
        assert client.kept == 0
        shop.deaf_to = {silent.type}
        with pytest.raises(NoVerdictError):
            await client.ask(silent, 0.02)
        assert client.kept == 0


async def test_who_gives_up_takes_the_verdict_from_nobody_else_who_waits_for_it() -> None:
    shop, command = Shop(), start("A")
    shop.deaf_to = {command.type}
    async with connect(shop.transport) as client:
        patient = asyncio.create_task(client.ask(command, 5.0))
        with pytest.raises(NoVerdictError):
            await client.ask(command, 0.02)
        shop.deaf_to = set()
        # The same command once more: its verdict is the one that both wait for.
        assert (await client.ask(command, 1.0)).accepted
        assert (await patient).accepted
        assert client.kept == 0


async def test_following_tells_the_order_from_its_start_to_its_end_and_nothing_of_others() -> None:
    shop = Shop()
    async with connect(shop.transport) as client:
        tail = client.follow("A")
        await client.send_all([start("B"), start("A"), approve("B"), approve("A")])
        seen = [one async for one in order_events("A", (), tail, 1.0)]
    assert {one.key for one in seen} == {"A"}
    assert [one.name for one in seen] == ["command-accepted", "order-started", "command-accepted", "order-completed"]
    assert outcome_of("A", seen[-1]).exit_code == 0  # type: ignore[union-attr]


async def test_following_ends_with_an_error_when_the_order_does_not_end_in_time() -> None:
    shop = Shop()
    async with connect(shop.transport) as client:
        tail = client.follow("A")
        await client.send(start("A"))
        with pytest.raises(NoEndError, match="orderctl watch A"):
            _ = [one async for one in order_events("A", (), tail, 0.05)]


async def test_what_history_and_tail_both_hold_is_told_once() -> None:
    past = [event(1), event(2, "stock-reserved")]
    tail = [event(2, "stock-reserved"), event(3, "payment-approved"), event(4, "order-completed")]
    seen = [one.name async for one in with_past(past, stream(tail))]
    assert seen == ["order-started", "stock-reserved", "payment-approved", "order-completed"]


def test_history_entries_that_are_no_published_event_are_left_out() -> None:
    entries = [{"type": "orders.order-started.v1", "cause": "c", "at": "t", "data": {}}, {"type": "retry", "data": {}}]
    assert [one.name for one in past_events("A", entries)] == ["order-started"]


async def test_a_broken_transport_reaches_whoever_waits() -> None:
    class Breaking(MemoryTransport):
        async def read(self, timeout_s: float) -> Sequence[Record]:
            raise BrokerUnreachableError("memory", 1.0, "gone")

    shop, command = Shop(), start()
    async with connect(Breaking(shop.broker, lambda _: None)) as client:
        tail = client.follow("A")
        await client.send(command)
        with pytest.raises(BrokerUnreachableError):
            await client.verdict("A", command.id, 1.0)
        with pytest.raises(BrokerUnreachableError):
            await anext(tail)


async def test_a_missing_topic_is_told_before_anything_is_sent() -> None:
    shop = Shop()
    transport = MemoryTransport(shop.broker, shop.hear, missing=("orders.events.v1",))
    with pytest.raises(TopicMissingError, match="make up"):
        async with connect(transport):
            pass
    assert transport.closed


@pytest.mark.parametrize("key", ["", " A", "A\x00", "x" * 65])
def test_an_impossible_id_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(UsageError, match="1 to 64 printable"):
        new_command(key, lambda: CancelOrder(reason="r"), None)


def test_impossible_data_is_refused_with_what_is_wrong() -> None:
    start_with = {"customer_id": "c", "items": ({"sku": "A", "quantity": 0},)}
    with pytest.raises(UsageError, match="quantity"):
        new_command("A", lambda: StartOrder.model_validate(start_with), None)


async def test_records_that_hold_no_event_are_passed_over() -> None:
    shop = Shop()
    for value in (b"", b"\xff", b"[]", b'{"type": 1}', None):
        record = shop.broker.append("orders.events.v1", b"A", value)
        assert read_event(record) is None
