"""Short words for what is said to the system in tests, and for what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.customer import RegisterCustomer
from contracts.inventory import ReceiveStock
from contracts.orders import (
    AddLineItem,
    ApprovePayment,
    CancelOrder,
    PauseOrder,
    ResolveAttention,
    ResumeOrder,
    RetryNow,
    StartGreet,
    StartOrder,
)
from contracts.values import CommandData, Item
from simulation import System

#: What is on the shelves: pieces, price and currency.
SHELVES = {"tea": (100, 250, "GBP"), "mug": (10, 799, "GBP"), "last": (1, 5_000, "GBP"), "pie": (10, 300, "EUR")}
GOLD = 10**15


@dataclass
class Shop:
    """A system with stock and a customer. Each word is one command; it returns the verdict: `accepted`, the reason of a rejection,
    either with ` again` for a duplicate, or `undecided`."""

    system: System = field(default_factory=System)
    #: The version of the workflow that orders are started with; None: the default.
    version: int | None = None

    def open(self) -> Shop:
        for sku, (pieces, price, currency) in SHELVES.items():
            self.receive(sku, pieces, price, currency)
        self.receive("gold", 10, GOLD // 2)
        customer = RegisterCustomer(customer_id="ann", name="Ann", email="ann@shop.example")
        self.system.command("ann", customer)
        self.system.run()
        return self

    def receive(self, sku: str, pieces: int, price: int, currency: str | None = None) -> None:
        stock = ReceiveStock(sku=sku, quantity=pieces, unit_price_minor=price, currency=currency)
        self.system.command(sku, stock)

    def say(self, order: str, data: CommandData, id: str | None = None, source: str = "test") -> str:
        command = self.system.command(order, data, id=id, source=source)
        self.system.run()
        return self.verdict(order, command)

    def verdict(self, order: str, command: str) -> str:
        told = [verdict for verdict in self.system.verdicts(order) if verdict.command_id == command]
        if not told:
            return "undecided"
        word = "accepted" if told[-1].accepted else str(told[-1].reason)
        return f"{word} again" if told[-1].duplicate else word

    def start(
        self,
        order: str = "O",
        items: tuple[tuple[str, int], ...] = (("tea", 2),),
        method: str = "pm_card_visa",
        timeout_s: int | None = 900,
        currency: str | None = None,
        id: str | None = None,
        customer: str = "ann",
    ) -> str:
        return self.say(order, an_order(items, method, timeout_s, currency, self.version, customer), id)

    def asking(self, **changes: Any) -> StartOrder:
        """An order in this conversation's version."""
        return an_order(version=self.version, **changes)

    def start_until(self, status: str, order: str = "O", **changes: Any) -> str:
        """Start an order and stop as soon as it stands there, before anything that follows from that."""
        command = self.system.command(order, self.asking(**changes))
        while order not in self.system.parts.orders.states or self.status(order) != status:
            assert self.system.step(), f"it never got to {status}"
        return command

    def approve(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, ApprovePayment(approved_by="boss"), id)

    def cancel(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, CancelOrder(reason="changed my mind"), id)

    def add(self, order: str = "O", sku: str = "mug", quantity: int = 1, id: str | None = None) -> str:
        return self.say(order, AddLineItem(sku=sku, quantity=quantity), id)

    def greet(self, order: str = "O", user: str = "ann", id: str | None = None) -> str:
        return self.say(order, StartGreet(user_id=user), id)

    def pause(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, PauseOrder(operator="op", reason="looking into it"), id)

    def resume(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, ResumeOrder(operator="op", reason="looked into it"), id)

    def retry_now(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, RetryNow(operator="op", reason="it is up again"), id)

    def resolve(self, resolution: Literal["retry", "settled"], order: str = "O", id: str | None = None) -> str:
        return self.say(order, ResolveAttention(operator="op", reason="receipt 7", resolution=resolution), id)

    def status(self, order: str = "O") -> str:
        return str(self.system.order(order)["status"])

    def waiting_for(self, order: str = "O") -> str | None:
        found: str | None = self.system.order(order)["waiting_for"]
        return found

    def ending(self, order: str = "O") -> tuple[str, str | None]:
        found = self.system.order(order)
        return found["status"], found["reason"]

    def shelf(self, sku: str) -> tuple[int, int, int]:
        row = self.system.stock(sku)
        return row["on_hand"], row["held"], row["shipped"]

    def money(self, order: str = "O") -> list[tuple[str, int]]:
        return [(entry.kind.value, entry.amount_minor) for entry in self.system.gateway_entries(order)]

    def mails(self, order: str = "O") -> list[str]:
        return [mail.kind for mail in self.system.mails(order)]

    def retries(self, order: str = "O") -> list[float]:
        """The delays before further attempts, as the history tells them."""
        entries = self.system.history(order)
        return [entry["data"]["delay_s"] for entry in entries if entry["type"] == "orders.retry-scheduled"]


def an_order(
    items: tuple[tuple[str, int], ...] = (("tea", 2),),
    method: str = "pm_card_visa",
    timeout_s: int | None = 900,
    currency: str | None = None,
    version: int | None = None,
    customer: str = "ann",
) -> StartOrder:
    """What is None is not said."""
    lines = tuple(Item(sku=sku, quantity=quantity) for sku, quantity in items)
    said = {"approval_timeout_s": timeout_s, "currency": currency, "workflow_version": version}
    asked = {name: value for name, value in said.items() if value is not None}
    return StartOrder(customer_id=customer, items=lines, payment_method=method, **asked)  # type: ignore[arg-type]
