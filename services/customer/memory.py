"""The customer service's tables in memory, for the simulation and the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from contracts.customer import CustomerRegistered
from messaging.errors import StaleRowError
from messaging.memory import MemoryTransaction
from services.customer.domain import Answer, CommandKey, Customer, Erasure, without_address
from services.customer.store import Writes


@dataclass(slots=True)
class MemoryCustomers:
    """`CustomerStore` as dictionaries."""

    customers: dict[str, Customer] = field(default_factory=dict)
    answers: dict[CommandKey, Answer] = field(default_factory=dict)
    counted: dict[str, str] = field(default_factory=dict)
    completed: Counter[str] = field(default_factory=Counter)
    erasures: list[Erasure] = field(default_factory=list)

    async def load_customers(self, transaction: MemoryTransaction, ids: Collection[str]) -> dict[str, Customer]:
        """See `CustomerStore.load_customers`."""
        return {name: self.customers[name] for name in ids if name in self.customers}

    async def load_answers(
        self, transaction: MemoryTransaction, commands: Collection[CommandKey]
    ) -> dict[CommandKey, Answer]:
        """See `CustomerStore.load_answers`."""
        return {key: self.answers[key] for key in commands if key in self.answers}

    async def load_counted(self, transaction: MemoryTransaction, order_ids: Collection[str]) -> set[str]:
        """See `CustomerStore.load_counted`."""
        return set(order_ids) & self.counted.keys()

    async def load_completed(self, transaction: MemoryTransaction, ids: Collection[str]) -> dict[str, int]:
        """See `CustomerStore.load_completed`."""
        return {name: self.completed[name] for name in ids if name in self.completed}

    def stage(self, transaction: MemoryTransaction, writes: Writes) -> None:
        """See `CustomerStore.stage`."""
        transaction.stage(lambda: self._write(writes))

    def _write(self, writes: Writes) -> None:
        if self.answers.keys() & writes.answers.keys() or self.counted.keys() & writes.counted.keys():
            raise StaleRowError("a command was answered, or an order counted, by somebody else meanwhile")
        for command, answer in self.answers.items():
            if isinstance(answer, CustomerRegistered) and answer.customer_id in writes.erased:
                self.answers[command] = without_address(answer)
        self.answers.update(writes.answers)
        self.customers.update(writes.customers)
        self.counted.update(writes.counted)
        self.completed.update(writes.counted.values())
        self.erasures.extend(writes.erasures)
