"""The peer that this system is measured against does the same work: the same messages about an order, and books that add up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import asyncpg
from workbench import fresh_database

from benchmarks.peers import usual
from benchmarks.peers.usual.consumer import Message, Out
from benchmarks.peers.usual.orchestrator import ORDERS
from benchmarks.peers.usual.participants import PARTICIPANTS
from contracts import topics

SCHEMA = Path(usual.__file__).with_name("schema.sql")
ITEMS = [{"sku": "S-1", "quantity": 2}]


async def deliver(db: asyncpg.Connection, sent: list[tuple[str, Message]]) -> list[Out]:
    """Every message to everybody who reads it, until nobody says anything more; what was said."""
    said: list[Out] = []
    while sent:
        topic, message = sent.pop(0)
        for service in (ORDERS, *PARTICIPANTS):
            if topic not in service.topics or message.type not in service.types:
                continue
            if service.before is not None:
                await service.before(db, message)
            async with db.transaction():
                outs = await service.handle(db, message)
            said += outs
            sent += [
                (out.topic, Message(f"{message.id}.{n}", out.type, message.key, out.data)) for n, out in enumerate(outs)
            ]
    return said


async def test_an_order_completes_with_the_messages_that_ours_has(server_dsn: str) -> None:
    async with fresh_database(server_dsn) as dsn:
        db = await asyncpg.connect(dsn)
        try:
            await db.execute(SCHEMA.read_text())
            await db.execute("INSERT INTO stock (sku, unit_price_minor, on_hand) VALUES ('S-1', 500, 10)")
            await db.execute("INSERT INTO customer (customer_id) VALUES ('C-1')")
            start = Message("start", "orders.start-order.v1", "O-1", {"customer_id": "C-1", "items": ITEMS})
            approve = Message("approve", "orders.approve-payment.v1", "O-1", {"approved_by": "me"})
            commands = [(topics.ORDERS_COMMANDS, start), (topics.ORDERS_COMMANDS, approve)]
            said = await deliver(db, commands)
            assert Counter(out.topic for out in said) == {
                topics.ORDERS_EVENTS: 8,
                topics.INVENTORY_COMMANDS: 2,
                topics.INVENTORY_EVENTS: 3,
                topics.CUSTOMER_COMMANDS: 1,
                topics.CUSTOMER_EVENTS: 1,
                topics.RECOMMENDATION_COMMANDS: 1,
                topics.RECOMMENDATION_EVENTS: 1,
                topics.PAYMENT_COMMANDS: 1,
                topics.PAYMENT_EVENTS: 1,
            }
            assert dict(await db.fetchrow("SELECT status, total_minor FROM orders")) == {
                "status": "COMPLETED",
                "total_minor": 1000,
            }
            assert dict(await db.fetchrow("SELECT on_hand, held, shipped FROM stock")) == {
                "on_hand": 8,
                "held": 0,
                "shipped": 2,
            }
            assert (
                await db.fetchval("SELECT amount_minor FROM gateway_entry JOIN charge USING (charge_id, amount_minor)")
                == 1000
            )
        finally:
            await db.close()
