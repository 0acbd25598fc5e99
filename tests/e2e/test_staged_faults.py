"""Faults staged under a real Prometheus: each fires the alerts that it should and no other, and what is soon over fires none."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
import psutil
import pytest
from waiting import until

from chaos.faults import Saboteur
from chaos.plan import Fault, Kind
from chaos.room import Room
from contracts.metrics import LABELS
from contracts.ports import HTTP_PORTS
from e2e.prometheus import BINARY, WITHOUT, Prometheus, beside
from e2e.shop import Shop
from e2e.stack import Place, Stack, place_of

#: Each alert's `for` here, longer than a restart takes. The conditions are the real ones.
FOR_S: Final = 45
#: Some conditions look back for a minute before they are true.
FIRES_WITHIN_S: Final = 240.0
RECOVERS_WITHIN_S: Final = 240.0
Alerts = set[tuple[str, str]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason=WITHOUT),
    pytest.mark.not_in_containers("processes of this machine are stopped"),
]


@dataclass(frozen=True, slots=True)
class Watched:
    """A stack that works, and a Prometheus that looks at all of it every two seconds."""

    stack: Stack
    shop: Shop
    prometheus: Prometheus

    async def told(self, expected: Alerts) -> None:
        """Wait until these alerts fire."""

        firing: Alerts = set()

        async def all_fire() -> bool:
            nonlocal firing
            firing = await self.prometheus.firing()
            return firing >= expected

        await until(all_fire, lambda: f"{sorted(expected)} fire, but {sorted(firing)}", FIRES_WITHIN_S, every_s=1)

    async def quiet(self) -> None:
        """Wait until none does."""
        await until(self._quiet, "all is quiet again", FIRES_WITHIN_S, every_s=1)

    async def _quiet(self) -> bool:
        return await self.prometheus.firing() == set()

    async def pending_is_over(self) -> None:
        """Wait as long as what is pending now takes to fire."""
        await passed(FOR_S)

    def freezer(self, name: str) -> Callable[[], AbstractContextManager[None]]:
        """What freezes a process and all that it has started, at once: they neither run nor end for as long as it lasts."""
        (pid,) = (one["pid"] for one in self.stack.status()["processes"] if one["name"] == name)
        return partial(frozen, psutil.Process(pid))


@contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    processes = [process, *process.children(recursive=True)]
    try:
        for one in processes:
            one.suspend()
        yield
    finally:
        for one in processes:
            one.resume()


async def passed(seconds: float) -> None:
    """Wait until so much time has passed."""
    over = time.monotonic() + seconds
    await until(lambda: time.monotonic() > over, "time passes", seconds + 60, every_s=1)


@asynccontextmanager
async def watched(folder: Path, for_s: int = FOR_S, **settings: str) -> AsyncIterator[Watched]:
    stack = Stack("staged-faults", **{"PAYMENT_FAILURE_RATE": "0", **settings})
    place = stack.up()
    try:
        async with beside(place, folder, for_s) as prometheus, Shop(place) as shop:
            yield Watched(stack, shop, prometheus)
    finally:
        stack.down(wipe=True)


@asynccontextmanager
async def gateway_takes_nothing(place: Place) -> AsyncIterator[None]:
    """Charges wait for as long as this lasts: nobody can write into the gateway's ledger."""
    ledger = await asyncpg.connect(place.env["GATEWAY_DATABASE_URL"], timeout=30)
    try:
        async with ledger.transaction():
            await ledger.execute("LOCK TABLE gateway.charges IN SHARE MODE", timeout=30)
            yield
    finally:
        await ledger.close(timeout=30)


async def test_a_process_that_does_not_answer_is_told_of_by_its_alert_alone(tmp_path: Path) -> None:
    """The short form of what follows, in every run of the tests."""
    async with watched(tmp_path, for_s=10) as found:
        await found.shop.buy({await found.shop.shelf(100): 1})
        began = time.time()
        with found.freezer("payment")():
            await found.told({("ProcessDown", "payment")})
        await found.quiet()
        assert await found.prometheus.fired_since(began) == {("ProcessDown", "payment")}


