"""Anything may be said to any order at any time while anything may be down: in the end every promise holds."""

from __future__ import annotations

from random import Random

import promises
import pytest
from conversation import Shop, an_order
from test_simulation import METHODS, Forgets, LosesAnswers

from contracts.orders import (
    AddLineItem,
    ApprovePayment,
    CancelOrder,
    PauseOrder,
    ResolveAttention,
    ResumeOrder,
    RetryNow,
    StartGreet,
)
from contracts.values import CommandData
from simulation import System
from simulation.parts import SERVICES
from simulation.system import Outside

BY = {"operator": "op", "reason": "because"}
OPERATIONS: tuple[CommandData, ...] = (
    PauseOrder(**BY),
    PauseOrder(**BY),
    ResumeOrder(**BY),
    RetryNow(**BY),
    ResolveAttention(**BY, resolution="retry"),
    ResolveAttention(**BY, resolution="settled"),
)
FAULTY = Outside(
    store=lambda service, store: LosesAnswers(store),  # type: ignore[arg-type, return-value]
    publisher=lambda service, publisher: Forgets(publisher),
)


def anything(random: Random) -> tuple[str, CommandData]:
    """A command, and an id that an earlier one may have had."""
    number = random.randrange(60)
    match random.choice("sssaappppcoog"):
        case "s":
            items = (("nut", random.randint(1, 3)), ("mug", 1))[: random.randint(1, 2)]
            method, timeout_s = random.choice(METHODS), random.choice([None, 1, 5, 30, 900])
            version, customer = random.choice([None, 1, 2]), random.choice(["ann", "ann", "ann", "nobody"])
            return f"s{number}", an_order(items, method, timeout_s, version=version, customer=customer)
        case "a":
            sku = random.choice(["nut", "mug", "ghost", "pie"])
            return f"a{number}", AddLineItem(sku=sku, quantity=random.randint(1, 4))
        case "p":
            return f"p{number}", ApprovePayment(approved_by="boss")
        case "o":
            return f"o{number}", random.choice(OPERATIONS)
        case "g":
            return f"g{number}", StartGreet(user_id="ann")
        case _:
            return f"c{number}", CancelOrder(reason="no")


def disturb(system: System, random: Random, down: set[str]) -> None:
    if random.random() < 0.5:
        system.gateway.away = not system.gateway.away
        return
    service = random.choice(SERVICES)
    if service in down:
        system.up(service)
        down.remove(service)
    elif random.random() < 0.5:
        system.crash(service)
    else:
        system.down(service)
        down.add(service)


@pytest.mark.parametrize("seed", range(20))
def test_in_the_end_every_promise_holds(seed: int) -> None:
    random = Random(seed)
    rate, partitions = random.choice([0, 0.3, 0.8]), random.choice([1, 2, 4])
    outside = FAULTY if seed % 2 else None
    system = System(seed=seed, payment_failure_rate=rate, partitions=partitions, outside=outside)
    Shop(system).open().receive("nut", 60, 7)
    down: set[str] = set()
    for _ in range(120):
        command_id, data = anything(random)
        system.command(f"O-{random.randrange(25)}", data, id=command_id)
        if random.random() < 0.15:
            disturb(system, random, down)
        for _ in range(random.randrange(20)):
            system.step()
        if random.random() < 0.2:
            system.skip(random.choice([0.1, 1, 3, 20, 200]))
    for service in down:
        system.up(service)
    system.gateway.away = False
    system.run()
    for order in system.orders():
        if order["paused"]:
            system.command(order["order_id"], ResumeOrder(**BY))
    system.finish()
    promises.check(system)
