"""Payment with its real worker and the simulated gateway: the same tests in memory and on PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from payment_bench import (
    CHARGE,
    ORDER,
    Backend,
    MemoryBackend,
    Process,
    Shop,
    charge,
    postgres_backend,
    refund,
    server_dsn,
    void,
)

from contracts.topics import PAYMENT_COMMANDS, dead_letter_topic
from messaging.errors import FenceLostError, StaleRowError
from services.payment.state import Charge, End, Outcome, Status
from services.payment.store import Change

__all__ = ["server_dsn"]


@pytest.fixture(params=["memory", "postgres"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    if request.param == "memory":
        yield MemoryBackend()
        return
    async with postgres_backend(request.getfixturevalue("server_dsn")) as found:
        yield found


@pytest.fixture
async def shop(backend: Backend) -> AsyncIterator[Shop]:
    shop = Shop(backend)
    await shop.start()
    yield shop
    await shop.stop()


async def settled(shop: Shop, status: str, captured: int, refunded: int) -> None:
    """The rows say so, and nothing is under way."""
    assert await shop.backend.rows() == {CHARGE: (status, captured, refunded)}
    assert await shop.backend.pending() == 0


# --- every payment method ---------------------------------------------------------------------------------------------


async def test_visa_is_charged_once_and_refunded_once(shop: Shop) -> None:
    assert await shop.ask(charge()) == ["charge-captured 1"]
    assert await shop.ask(charge(), charge(), void()) == ["charge-captured 1"] * 3
    await settled(shop, "captured", 1_000, 0)
    assert await shop.ask(refund()) == ["refunded 1"]
    assert await shop.ask(refund(), refund(attempt=2)) == ["refunded 1", "refunded 2"]
    await settled(shop, "captured", 1_000, 1_000)
    assert await shop.moved() == [("charge", 1_000), ("refund", 1_000)]


async def test_visa_that_fails_is_charged_by_a_later_attempt(backend: Backend) -> None:
    shop = Shop(backend, failure_rate=1.0)
    await shop.start()
    assert await shop.ask(charge(attempt=1)) == ["charge-failed 1"]
    assert await shop.ask(charge(attempt=1)) == ["charge-failed 1"]
    assert await shop.ask(charge(attempt=2)) == ["charge-failed 2"]
    await settled(shop, "failed", 0, 0)
    shop.failure_rate = 0.0
    await shop.crash()
    assert await shop.ask(charge(attempt=3)) == ["charge-captured 3"]
    await settled(shop, "captured", 1_000, 0)
    await shop.stop()


async def test_a_failed_charge_can_be_voided_and_is_refused_then(backend: Backend) -> None:
    shop = Shop(backend, failure_rate=1.0)
    await shop.start()
    assert await shop.ask(charge()) == ["charge-failed 1"]
    assert await shop.ask(void()) == ["charge-voided 1"]
    assert await shop.ask(charge(attempt=2)) == ["charge-voided 2"]
    await settled(shop, "voided", 0, 0)
    await shop.stop()


@pytest.mark.parametrize("method", ["pm_card_declined", "pm_shells"])
async def test_declined_and_unknown_methods_are_declined_for_good(shop: Shop, method: str) -> None:
    assert await shop.ask(charge(method)) == ["charge-declined 1"]
    assert await shop.ask(charge(method, attempt=2)) == ["charge-declined 2"]
    assert await shop.ask(void()) == ["charge-voided 1"]
    assert await shop.moved() == []
    await settled(shop, "declined", 0, 0)


async def test_timeout_is_charged_once_and_found_by_asking(shop: Shop) -> None:
    assert await shop.ask(charge("pm_card_timeout")) == ["charge-unknown 1"]
    await settled(shop, "unknown", 0, 0)
    assert await shop.ask(charge("pm_card_timeout", attempt=2)) == ["charge-captured 2"]
    assert await shop.moved() == [("charge", 1_000)]
    await settled(shop, "captured", 1_000, 0)


async def test_timeout_that_is_voided_turns_out_to_be_captured(shop: Shop) -> None:
    assert await shop.ask(charge("pm_card_timeout")) == ["charge-unknown 1"]
    assert await shop.ask(void()) == ["charge-captured 1"]
    assert await shop.ask(refund()) == ["refunded 1"]
    await settled(shop, "captured", 1_000, 1_000)


async def test_late_is_unknown_until_it_lands(shop: Shop) -> None:
    assert await shop.ask(charge("pm_card_late")) == ["charge-unknown 1"]
    assert await shop.ask(charge("pm_card_late", attempt=2)) == ["charge-unknown 2"]
    shop.clock.pass_time(2.1)
    assert await shop.ask(charge("pm_card_late", attempt=3)) == ["charge-captured 3"]
    assert await shop.moved() == [("charge", 1_000)]
    await settled(shop, "captured", 1_000, 0)


async def test_late_that_is_voided_in_time_never_lands(shop: Shop) -> None:
    assert await shop.ask(charge("pm_card_late")) == ["charge-unknown 1"]
    assert await shop.ask(void()) == ["charge-voided 1"]
    shop.clock.pass_time(60)
    assert await shop.ask(charge("pm_card_late", attempt=2)) == ["charge-voided 2"]
    assert await shop.moved() == []
    await settled(shop, "voided", 0, 0)


async def test_late_and_its_void_in_flight_together_agree(shop: Shop) -> None:
    assert sorted(await shop.ask(charge("pm_card_late"), void())) == ["charge-unknown 1", "charge-voided 1"]
    shop.clock.pass_time(60)
    assert await shop.ask(void(2)) == ["charge-voided 2"]
    assert await shop.moved() == []
    await settled(shop, "voided", 0, 0)


async def test_refund_fails_takes_four_attempts_under_one_id(shop: Shop) -> None:
    assert await shop.ask(charge("pm_refund_fails")) == ["charge-captured 1"]
    for attempt in (1, 2, 3):
        assert await shop.ask(refund(attempt)) == [f"refund-failed {attempt}"]
        assert await shop.ask(refund(attempt)) == [f"refund-failed {attempt}"]
    assert await shop.ask(refund(4)) == ["refunded 4"]
    assert await shop.moved() == [("charge", 1_000), ("refund", 1_000)]
    await settled(shop, "captured", 1_000, 1_000)


async def test_a_void_that_comes_before_its_charge_leaves_a_tombstone(shop: Shop) -> None:
    assert await shop.ask(void()) == ["charge-voided 1"]
    await shop.crash()
    assert await shop.ask(charge()) == ["charge-voided 1"]
    assert await shop.moved() == []
    await settled(shop, "voided", 0, 0)


# --- crashes ----------------------------------------------------------------------------------------------------------


async def test_a_call_is_made_only_after_its_intent_is_committed(shop: Shop) -> None:
    shop.send(charge())
    await shop.process.read()
    assert await shop.backend.pending() == 1
    assert await shop.moved() == []
    assert shop.heard() == []
    assert await shop.backend.rows() == {CHARGE: ("calling", 0, 0)}


@pytest.mark.parametrize("method", ["pm_card_visa", "pm_card_timeout"])
@pytest.mark.parametrize("called", [False, True])
async def test_a_crash_around_the_call_charges_once(shop: Shop, method: str, called: bool) -> None:
    shop.send(charge(method))
    await shop.process.read()
    if called:
        await shop.process.call_next()
    await shop.crash()
    told = await shop.ask()
    if told == ["charge-unknown 1"]:
        told = await shop.ask(charge(method, attempt=2))
    assert told[0].startswith("charge-captured")
    assert await shop.moved() == [("charge", 1_000)]
    await settled(shop, "captured", 1_000, 0)


@pytest.mark.parametrize("called", [0, 1, 2])
async def test_a_crash_around_a_void_in_flight_ends_without_money_or_with_a_capture_that_was_told(
    shop: Shop, called: int
) -> None:
    shop.send(charge("pm_card_late"), void())
    await shop.process.read()
    for _ in range(called):
        await shop.process.call_next()
    await shop.crash()
    told = await shop.ask()
    shop.clock.pass_time(60)
    assert "charge-voided 1" in told
    assert await shop.moved() == []
    await settled(shop, "voided", 0, 0)


async def test_a_crash_after_the_refund_gives_back_once(shop: Shop) -> None:
    await shop.ask(charge())
    shop.send(refund())
    await shop.process.read()
    await shop.process.call_next()
    await shop.crash()
    assert await shop.ask() == ["refunded 1"]
    assert await shop.moved() == [("charge", 1_000), ("refund", 1_000)]
    await settled(shop, "captured", 1_000, 1_000)


async def test_a_process_that_lost_the_fence_changes_nothing(shop: Shop) -> None:
    rival = Process(shop.backend, shop.broker, 0.0)
    await rival.start()
    shop.send(charge())
    with pytest.raises(FenceLostError):
        await shop.process.run()
    assert await shop.backend.rows() == {}
    await rival.run()
    assert shop.heard() == ["charge-captured 1"]
    await rival.close()


# --- late success -----------------------------------------------------------------------------------------------------


async def test_money_that_turns_up_after_voided_was_told_is_given_back_by_a_timer_until_it_works(shop: Shop) -> None:
    """The gateway's cancel and its charge contradict each other here: the worst that a gateway can do."""
    shop.send(charge("pm_refund_fails"))
    await shop.process.read()
    await shop.process.call_next()
    late = {p: list(outcomes) for p, outcomes in shop.process.outcomes.items()}
    shop.process.outcomes = {p: [] for p in late}
    shop.process.performer = _Voids(shop.process.performer)  # type: ignore[assignment]
    assert await shop.ask(void()) == ["charge-voided 1"]
    assert shop.process.handler._kept, "the charge is still under way"
    shop.process.outcomes = late
    assert await shop.ask() == ["charge-voided 1"]
    waited = []
    while await shop.backend.rows() == {CHARGE: ("returning", 1_000, 0)}:
        due = shop.process.workers[shop.partition()].next_due
        assert due is not None
        waited.append((due - shop.clock.now()).total_seconds())
        shop.clock.pass_time(waited[-1])
        assert await shop.ask() == []
        if len(waited) == 2:
            await shop.crash()
    assert waited == [1, 2, 4]
    assert await shop.moved() == [("charge", 1_000), ("refund", 1_000)]
    await settled(shop, "returned", 1_000, 1_000)


