"""A message that a service cannot handle holds its order up, and no other, until it is replayed or discarded."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from audit.partitions import ParkedKey
from contracts.envelope import InvalidCommand, header
from contracts.letters import Act, Letter, Word, bare_headers, word_headers
from contracts.orders import AttentionNeeded, StockReserved
from contracts.topics import INVENTORY_COMMANDS, ORDERS_COMMANDS, ORDERS_EVENTS, dead_letter_topic
from messaging.decision import Message
from messaging.handler import Handler, Parts
from simulation import System
from simulation.facts import parked_keys
from simulation.kit import ORDER, Shop, approve, cancel


class Broken:
    """A service's code, which fails at messages of these types about one order until it is mended."""

    def __init__(self, system: System, service: str, *types: str) -> None:
        self.types = set(types)
        self._system, self._service = system, service
        part = system.parts.of[service]
        made = part.handler
        system.parts.of[service] = replace(part, handler=lambda: self._around(made()))
        system.crash(service)

    def _around(self, handler: Handler) -> Handler:
        load = handler.load

        async def broken_load(transaction: Any, parts: Parts) -> Any:
            batch = await load(transaction, parts)
            decide = batch.decide

            def broken_decide(message: Message, now: datetime) -> Any:
                faulty = message.type in self.types and not isinstance(message.data, InvalidCommand)
                if message.key == ORDER and faulty:
                    raise ValueError("a fault of the code")
                return decide(message, now)

            batch.decide = broken_decide  # type: ignore[method-assign]
            return batch

        handler.load = broken_load  # type: ignore[method-assign]
        return handler

    def mend(self) -> None:
        """Deploy the fix."""
        self.types.clear()
        self._system.crash(self._service)

    def say(self, act: Act, topic: str) -> None:
        """An operator's word about the order's last letter from this topic."""
        records = self._system.records(dead_letter_topic(topic, self._service))
        record = [found for found in records if header(found.headers, "dlq-lane") == ORDER][-1]
        offset = int(header(record.headers, "dlq-offset") or -1)
        word = Word(Letter(self._service, topic, record.partition, offset), act, "night-shift", "the fix is out")
        headers = [*bare_headers(record.headers), *word_headers(word)]
        self._system.raw(topic, record.key, record.value, headers, record.partition)

    @property
    def parked(self) -> list[ParkedKey]:
        """What waits at the service."""
        database = self._system.parts.of[self._service].database
        return [lane for p in range(self._system.broker.partitions) for lane in parked_keys(self._service, database, p)]


def test_an_order_waits_alone_and_goes_on_when_its_letter_is_replayed(shop: Shop) -> None:
    broken = Broken(shop.system, "inventory", "inventory.reserve-stock.v1")
    shop.given_order(until="RESERVING")
    shop.given_order("OTHER")
    shop.when(approve(), order="OTHER")
    shop.expect_outcome("COMPLETED", order="OTHER")
    shop.expect_no(StockReserved)
    assert [lane.key for lane in broken.parked] == [ORDER]
    assert not shop.system.audit(finished=False)
    shop.when(approve()).expect("accepted")
    broken.mend()
    broken.say("replay", INVENTORY_COMMANDS)
    shop.system.run()
    shop.expect_outcome("COMPLETED")
    assert broken.parked == []


def test_a_cancelled_order_gives_back_what_its_lane_holds_when_that_is_drained(shop: Shop) -> None:
    """The reservation fails, so the release that follows waits behind it: it must not come first."""
    broken = Broken(shop.system, "inventory", "inventory.reserve-stock.v1")
    shop.given_order(until="RESERVING")
    shop.when(cancel()).expect("accepted")
    shop.skip(seconds=200)
    shop.expect(AttentionNeeded, times=None)
    (lane,) = broken.parked
    assert lane.records > 1
    assert not shop.system.audit(finished=False)
    broken.mend()
    broken.say("replay", INVENTORY_COMMANDS)
    shop.skip(seconds=200)
    shop.expect_outcome("CANCELLED", "customer-request")
    shop.expect_stock("tea", on_hand=100)


def test_a_discarded_message_is_never_handled_and_the_order_is_asked_about_again(shop: Shop) -> None:
    broken = Broken(shop.system, "inventory", "inventory.reserve-stock.v1")
    shop.given_order(until="RESERVING")
    shop.system.run()
    broken.mend()
    broken.say("discard", INVENTORY_COMMANDS)
    shop.skip(seconds=200)
    shop.expect_status("AWAITING_APPROVAL")


def test_a_command_that_is_given_up_is_rejected_and_what_waits_behind_it_is_decided(shop: Shop) -> None:
    broken = Broken(shop.system, "orders", "orders.approve-payment.v1")
    shop.given_order()
    shop.send(approve(), id="approval")
    shop.send(cancel())
    shop.system.run()
    broken.say("discard", ORDERS_COMMANDS)
    shop.system.run()
    told = [(v.accepted, v.reason, v.message) for v in shop.system.verdicts(ORDER) if v.command_id == "approval"]
    why = "It could not be handled and was given up by an operator: the fix is out"
    assert told == [(False, "invalid", why)]
    shop.expect_outcome("CANCELLED", "customer-request")
    assert not shop.system.audit()


@pytest.mark.parametrize("crash", [False, True])
def test_the_orchestrator_itself_may_be_at_fault(shop: Shop, crash: bool) -> None:
    """A captured payment that it cannot handle: the money is taken, the order waits, and completes."""
    broken = Broken(shop.system, "orders", "payment.charge-captured.v1")
    shop.given_order()
    shop.when(approve()).expect("accepted")
    shop.skip(minutes=30)
    assert [lane.key for lane in broken.parked] == [ORDER]
    shop.expect_status("PAYING", "payment")
    assert not shop.system.audit(finished=False)
    broken.mend()
    if crash:
        shop.system.crash("orders")
    broken.say("replay", "payment.events.v1")
    shop.system.run()
    shop.expect_outcome("COMPLETED")
    assert len(shop.money()) == 1


def test_a_verdict_that_waits_is_given_in_its_turn(shop: Shop) -> None:
    broken = Broken(shop.system, "orders", "orders.approve-payment.v1")
    shop.given_order()
    shop.send(approve())
    shop.send(cancel())
    shop.system.run()
    shop.expect_status("AWAITING_APPROVAL")
    broken.mend()
    broken.say("replay", ORDERS_COMMANDS)
    shop.system.run()
    shop.expect_outcome("CANCELLED", "customer-request")


def test_a_replayed_event_is_read_by_the_service_that_could_not_handle_it_alone(shop: Shop) -> None:
    broken = Broken(shop.system, "inventory", "orders.order-completed.v1")
    shop.given_order()
    shop.when(approve())
    shop.expect_outcome("COMPLETED")
    shop.expect_mails("confirmation")
    broken.mend()
    broken.say("replay", ORDERS_EVENTS)
    shop.system.run()
    assert broken.parked == []
    shop.expect_mails("confirmation")
