"""Brings about what a calm system never does, so that its crash points are reached there too."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Final

from chaos.room import Room
from contracts.orders import ApprovePayment, CancelOrder, StartOrder
from contracts.values import CommandData, Item
from orderctl.client import utc_now
from orderctl.command import Command, wire_of
from orderctl.load.plan import LoadPlan
from orderctl.transport import KafkaTransport

_ORDERS: Final = 5
_WAY: Final = "payment>kafka"
#: A charge of this method takes a second, and its first refunds fail.
_METHOD: Final = "pm_refund_fails"
_CHARGED_S: Final = 2.0
_GIVE_UP_S: Final = 60.0
_SHOP: Final = LoadPlan("provoke", 0)


async def failing_refunds(room: Room, nonce: str) -> None:
    """Orders that are cancelled after their money moved and before anybody but payment knows, again and again until cancelled: the
    money goes back, at first in vain, so that payment tries again by a timer."""
    transport = KafkaTransport(room.environment["KAFKA_BOOTSTRAP_SERVERS"], "chaos-provoke", _GIVE_UP_S)
    proxy = room.proxies[_WAY]
    try:
        for attempt in count(1):
            ids = [f"PROVOKE-{nonce}-{attempt}-{number}" for number in range(_ORDERS)]
            start = StartOrder(
                customer_id=_SHOP.customer(0), items=(Item(sku=_SHOP.sku(0), quantity=1),), payment_method=_METHOD
            )
            await _send(transport, ids, "start", start)
            await _send(transport, ids, "approve", ApprovePayment(approved_by="chaos"))
            # Long enough for the charge to be asked for, not for its end to be told.
            await asyncio.sleep(0.4 + 0.2 * (attempt % 4))
            proxy.stall()
            try:
                await asyncio.sleep(_CHARGED_S)
                await _send(transport, ids, "cancel", CancelOrder(reason="chaos"))
                await asyncio.sleep(1.0)
            finally:
                proxy.release()
            await asyncio.sleep(_CHARGED_S)
    finally:
        await transport.close()


async def _send(transport: KafkaTransport, ids: list[str], what: str, data: CommandData) -> None:
    commands = [Command(f"{order_id}-{what}", order_id, data, "chaos") for order_id in ids]
    partitions = await transport.partitions_of(commands[0].topic)
    await transport.publish([wire_of(command, partitions, utc_now()) for command in commands], _GIVE_UP_S)