@pytest.mark.proof
async def test_what_is_killed_wakes_nobody_and_a_frozen_service_is_told_of_by_its_two_alerts_alone(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as found:
        shop, stack = found.shop, found.stack
        sku = await shop.shelf(100)
        await shop.buy({sku: 1})
        began = time.time()

        # Killed: it is started again, and nobody is woken for that. (The broker's restart can take longer than `FOR_S`.)
        for name in ("orders", "payment", "postgres"):
            await stack.kill(name)
            await stack.wait_ready()
            await shop.buy({sku: 1})
        await found.pending_is_over()
        assert await found.prometheus.fired_since(began) == set()

        # Frozen, while an order waits for it: it does not answer, and its partition stands still.
        expected = {("ProcessDown", "payment"), ("LagWithoutProgress", "payment")}
        waiting = await shop.held({sku: 1})
        began = time.time()
        with found.freezer("payment")():
            await shop.approve(waiting)
            await found.told(expected)
        await shop.ended(waiting, RECOVERS_WITHIN_S)
        await found.quiet()
        assert await found.prometheus.fired_since(began) == expected


@pytest.mark.proof
async def test_a_database_that_is_frozen_is_told_of_as_what_cannot_be_seen(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        shop = found.shop
        waiting = await shop.held({await shop.shelf(100): 1})
        expected = {("CannotLook", source) for source in (LABELS["source"] or ()) if source != "kafka"}
        began = time.time()
        with found.freezer("postgres")():
            await shop.send("orders.approve-payment.v1", waiting, {"approved_by": "e2e"})
            await found.told(expected)
        assert (await shop.ended(waiting, RECOVERS_WITHIN_S)).short == "order-completed"
        await found.quiet()
        assert await found.prometheus.fired_since(began) == expected


@pytest.mark.proof
async def test_a_broker_that_is_frozen_is_told_of_as_what_cannot_be_seen_and_by_what_waits_for_it(
    tmp_path: Path,
) -> None:
    # A call to the gateway has time until the broker stands.
    async with watched(tmp_path, PAYMENT_CALL_TIMEOUT_S="60") as found:
        shop = found.shop
        waiting = await shop.held({await shop.shelf(100): 1})
        expected = {("CannotLook", "kafka"), ("OutboxAgeing", "payment"), ("TimersOverdue", "orders")}
        # What the broker has taken is an old row of the outbox all the same, until its acknowledgement has come and that is
        # recorded, once a second. On a busy machine the freeze can come before.
        allowed = {("OutboxAgeing", "orders")}
        began = time.time()

        async def asked() -> bool:
            return bool(await shop.charges(waiting))

        with ExitStack() as stopped:
            # The money is taken when the broker stands already: that is committed, and cannot be told.
            async with gateway_takes_nothing(shop.place):
                await shop.approve(waiting)
                await until(asked, "the gateway is asked")
                stopped.enter_context(found.freezer("kafka")())
            await found.told(expected)
        assert (await shop.ended(waiting, RECOVERS_WITHIN_S)).short == "order-completed"
        await found.quiet()
        assert await found.prometheus.fired_since(began) - allowed == expected


@pytest.mark.proof
async def test_a_gateway_that_fails_every_call_is_told_of_alone(tmp_path: Path) -> None:
    async with watched(tmp_path, PAYMENT_FAILURE_RATE="1") as found:
        shop = found.shop
        began = time.time()
        ended = await shop.buy({await shop.shelf(100): 1})
        assert (ended.short, ended.data["reason"]) == ("order-failed", "payment-failed")
        await found.told({("GatewayFailing", "charge")})
        await found.pending_is_over()
        assert await found.prometheus.fired_since(began) == {("GatewayFailing", "charge")}


@pytest.mark.proof
async def test_a_record_that_nobody_can_read_is_told_of_as_a_dead_letter_and_as_nothing_else(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        shop = found.shop
        began = time.time()
        await shop.put("orders.commands.v1", b"garbage", b"\xff\xfe is no JSON")
        await found.told({("DeadLetters", "orders")})
        await shop.buy({await shop.shelf(100): 1})
        await found.pending_is_over()
        assert await found.prometheus.fired_since(began) == {("DeadLetters", "orders")}


#: One of each kind, on ways that an order needs.
FAULTS: Final = (
    Fault(0, Kind.CUT, "orders>kafka"),
    Fault(0, Kind.CUT, "payment>payment"),
    Fault(0, Kind.DELAY, "inventory>kafka", 4.0),
    Fault(0, Kind.STALL, "orders>orders", 5.0),
    Fault(0, Kind.HALF_OPEN, "payment>kafka"),
    Fault(0, Kind.HALF_OPEN, "inventory>inventory"),
)


@pytest.mark.proof
async def test_a_network_that_cuts_delays_and_loses_for_a_moment_wakes_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The room changes the environment; this puts it back.
    monkeypatch.setenv("DEVSTACK_HEALTHY_S", "0")
    room = Room(tmp_path / "room", {}, (), lambda _: None)
    try:
        async with room, beside(of_room(room), tmp_path, FOR_S) as prometheus, Shop(of_room(room)) as shop:
            sku = await shop.shelf(100)
            await shop.buy({sku: 1})
            began = time.time()
            for fault in FAULTS:
                done = await Saboteur(room).perform(fault)
                assert done.evidence
                order_id = await shop.start({sku: 1})
                await shop.approve(order_id)
                assert (await shop.ended(order_id, RECOVERS_WITHIN_S)).short == "order-completed"
            await passed(FOR_S)
            assert await prometheus.fired_since(began) == set()
    finally:
        room.stack.down(wipe=True)


def of_room(room: Room) -> Place:
    """Where its processes are; it has no console."""
    env: Mapping[str, str] = room.environment
    place = place_of(env)
    urls = {name: room.stack.settings.http_url(name) for name in HTTP_PORTS if name != "console"}
    return Place(place.bootstrap, place.partitions, urls, place.mails, place.env)
