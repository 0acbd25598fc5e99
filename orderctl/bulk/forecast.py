"""A dry run over many orders: each one's plan, summed up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orderctl.command import Command
from orderctl.http import Apis

_AT_ONCE: Final = 8


@dataclass(slots=True)
class Forecast:
    """What a run would do. `unpriced`: orders that would move money of which nobody knows yet how much."""

    orders: int = 0
    accepted: int = 0
    undecided: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    money: Counter[tuple[str, str]] = field(default_factory=Counter)
    stock: Counter[tuple[str, str]] = field(default_factory=Counter)
    unpriced: int = 0

    def add(self, plan: Mapping[str, Any]) -> None:
        """Count the plan of one order."""
        self.orders += 1
        verdict = plan["verdict"]
        self.accepted += verdict["accepted"] is True
        self.undecided += verdict["accepted"] is None
        if verdict["accepted"] is False:
            self.rejected[verdict["reason"]] += 1
        self.outcomes[(plan["outcome"] or {}).get("status", "no such order")] += 1
        self.unpriced += any(move["amount_minor"] is None for move in plan["money"])
        for move in plan["money"]:
            self.money[move["kind"], move["currency"] or ""] += move["amount_minor"] or 0
        for move in plan["stock"]:
            self.stock[move["kind"], move["sku"] or ""] += move["quantity"] or 0

    def as_json(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        money = [{"kind": k, "currency": c or None, "amount_minor": n} for (k, c), n in sorted(self.money.items())]
        stock = [{"kind": k, "sku": sku or None, "quantity": n} for (k, sku), n in sorted(self.stock.items())]
        return {
            "kind": "bulk-plan",
            "orders": self.orders,
            "accepted": self.accepted,
            "undecided": self.undecided,
            "rejected": dict(self.rejected),
            "outcomes": dict(self.outcomes),
            "money": money,
            "stock": stock,
            "unpriced": self.unpriced,
        }


async def forecast(apis: Apis, commands: Sequence[Command], on_plan: Callable[[], None]) -> Forecast:
    """The plans of all commands, summed up. `on_plan` is called for each. Raises `ApiUnreachableError`."""
    found = Forecast()
    rest = iter(commands)

    async def work() -> None:
        for command in rest:
            found.add(await apis.plan(command, known=False))
            on_plan()

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return found
