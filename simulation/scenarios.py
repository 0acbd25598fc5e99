"""Conversations with one order, as short scripts: what is said to it, what goes wrong around it, how much time passes.

    start:timeout=10 down:inventory add:mug:1 skip:11 up

starts an order that waits ten seconds for its approval, takes inventory down, adds a line, lets eleven seconds pass and brings
everything back. After its last word everything comes up and goes on to the end; then every answer that the order has had is
delivered once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from contracts.envelope import encode, headers_for
from contracts.inventory import ReservationExpired
from contracts.orders import CancelByOperator, PauseOrder, ResolveAttention, ResumeOrder, RetryNow, StartOrder
from contracts.registry import TYPE_OF
from contracts.topics import CUSTOMER_EVENTS, INVENTORY_EVENTS, ORDERS_COMMANDS, PAYMENT_EVENTS, RECOMMENDATION_EVENTS
from contracts.values import CommandData, Item
from services.orders.domain.state import business_id
from simulation.kit import words
from simulation.system import System

ORDER: Final = "O"
#: What is on the shelves: pieces, price and currency.
SHELVES: Final = {
    "tea": (100, 250, "GBP"),
    "mug": (10, 799, "GBP"),
    "pie": (10, 300, "EUR"),
    "gold": (10, 10**15 // 2, "GBP"),
}
_BY: Final = {"operator": "op", "reason": "ticket 7"}
_ANSWERS: Final = (INVENTORY_EVENTS, PAYMENT_EVENTS, CUSTOMER_EVENTS, RECOMMENDATION_EVENTS)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A script. `failure_rate`: how many of the calls to the gateway fail transiently."""

    script: str
    failure_rate: float = 0.0


class Player:
    """Plays a script on a system. `version`: of the workflow, for orders whose script does not say."""

    def __init__(self, system: System, version: int) -> None:
        self.system = system
        self._version = version
        self._started: StartOrder | None = None
        self._last: tuple[CommandData, str] | None = None
        self._words: dict[str, Callable[..., None]] = {
            "start": self._start,
            "equal": self._equal,
            "approve": lambda: self._say(words.approve()),
            "cancel": lambda: self._say(words.cancel()),
            "add": lambda sku="mug", quantity="1": self._say(words.add_line(sku, int(quantity))),
            "greet": lambda user="ann": self._say(words.greet(user)),
            "pause": lambda: self._say(PauseOrder(**_BY)),
            "resume": lambda: self._say(ResumeOrder(**_BY)),
            "retry-now": lambda: self._say(RetryNow(**_BY)),
            "resolve": lambda how: self._say(ResolveAttention(**_BY, resolution=how)),
            "prove": lambda how: self._say(ResolveAttention(**_BY, resolution=how, evidence="BANK-4711")),
            "cancel-by-operator": lambda: self._say(CancelByOperator(**_BY)),
            "again": self._again,
            "invalid": self._invalid,
            "signals": lambda: self.play("invalid equal greet approve add cancel"),
            "operators": lambda: self.play("retry-now resume resolve:retry resolve:settled"),
            "orders": self._orders,
            "redeliver": self._redeliver,
            "over": self._over,
            "down": system.down,
            "up": self._up,
            "away": lambda: self._gateway(away=True),
            "back": lambda: self._gateway(away=False),
            "skip": lambda seconds: system.skip(float(seconds)),
            "until": lambda status: system.until(lambda: self._status() == status),
        }

    def open(self) -> None:
        """Fill the shelves, and register the one customer."""
        for sku, (pieces, price, currency) in SHELVES.items():
            self.system.command(sku, words.receive_stock(sku, pieces, price, currency))
        self.system.command("ann", words.register_customer("ann"))
        self.system.run()

    def play(self, script: str) -> None:
        """Say and do one thing after another, each of them to its end as far as no time has to pass for it."""
        for word in script.split():
            name, *arguments = word.split(":")
            self._words[name](*arguments)
            if not (name == "start" and "until=" in word):
                self.system.run()

    def close(self) -> None:
        """Let everything end, and deliver every answer once more."""
        self._gateway(away=False)
        self._up()
        self.system.finish()
        self._redeliver()
        self.system.finish()

    def _say(self, data: CommandData, id: str | None = None, order: str = ORDER) -> None:
        self._last = data, self.system.command(order, data, id=id)

    def _again(self) -> None:
        assert self._last is not None
        self._say(*self._last)

    def _start(self, *arguments: str) -> None:
        said = dict(argument.split("=") for argument in arguments)
        lines = [line.split("*") for line in said.get("items", "tea*2").split(",")]
        asked: dict[str, Any] = {
            "customer_id": said.get("customer", "ann"),
            "items": tuple(Item(sku=sku, quantity=int(quantity)) for sku, quantity in lines),
            "workflow_version": self._version,
        }
        match said.get("version"):
            case "-":
                del asked["workflow_version"]
            case str(version):
                asked["workflow_version"] = int(version)
        names = {"method": "payment_method", "currency": "currency"}
        asked |= {names[name]: text for name, text in said.items() if name in names}
        if "timeout" in said:
            asked["approval_timeout_s"] = int(said["timeout"])
        self._started = StartOrder(**asked)
        self._say(self._started)
        while "until" in said and self._status() != said["until"]:
            assert self.system.step(), f"it never got to {said['until']}"

    def _equal(self) -> None:
        """The same order under another id of the command."""
        self._say(self._started or StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=2),)))

    def _orders(self, count: str) -> None:
        """So many other orders of the same customer, completed."""
        for number in range(int(count)):
            order = f"other-{number}"
            asked = StartOrder(customer_id="ann", items=(Item(sku="tea", quantity=1),), workflow_version=1)
            self._say(asked, order=order)
            self.system.run()
            self._say(words.approve(), order=order)
            self.system.run()

    def _invalid(self) -> None:
        self.system.raw(
            ORDERS_COMMANDS,
            ORDER.encode(),
            json.dumps(
                {
                    "specversion": "1.0",
                    "id": f"nonsense-{self.system.records(ORDERS_COMMANDS)[-1].offset if self._last else 0}",
                    "source": "test",
                    "type": "orders.nonsense.v1",
                    "subject": ORDER,
                    "data": {},
                }
            ).encode(),
        )

    def _redeliver(self) -> None:
        """A participant's process published its answers, died before it had noted that, and its successor publishes them again."""
        for topic in _ANSWERS:
            for record in [found for found in self.system.records(topic) if found.key == ORDER.encode()]:
                self.system.raw(topic, record.key, record.value, record.headers, record.partition)

    def _over(self, number: str = "0") -> None:
        """Inventory announces that one of the order's holds is over, whatever the time is and whoever is down."""
        system = self.system
        reservation_id = business_id("rsv", ORDER, number)
        data = ReservationExpired(reservation_id=reservation_id, expired_at=system.clock.now())
        named = TYPE_OF[ReservationExpired][1]
        id = f"over-{number}-{system.clock.now().timestamp()}"
        told = {"id": id, "source": "inventory", "type": named, "subject": ORDER, "correlationid": ORDER}
        value = encode(**told, data=data, time=system.clock.now())  # type: ignore[arg-type]
        system.raw(INVENTORY_EVENTS, ORDER.encode(), value, headers_for(named))

    def _gateway(self, away: bool) -> None:
        self.system.gateway.away = away

    def _up(self) -> None:
        for service in self.system.parts.of:
            self.system.up(service)

    def _status(self) -> str | None:
        known = ORDER in self.system.parts.orders.states
        return str(self.system.order(ORDER)["status"]) if known else None
