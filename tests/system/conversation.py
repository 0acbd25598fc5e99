"""The words that tests were written in before there was a test kit. For tests that are under way; new ones use `simulation.kit`."""

from __future__ import annotations

from typing import Any, Literal

from contracts.orders import AttentionNeeded, AttentionResolved, StartOrder
from contracts.values import CommandData
from simulation import System, kit

SHELVES = kit.SHELVES
GOLD = 10**15


class Shop(kit.Shop):
    def __init__(self, system: System | None = None, version: int | None = None) -> None:
        super().__init__(system, version=version)

    def open(self) -> Shop:
        return self

    def receive(self, sku: str, pieces: int, price: int, currency: str | None = None) -> None:
        self.given_stock(sku, pieces, price, currency)

    def say(self, order: str, data: CommandData, id: str | None = None, source: str = "test") -> str:
        return self.when(data, order=order, id=id, source=source).verdict

    def verdict(self, order: str, command: str) -> str:
        return kit.Saying(command, order, command, "orders.events.v1", self).verdict

    def start(self, order: str = "O", *, id: str | None = None, **asked: Any) -> str:
        return self.say(order, an_order(**asked), id)

    def asking(self, **changes: Any) -> StartOrder:
        return an_order(**changes, version=self.version)

    def start_until(self, status: str, order: str = "O", **changes: Any) -> str:
        command = self.send(an_order(**changes), order=order)
        while order not in self.system.parts.orders.states or self.status(order) != status:
            assert self.system.step(), f"it never got to {status}"
        return command.id

    def approve(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, kit.approve(), id)

    def cancel(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, kit.cancel(), id)

    def add(self, order: str = "O", sku: str = "mug", quantity: int = 1, id: str | None = None) -> str:
        return self.say(order, kit.add_line(sku, quantity), id)

    def greet(self, order: str = "O", user: str = "ann", id: str | None = None) -> str:
        return self.say(order, kit.greet(user), id)

    def pause(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, kit.pause(), id)

    def resume(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, kit.resume(), id)

    def retry_now(self, order: str = "O", id: str | None = None) -> str:
        return self.say(order, kit.retry_now(), id)

    def resolve(self, resolution: Literal["retry", "settled"], order: str = "O", id: str | None = None) -> str:
        return self.say(order, kit.resolve(resolution), id)

    def ending(self, order: str = "O") -> tuple[str, str | None]:
        found = self.order(order)
        return found["status"], found["reason"]

    def shelf(self, sku: str) -> tuple[int, int, int]:
        row = self.system.stock(sku)
        return row["on_hand"], row["held"], row["shipped"]

    def money(self, order: str = "O") -> Any:
        return [("charge" if amount > 0 else "refund", abs(amount)) for amount in super().money(order)]

    def mails(self, order: str = "O") -> list[str]:
        return [mail.kind for mail in self.system.mails(order)]


def attention(shop: Shop, order: str = "O") -> list[tuple[str, str]]:
    kinds = {AttentionNeeded: "needed", AttentionResolved: "resolved"}
    told = [event.data for event in shop.system.events(order)]
    return [(kinds[type(data)], data.reason) for data in told if isinstance(data, AttentionNeeded | AttentionResolved)]


def an_order(
    items: Any = (("tea", 2),),
    method: str = "pm_card_visa",
    timeout_s: int | None = 900,
    currency: str | None = None,
    version: int | None = None,
    customer: str = "ann",
) -> StartOrder:
    """What is None is not said."""
    said = {"approval_timeout_s": timeout_s, "currency": currency, "workflow_version": version}
    asked = {name: value for name, value in said.items() if value is not None}
    return kit.start_order(items=items, payment_method=method, customer=customer, **asked)
