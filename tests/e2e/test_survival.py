"""Everything is killed in turn while orders come in; afterwards every order has ended and nothing is missing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from waiting import until

from e2e.compose import ComposeStack
from e2e.shop import Shop
from e2e.stack import Place, Stack
from e2e.sums import breaches, mails_by_order
from e2e.tools import orderctl

KILLED: Final = ("orders", "inventory", "payment", "customer", "notification", "orders-api", "postgres", "kafka")
RESTARTED: Final = ("postgres", "kafka")
PER_LOAD: Final = 60
RATE: Final = "10"


@dataclass(slots=True)
class Load:
    """`orderctl load`, run after run, until it is told that it is enough."""

    place: Place
    folder: Path
    enough: bool = False
    records: list[Path] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)

    async def run(self) -> None:
        """Each run ends when all of its orders have."""
        while not self.enough:
            number = len(self.records)
            self.records.append(self.folder / f"load-{number}.jsonl")
            done = await orderctl(
                self.place,
                *("load", "--orders", str(PER_LOAD), "--rate", RATE, "--seed", str(number), "--json"),
                *("--cancel-rate", "0.2", "--decline-rate", "0.1", "--timeout", "180"),
                *("--record", str(self.records[-1])),
                # A run may begin while the broker is away.
                env={"ORDERCTL_CONNECT_TIMEOUT_S": "180"},
                timeout_s=420,
            )
            assert done.returncode == 0, f"{done.output[-3000:]}\nrecord: {self.records[-1]}"
            self.results.append(json.loads(done.stdout))

    def outcomes(self) -> dict[str, str]:
        """How orders ended, as the sender heard it, by their ids."""
        return {line["key"]: line["outcome"] for line in self._lines() if line["kind"] == "outcome"}

    def unanswered(self) -> set[str]:
        """Commands that were sent and have no verdict."""
        sent = {line["command_id"] for line in self._lines() if line["kind"] == "command"}
        return sent - {line["command_id"] for line in self._lines() if line["kind"] == "verdict"}

    def _lines(self) -> list[dict[str, Any]]:
        found = []
        for path in self.records:
            for line in path.read_text().splitlines() if path.exists() else ():
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue  # the last line of a file that is being written
        return found


@pytest.mark.slow
async def test_every_order_ends_and_nothing_goes_missing_while_everything_is_killed_in_turn(
    stack: Stack | ComposeStack | None, place: Place, shop: Shop, tmp_path: Path
) -> None:
    if stack is None:
        pytest.skip("the running stack is not ours to kill (E2E_STACK=running)")
    load = Load(place, tmp_path)
    running = asyncio.create_task(load.run())
    try:
        await _orders_end(load, running)
        for name in KILLED:
            await stack.kill(name)
            await _survived(stack, load, running)
        for name in RESTARTED:
            await stack.restart(name)
            await _survived(stack, load, running)
    finally:
        load.enough = True
        await asyncio.wait([running])
    running.result()
    assert all(result["finished"] for result in load.results)
    assert sum(sum(result["outcomes"].values()) for result in load.results) == PER_LOAD * len(load.results)
    assert load.unanswered() == set()
    async with Shop(place) as after:  # a client that has not lived through the crashes
        await _agrees_with_the_sender(after, load.outcomes())
        await _nothing_is_missing(after, load)
    assert await _audit(place, shop.garbage, *load.records) == []


async def _survived(stack: Stack | ComposeStack, load: Load, running: asyncio.Task[None]) -> None:
    await stack.wait_ready()
    await _orders_end(load, running)


async def _orders_end(load: Load, running: asyncio.Task[None]) -> None:
    """Orders go on to their ends: the system works (again)."""
    before = len(load.outcomes())

    def ten_more() -> bool:
        if running.done():
            running.result()
        return len(load.outcomes()) >= before + 10

    await until(ten_more, "ten more orders have ended", deadline_s=180, every_s=0.2)


async def _agrees_with_the_sender(shop: Shop, outcomes: dict[str, str]) -> None:
    """What the sender heard is what the query API says, order by order."""
    rows = {row["order_id"]: row["status"].lower() for row in await shop.everything("orders-api", "/orders")}
    assert {order_id: rows.get(order_id) for order_id in outcomes} == outcomes


async def _nothing_is_missing(shop: Shop, load: Load) -> None:
    async def sums() -> bool | None:
        return True if await breaches(shop) == [] else None

    try:
        await shop.eventually(sums, "all sums are right")
    except AssertionError:
        assert await breaches(shop) == []  # its message names them
    told = {order_id for order_id, outcome in load.outcomes().items() if outcome in ("completed", "cancelled")}

    async def mails() -> bool | None:
        return True if told <= mails_by_order(shop).keys() else None

    await shop.eventually(mails, "a mail about every order that completed or was cancelled", 180)
    counts = mails_by_order(shop)
    assert {order_id: counts[order_id] for order_id in told if counts[order_id] != 1} == {}


@pytest.mark.slow
async def test_at_the_end_of_all_scenarios_the_audit_finds_nothing(place: Place, shop: Shop) -> None:
    async def sums() -> bool | None:
        return True if await breaches(shop) == [] else None

    await shop.eventually(sums, "all sums are right")
    assert await _audit(place, shop.garbage) == []


async def _audit(place: Place, garbage: set[str], *records: Path) -> list[dict[str, Any]]:
    """What `orderctl audit` finds, apart from the garbage that the tests put onto topics themselves."""
    sent = [part for path in records for part in ("--record", str(path))]
    done = await orderctl(place, "audit", "--json", *sent, timeout_s=300)
    assert done.returncode in (0, 1), done.output[-4000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)["breaches"]
    assert bool(found) == bool(done.returncode)
    return [one for one in found if one["record"] not in garbage or one["rule"] != "every-topic-record-is-an-event"]
