"""The customer service as the runtime sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from contracts.customer import CustomerRegistered, LookUpCustomer
from contracts.orders import OrderCompleted
from contracts.registry import TYPE_OF
from contracts.topics import ORDERS_EVENTS, SUBSCRIPTIONS
from messaging.decision import Decision, Message
from messaging.handler import Parts, all_of
from messaging.stamp import Stamped
from services.customer.domain import State, customer_of, decide, recorded_key, without_address
from services.customer.store import CustomerStore, Loaded, Writes

SERVICE: Final = "customer"


class CustomerHandler:
    """Loads what a batch is about: customers, answers given before, completed orders."""

    name = SERVICE
    topics: tuple[str, ...] = SUBSCRIPTIONS[SERVICE]
    interests: Mapping[str, frozenset[str]] = {ORDERS_EVENTS: frozenset({TYPE_OF[OrderCompleted][1]})}

    def __init__(self, store: CustomerStore) -> None:
        self._store = store

    async def load(self, transaction: Any, parts: Parts) -> CustomerBatch:
        """See `Handler.load`."""
        store, loaded, messages = self._store, Loaded(), all_of(parts)
        commands = {key for message in messages if (key := recorded_key(message)) is not None}
        orders = {message.key for message in messages if isinstance(message.data, OrderCompleted)}
        buyers = {m.data.customer_id for m in messages if isinstance(m.data, LookUpCustomer | OrderCompleted)}
        names = {
            name
            for message in messages
            if not isinstance(message.data, OrderCompleted) and (name := customer_of(message)) is not None
        }
        if names:
            loaded.customers = await store.load_customers(transaction, names)
        if commands:
            loaded.answers = await store.load_answers(transaction, commands)
        if orders:
            loaded.counted = await store.load_counted(transaction, orders)
        if buyers:
            loaded.completed = await store.load_completed(transaction, buyers)
        return CustomerBatch(store, loaded)

    def forget(self, partition: int) -> None:
        """Nothing is kept in memory."""


class CustomerBatch:
    """What one batch works on, and what it has changed of it so far."""

    def __init__(self, store: CustomerStore, loaded: Loaded) -> None:
        self._store = store
        self._loaded = loaded
        self._writes = Writes()

    def decide(self, message: Message, now: datetime) -> Decision[State]:
        """See `Batch.decide`."""
        loaded = self._loaded
        customer_id, command = customer_of(message), recorded_key(message)
        before = State(
            None if customer_id is None else loaded.customers.get(customer_id),
            None if command is None else loaded.answers.get(command),
            0 if customer_id is None else loaded.completed.get(customer_id, 0),
            message.key in loaded.counted,
        )
        decision = decide(before, message, now)
        after = decision.state
        if after.erasure is not None:
            self._writes.erasures.append(after.erasure)
            self._forget_answers(after.erasure.customer_id)
        if after.customer is not None and after.customer is not before.customer:
            name = after.customer.customer_id
            loaded.customers[name] = self._writes.customers[name] = after.customer
        if command is not None and after.answer is not None and after.answer is not before.answer:
            loaded.answers[command] = self._writes.answers[command] = after.answer
            self._writes.at = now
        if isinstance(message.data, OrderCompleted) and after.counted and not before.counted:
            self._count(message.key, message.data.customer_id, now)
            loaded.completed[message.data.customer_id] = after.completed_orders
        return decision

    def _forget_answers(self, customer_id: str) -> None:
        """What was answered with name and address, before this batch or in it, is not answered again."""
        self._writes.erased.add(customer_id)
        for kept in (self._loaded.answers, self._writes.answers):
            for command, answer in kept.items():
                if isinstance(answer, CustomerRegistered) and answer.customer_id == customer_id:
                    kept[command] = without_address(answer)

    def _count(self, order_id: str, customer_id: str, now: datetime) -> None:
        self._loaded.counted.add(order_id)
        self._writes.counted[order_id] = customer_id
        self._writes.at = now

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        """See `Batch.stage`."""
        self._store.stage(transaction, self._writes)

    def committed(self) -> None:
        """Nothing is kept in memory."""
