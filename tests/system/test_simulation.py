"""The simulation itself: the same calls give the same run, and what is put in its way is survived."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from messaging.errors import PublishUnknownError, TransientStoreError
from messaging.ports import Commit, Publisher, Store, Wire
from simulation import System
from simulation.clock import VirtualClock, finish
from simulation.kit import Shop, add_line, approve, cancel, check_promises, start_order
from simulation.system import Outside

METHODS = ("pm_card_visa", "pm_card_timeout", "pm_card_late", "pm_card_declined", "pm_refund_fails")


def busy_day(system: System, orders: int = 30) -> System:
    """Orders of every kind, with everything that can be said to them."""
    shop = Shop(system)
    shop.given_stock("nut", 40, price_minor=7)
    for number in range(orders):
        order = f"O-{number}"
        items, method = {"nut": 1 + number % 3, "mug": 1}, METHODS[number % 5]
        shop.send(start_order(items=items, payment_method=method, approval_timeout_s=30), order=order)
        if number % 2:
            shop.send(add_line("nut"), order=order)
        if number % 3:
            shop.send(approve(), order=order)
        system.step()
        if number % 4 == 0:
            shop.send(cancel(), order=order)
        if number % 7 == 0:
            system.skip(0.7)
            system.crash(("orders", "inventory", "payment")[number % 3])
    system.finish()
    return system


def everything(system: System) -> list[Any]:
    topics = sorted({topic for topic, _ in system.broker._logs})
    return [system.trace, [(r.topic, r.partition, r.offset, r.value) for t in topics for r in system.records(t)]]


@pytest.mark.parametrize("seed", [None, 7])
def test_the_same_calls_give_the_same_run_to_the_last_byte(seed: int | None) -> None:
    assert everything(busy_day(System(seed=seed))) == everything(busy_day(System(seed=seed)))


def test_a_run_does_not_depend_on_the_hashes_of_the_interpreter() -> None:
    code = (
        "import hashlib, sys; sys.path.insert(0, 'tests/system')\n"
        "from test_simulation import busy_day, everything; from simulation import System\n"
        "print(hashlib.sha256(repr(everything(busy_day(System(seed=7)))).encode()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_day_with_crashes_keeps_every_promise(seed: int) -> None:
    check_promises(busy_day(System(seed=seed)))


@pytest.mark.parametrize("seed", range(3))
def test_what_must_hold_at_every_moment_holds_after_every_step(seed: int) -> None:
    system = System(seed=seed)
    step = system.step

    def judged() -> bool:
        going = step()
        assert system.audit(finished=False) == []
        return going

    system.step = judged  # type: ignore[method-assign]
    busy_day(system, orders=8)


class LosesAnswers:
    """A store whose every third commit is not heard of: half of those were made, half were not."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def begin(self) -> Any:
        transaction = await self._store.begin()
        commit = transaction.commit

        async def unsure(what: Commit) -> None:
            self._commits += 1
            if self._commits % 6 != 3:
                await commit(what)
            if self._commits % 3 == 0:
                raise TransientStoreError("the connection was cut")

        transaction.commit = unsure
        return transaction


class Forgets:
    """A publisher whose every second publish is not acknowledged, after all or half of it was appended."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._calls = 0

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        self._calls += 1
        if self._calls % 2:
            return await self._publisher.publish(wires)
        await self._publisher.publish(wires[: len(wires) // (1 + self._calls % 4)])
        raise PublishUnknownError("no acknowledgement")


@pytest.mark.parametrize("seed", range(10))
def test_lost_answers_of_the_database_and_the_broker_change_nothing(seed: int) -> None:
    outside = Outside(
        store=lambda service, store: LosesAnswers(store),  # type: ignore[arg-type, return-value]
        publisher=lambda service, publisher: Forgets(publisher),
    )
    check_promises(busy_day(System(seed=seed, outside=outside)))


def test_time_moves_only_when_it_is_told_to() -> None:
    shop = Shop()
    before = shop.system.now
    shop.given_order()
    shop.when(approve())
    assert shop.system.now == before
    shop.skip(seconds=5)
    assert (shop.system.now - before).total_seconds() == 5


def test_waiting_for_what_never_happens_ends() -> None:
    shop = Shop()
    shop.given_order(approval_timeout_s=60)
    with pytest.raises(TimeoutError):
        shop.system.until(lambda: shop.status() == "COMPLETED", within_s=30)


def test_what_must_not_wait_is_found_out() -> None:
    with pytest.raises(RuntimeError, match="must not wait"):
        finish(VirtualClock().sleep(1))