class _Voids:
    """A performer whose void always works, whatever the gateway says."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def read(self, kind: str, request: bytes) -> Any:
        return self._real.read(kind, request)

    async def perform(self, kind: str, request: Any, resumed: bool) -> Any:
        return Outcome(End.VOIDED) if kind == "void" else await self._real.perform(kind, request, resumed)


# --- batches and bad input --------------------------------------------------------------------------------------------


async def test_many_orders_in_one_batch_are_each_charged_once(shop: Shop) -> None:
    for number in range(200):
        shop.send(charge(charge_id=f"charge-{number}"), order_id=f"ORDER-{number}")
        shop.send(charge(charge_id=f"charge-{number}"), order_id=f"ORDER-{number}")
    told = await shop.ask()
    assert told == ["charge-captured 1"] * 200
    assert len(await shop.moved(None)) == 200
    assert set((await shop.backend.rows()).values()) == {("captured", 1_000, 0)}
    assert shop.process.handler._kept == {p: {} for p in range(4)}, "nothing is under way, nothing is kept"


async def test_the_charges_of_one_order_stay_apart(shop: Shop) -> None:
    told = await shop.ask(charge(), charge("pm_card_declined", charge_id="charge-2"), void(charge_id="charge-3"))
    assert sorted(told) == ["charge-captured 1", "charge-declined 1", "charge-voided 1"]
    assert await shop.ask(refund(amount=300), refund(amount=700, refund_id="refund-2")) == ["refunded 1"] * 2
    assert await shop.backend.rows() == {
        CHARGE: ("captured", 1_000, 1_000),
        "charge-2": ("declined", 0, 0),
        "charge-3": ("voided", 0, 0),
    }


async def test_one_charge_id_under_two_orders_charges_the_first_alone(shop: Shop) -> None:
    """The gateway knows the id as another order's: the second order is declined."""
    assert await shop.ask(charge()) == ["charge-captured 1"]
    shop.send(charge(), order_id="ORDER-2")
    await shop.process.run()
    assert sorted(shop.events()) == ["charge-captured 1", "charge-declined 1"]
    assert await shop.moved("ORDER-2") == []


