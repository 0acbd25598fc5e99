"""The customer service's tables in memory, for the simulation and the tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from messaging.errors import StaleRowError
from messaging.memory import MemoryTransaction
from services.customer.domain import Answer, CommandKey, Customer


@dataclass(slots=True)
class MemoryCustomers:
    """`CustomerStore` as dictionaries."""

    customers: dict[str, Customer] = field(default_factory=dict)
    answers: dict[CommandKey, Answer] = field(default_factory=dict)

    async def load_customers(self, transaction: MemoryTransaction, ids: Collection[str]) -> dict[str, Customer]:
        """See `CustomerStore.load_customers`."""
        return {name: self.customers[name] for name in ids if name in self.customers}

    async def load_answers(
        self, transaction: MemoryTransaction, commands: Collection[CommandKey]
    ) -> dict[CommandKey, Answer]:
        """See `CustomerStore.load_answers`."""
        return {key: self.answers[key] for key in commands if key in self.answers}

    def stage_customers(self, transaction: MemoryTransaction, customers: Collection[Customer]) -> None:
        """See `CustomerStore.stage_customers`."""
        changed = {customer.customer_id: customer for customer in customers}
        transaction.stage(lambda: self.customers.update(changed))

    def stage_answers(
        self, transaction: MemoryTransaction, answers: Mapping[CommandKey, Answer], now: datetime
    ) -> None:
        """See `CustomerStore.stage_answers`. It has to be staged first: it may refuse."""
        new = dict(answers)

        def write() -> None:
            if self.answers.keys() & new.keys():
                raise StaleRowError("a command was answered by another partition meanwhile")
            self.answers.update(new)

        transaction.stage(write)
