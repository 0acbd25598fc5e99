"""The customer service as the runtime sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from contracts.topics import SUBSCRIPTIONS
from messaging.decision import Decision, Message
from messaging.stamp import Stamped
from services.customer.domain import Answer, CommandKey, Customer, State, command_key, decide
from services.customer.store import CustomerStore

SERVICE: Final = "customer"


class CustomerHandler:
    """Loads what a batch of commands is about."""

    name = SERVICE
    topics: tuple[str, ...] = SUBSCRIPTIONS[SERVICE]
    interests: Mapping[str, frozenset[str]] = {}

    def __init__(self, store: CustomerStore) -> None:
        self._store = store

    async def load(self, transaction: Any, partition: int, messages: Sequence[Message]) -> CustomerBatch:
        """See `Handler.load`."""
        if not messages:
            return CustomerBatch(self._store, {}, {})
        customers = await self._store.load_customers(transaction, {message.key for message in messages})
        answers = await self._store.load_answers(transaction, {command_key(message) for message in messages})
        return CustomerBatch(self._store, customers, answers)

    def forget(self, partition: int) -> None:
        """Nothing is kept in memory."""


class CustomerBatch:
    """The customers and the answers of one batch, and which of them are new."""

    def __init__(self, store: CustomerStore, customers: dict[str, Customer], answers: dict[CommandKey, Answer]) -> None:
        self._store = store
        self._customers = customers
        self._answers = answers
        self._changed: dict[str, Customer] = {}
        self._answered: dict[CommandKey, Answer] = {}
        self._now: datetime | None = None

    def decide(self, message: Message, now: datetime) -> Decision[State]:
        """See `Batch.decide`."""
        key = command_key(message)
        before = State(self._customers.get(message.key), self._answers.get(key))
        decision = decide(before, message, now)
        after = decision.state
        if after.customer is not None and after.customer is not before.customer:
            self._customers[message.key] = self._changed[message.key] = after.customer
        if after.answer is not None and after.answer is not before.answer:
            self._answers[key] = self._answered[key] = after.answer
            self._now = now
        return decision

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        """See `Batch.stage`."""
        if self._answered and self._now is not None:
            self._store.stage_answers(transaction, self._answered, self._now)
        if self._changed:
            self._store.stage_customers(transaction, self._changed.values())

    def committed(self) -> None:
        """Nothing is kept in memory."""
