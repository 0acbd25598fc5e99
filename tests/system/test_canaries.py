"""No line of the log holds personal data, a payload or a reason, whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import canaries
import pytest
from log_lines import kept

from contracts.envelope import headers_for
from contracts.orders import CancelOrder, StartOrder
from contracts.topics import INVENTORY_EVENTS, ORDERS_COMMANDS
from contracts.values import Item
from messaging.decision import Decision, Message
from messaging.handler import Batch, Handler, Parts
from messaging.stamp import Stamped
from simulation import System
from simulation.kit import approve, receive_stock, register_customer

SKU: Final = "mug"


@dataclass(frozen=True, slots=True)
class ClumsyBatch:
    """Fails at cancellations, with words that hold all that it was given."""

    batch: Batch

    def decide(self, message: Message, now: datetime) -> Decision[Any]:
        if isinstance(message.data, CancelOrder):
            raise ValueError(f"cannot cancel: {message!r}")  # noqa: TRY004 - a bug is what it is
        return self.batch.decide(message, now)

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        self.batch.stage(transaction, stamped)

    def committed(self) -> None:
        self.batch.committed()


class ClumsyHandler:
    """The handler of the orders service, with a fault in it."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.name, self.topics, self.interests = handler.name, handler.topics, handler.interests

    async def load(self, transaction: Any, parts: Parts) -> Batch:
        return ClumsyBatch(await self.handler.load(transaction, parts))

    def forget(self, partition: int) -> None:
        self.handler.forget(partition)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Every line of both formats, of every logger, from debug on."""
    with ExitStack() as stack:
        found = [stack.enter_context(kept(format_)) for format_ in ("json", "console")]
        told: list[str] = []
        yield told
        told += [line for lines in found for line in lines]
        assert canaries.singing(told) == []
        events = {json.loads(line)["event"] for line in found[0]}
        assert events >= {"decision-failed", "dead-letter", "mail-undeliverable"}


def test_no_canary_is_heard_in_the_log_while_everything_goes_wrong(lines: list[str]) -> None:
    system = System(payment_failure_rate=0.5)
    _break(system)
    system.command(SKU, receive_stock(SKU, 100, 500).model_copy(update={"description": canaries.DESCRIPTION}))
    system.command("nora", register_customer("nora", canaries.NAME, canaries.EMAIL))
    system.mailbox.away = True
    system.run()
    for number in range(6):
        order = f"order-{number}"
        method = canaries.PAYMENT_METHOD if number % 2 else "pm_card_visa"
        system.command(order, _order(method))
        system.run()
        system.command(order, approve(canaries.PERSON) if number < 4 else CancelOrder(reason=canaries.REASON))
        system.run()
    _garbage(system)
    system.crash("orders")
    # Not to its end: what stands behind a message that cannot be handled waits for a person.
    system.skip(7 * 86_400)
    assert system.mailbox.kept == {}
    assert {status["status"] for status in system.orders()} >= {"COMPLETED", "FAILED"}


def _order(method: str) -> StartOrder:
    return StartOrder(customer_id="nora", items=(Item(sku=SKU, quantity=1),), payment_method=method)


def _break(system: System) -> None:
    part = system.parts.of["orders"]
    system.parts.of["orders"] = replace(part, handler=lambda: ClumsyHandler(part.handler()))
    system.crash("orders")


def _garbage(system: System) -> None:
    """Records that nobody can read, with canaries in all of their parts."""
    bird = canaries.SONG.encode()
    system.raw(ORDERS_COMMANDS, b"order-9", b"{" + bird)
    system.raw(ORDERS_COMMANDS, b"\xff" + bird, b'{"id":"' + bird + b'"}', [(canaries.SONG, bird)])
    system.raw(ORDERS_COMMANDS, b"order-9", json.dumps({"id": "x", "source": "y", "type": canaries.SONG}).encode())
    for type_ in ("inventory.stock-reserved.v1", canaries.SONG):
        system.raw(INVENTORY_EVENTS, b"order-1", json.dumps({"data": canaries.SONG}).encode(), headers_for(type_))
    system.run()
    assert len(system.dead_letters()) >= 4


def test_a_poisoned_messages_own_words_stay_out_of_the_log() -> None:
    with kept("json") as found:
        system = System()
        _break(system)
        system.command("order-1", CancelOrder(reason=canaries.REASON))
        system.run()
    assert canaries.singing(found) == []
    assert any("ValueError" in line and "decision-failed" in line for line in found)