async def test_commands_that_cannot_be_read_never_stop_the_partition(shop: Shop) -> None:
    for number in range(120):
        value = (
            b'{"specversion":"1.0","id":"c-%d","source":"x","type":"payment.charge.v1","subject":"ORDER-1","data":{}}'
        )
        shop.broker.append(PAYMENT_COMMANDS, ORDER.encode(), value % number, ())
    shop.broker.append(PAYMENT_COMMANDS, ORDER.encode(), b"\xff not json", ())
    assert await shop.ask(charge()) == ["charge-captured 1"]
    dead = shop.broker.all_records(dead_letter_topic(PAYMENT_COMMANDS, "payment"))
    reasons = Counter(dict(record.headers)["dlq-reason"] for record in dead)
    assert reasons == {b"invalid": 120, b"not-utf8": 1}


# --- the store itself -------------------------------------------------------------------------------------------------


async def test_a_row_of_another_version_is_not_written(shop: Shop) -> None:
    await shop.ask(charge())
    charges, store = shop.backend.charges(), shop.process.stores[shop.partition()]
    transaction = await store.begin()
    (row,) = await charges.load(transaction, [ORDER])
    assert (row.status, row.captured_minor, row.version) == (Status.CAPTURED, 1_000, 2)
    charges.stage(transaction, [Change(row, ())])
    worker = shop.process.workers[shop.partition()]
    with pytest.raises(StaleRowError):
        await transaction.commit(worker._new_commit())
    await store.rollback(transaction)
    assert (await charges.load(await store.begin(), [ORDER]))[0] == row


async def test_what_is_written_is_what_is_read(shop: Shop) -> None:
    await shop.ask(void(charge_id="tombstone"))
    await shop.ask(charge("pm_refund_fails"))
    await shop.ask(refund(amount=400))
    await shop.ask(refund(amount=500, refund_id="refund-2"))
    before = await _loaded(shop)
    await shop.crash()
    assert await _loaded(shop) == before
    tombstone, charged = sorted(before, key=lambda c: c.captured_minor)
    assert (tombstone.amount_minor, tombstone.currency, tombstone.payment_method) == (None, None, None)
    assert [(r.refund_id, r.line.message) for r in charged.refunds] == [
        ("refund-1", "the bank is closed (1 of 3)"),
        ("refund-2", "the bank is closed (1 of 3)"),
    ]


async def _loaded(shop: Shop) -> list[Charge]:
    transaction = await shop.process.stores[shop.partition()].begin()
    found: list[Charge] = await shop.backend.charges().load(transaction, [ORDER])
    return sorted(found, key=lambda c: c.charge_id)
