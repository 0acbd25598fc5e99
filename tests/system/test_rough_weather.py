"""Anything may be said to any order at any time while anything may be down: in the end every promise holds."""

from __future__ import annotations

from random import Random

import pytest
from test_simulation import METHODS, Forgets, LosesAnswers

from contracts.values import CommandData
from simulation import System
from simulation.kit import (
    Asked,
    Shop,
    add_line,
    approve,
    cancel,
    cancel_by_operator,
    greet,
    pause,
    resolve,
    resume,
    retry_now,
    start_order,
)
from simulation.parts import SERVICES
from simulation.system import Outside

OPERATIONS: tuple[CommandData, ...] = (
    cancel_by_operator(),
    pause(),
    pause(),
    resume(),
    retry_now(),
    resolve("retry"),
    resolve("settled", evidence="BANK-4711"),
)
FAULTY = Outside(
    store=lambda service, store: LosesAnswers(store),  # type: ignore[arg-type, return-value]
    publisher=lambda service, publisher: Forgets(publisher),
)


def any_order(random: Random) -> Asked:
    asked: Asked = {
        "items": [("nut", random.randint(1, 3)), ("mug", 1)][: random.randint(1, 2)],
        "payment_method": random.choice(METHODS),
        "customer": random.choice(["ann", "ann", "ann", "nobody"]),
    }
    if timeout_s := random.choice([None, 1, 5, 30, 900]):
        asked["approval_timeout_s"] = timeout_s
    if version := random.choice([None, 1, 2]):
        asked["workflow_version"] = version
    return asked


def anything(random: Random) -> tuple[str, CommandData]:
    """A command, and an id that an earlier one may have had."""
    number = random.randrange(60)
    match random.choice("sssaappppcoog"):
        case "s":
            return f"s{number}", start_order(**any_order(random))
        case "a":
            return f"a{number}", add_line(random.choice(["nut", "mug", "ghost", "pie"]), random.randint(1, 4))
        case "p":
            return f"p{number}", approve()
        case "o":
            return f"o{number}", random.choice(OPERATIONS)
        case "g":
            return f"g{number}", greet()
        case _:
            return f"c{number}", cancel()


def disturb(system: System, random: Random, down: set[str]) -> None:
    """Something goes down or comes back, and nothing follows from that yet."""
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
    with Shop(system) as shop:
        shop.given_stock("nut", 60, price_minor=7)
        down: set[str] = set()
        for _ in range(120):
            command_id, data = anything(random)
            shop.send(data, order=f"O-{random.randrange(25)}", id=command_id)
            if random.random() < 0.15:
                disturb(system, random, down)
            for _ in range(random.randrange(20)):
                system.step()
            if random.random() < 0.2:
                shop.skip(seconds=random.choice([0.1, 1, 3, 20, 200]))
        shop.up()
        for order in system.orders():
            if order["paused"]:
                shop.send(resume(), order=order["order_id"])
