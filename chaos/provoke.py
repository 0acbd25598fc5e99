"""Brings about what a calm system never does, so that its crash points are reached there too."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import count
from typing import Final

import asyncpg

from chaos.room import Room
from contracts.orders import ApprovePayment, CancelOrder, StartOrder
from contracts.topics import CUSTOMER_EVENTS, PAYMENT_EVENTS
from contracts.values import CommandData, Item
from messaging.partitioner import partition_of
from messaging.ports import Wire
from orderctl.client import utc_now
from orderctl.command import Command, wire_of
from orderctl.load.plan import LoadPlan
from orderctl.transport import KafkaTransport

_ORDERS: Final = 5
#: The bank's answer to a charge of this method is lost; it takes the money after some seconds, unless it was told not to.
_HANGS: Final = "pm_card_late"
#: Payment waits so long for such an answer: it must be waiting still when the bank breaks its word.
CALL_TIMEOUT_S: Final = 30
_ASKED_FOR: Final = "select count(*) from gateway.charges where order_id = any($1::text[])"
#: The money moves all the same, and the first refunds fail.
_BREAK: Final = """
update gateway.charges set state = 'captured', lands_at = now(), payment_method = 'pm_refund_fails', version = version + 1
 where order_id = any($1::text[]) and state = 'cancelled'
"""
_VOIDED: Final = b'"payment.charge-voided.v1"'
_STEP_S: Final = 15.0
_POLL_S: Final = 0.05
#: A service needs some seconds to start, and payment waits between two tries.
_TRIED_AGAIN_S: Final = 20.0
_GIVE_UP_S: Final = 60.0
_SHOP: Final = LoadPlan("provoke", 0)
#: An event that notification alone takes an interest in, and that lacks all that it should say.
_BROKEN: Final = json.dumps({"type": "customer.customer-registered.v1"}).encode()
_LETTERS_PAUSE_S: Final = 0.2


async def broken_word(room: Room, nonce: str) -> None:
    """Orders that are cancelled while the call for their money hangs, at a bank that says that it will not take it and takes it all
    the same, again and again until cancelled. Payment finds that out when it is started again, and gives the money back by itself,
    at first in vain, so that it tries again by a timer. A bank that keeps its word never leads there."""
    transport = KafkaTransport(room.environment["KAFKA_BOOTSTRAP_SERVERS"], "chaos-provoke", _GIVE_UP_S)
    bank = await asyncpg.connect(room.environment["GATEWAY_DATABASE_URL"])
    try:
        for attempt in count(1):
            ids = [f"PROVOKE-{nonce}-{attempt}-{number}" for number in range(_ORDERS)]
            start = StartOrder(
                customer_id=_SHOP.customer(0), items=(Item(sku=_SHOP.sku(0), quantity=1),), payment_method=_HANGS
            )
            await transport.listen((PAYMENT_EVENTS,))
            await _send(transport, ids, "start", start)
            await _send(transport, ids, "approve", ApprovePayment(approved_by="chaos"))
            await _called(bank, ids)
            await _send(transport, ids, "cancel", CancelOrder(reason="chaos"))
            await _voided(transport, ids)
            await bank.execute(_BREAK, ids)
            await asyncio.to_thread(room.stack.kill, "payment")
            await asyncio.sleep(_TRIED_AGAIN_S)
    finally:
        await bank.close()
        await transport.close()


async def _called(bank: asyncpg.Connection[asyncpg.Record], ids: list[str]) -> None:
    """Returns when the bank was asked for the money of all of them; also when that takes too long."""
    deadline = time.monotonic() + _STEP_S
    while await bank.fetchval(_ASKED_FOR, ids) < len(ids) and time.monotonic() < deadline:  # noqa: ASYNC110 - it is in a table
        await asyncio.sleep(_POLL_S)


async def _voided(transport: KafkaTransport, ids: list[str]) -> None:
    """Returns when payment has told of all of them that no money was or will be taken; also when that takes too long."""
    left, deadline = {order_id.encode() for order_id in ids}, time.monotonic() + _STEP_S
    while left and time.monotonic() < deadline:
        left -= {record.key for record in await transport.read(0.1) if record.value and _VOIDED in record.value}


async def letters(room: Room, nonce: str, sent: dict[bytes, bool]) -> None:
    """Events that notification cannot read, again and again until cancelled: it sets them aside, which is all that it ever
    publishes. Their keys are added to `sent`, with whether the broker has acknowledged them."""
    transport = KafkaTransport(room.environment["KAFKA_BOOTSTRAP_SERVERS"], "chaos-provoke", _GIVE_UP_S)
    try:
        partitions = await transport.partitions_of(CUSTOMER_EVENTS)
        for number in count(1):
            key = f"PROVOKE-{nonce}-{number}"
            sent[key.encode()] = False
            wire = Wire(0, CUSTOMER_EVENTS, partition_of(key, partitions), key.encode(), _BROKEN, "broken", headers=[])
            await transport.publish([wire], _GIVE_UP_S)
            sent[key.encode()] = True
            await asyncio.sleep(_LETTERS_PAUSE_S)
    finally:
        await transport.close()


async def _send(transport: KafkaTransport, ids: list[str], what: str, data: CommandData) -> None:
    commands = [Command(f"{order_id}-{what}", order_id, data, "chaos") for order_id in ids]
    partitions = await transport.partitions_of(commands[0].topic)
    await transport.publish([wire_of(command, partitions, utc_now()) for command in commands], _GIVE_UP_S)
