"""The simulated gateway on its ledger in a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from workbench import fresh_database

from services.payment.gateway.domain import Method
from services.payment.gateway.ledger import EntryKind
from services.payment.gateway.migrate import migrate
from services.payment.gateway.port import (
    CancelOutcome,
    ChargeOutcome,
    ChargeRequest,
    GatewayError,
    GatewayTimeout,
    GatewayUnavailable,
    RefundOutcome,
    RefundRequest,
)
from services.payment.gateway.postgres import PostgresLedger
from services.payment.gateway.simulated import SimulatedGateway, SystemClock
from services.payment.gateway.suite import CHECKS, Bench

DEADLINE_S = 60.0
KILL_THE_BLOCKED = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""


@pytest.fixture
async def dsn(server_dsn: str) -> AsyncIterator[str]:
    """A database of this test's own."""
    async with fresh_database(server_dsn) as found:
        yield found


@pytest.fixture
async def ledger(dsn: str) -> AsyncIterator[PostgresLedger]:
    ledger = await PostgresLedger.open(dsn)
    yield ledger
    await ledger.close()


def visa(number: int | str, method: Method = Method.VISA) -> ChargeRequest:
    return ChargeRequest(f"charge-{number}", f"order-{number}", 100, "GBP", method.value)


def gateway_on(ledger: PostgresLedger) -> SimulatedGateway:
    return SimulatedGateway(ledger, SystemClock())


async def charges_of(ledger: PostgresLedger) -> Counter[str]:
    return Counter(entry.charge_id for entry in await gateway_on(ledger).entries() if entry.kind is EntryKind.CHARGE)


@pytest.mark.parametrize("check", CHECKS)
async def test_in_postgres(check: str, ledger: PostgresLedger) -> None:
    await CHECKS[check](Bench(ledger, check))


async def test_a_new_process_finds_what_the_dead_one_did(dsn: str) -> None:
    first = await PostgresLedger.open(dsn)
    await gateway_on(first).charge(visa(1), DEADLINE_S)
    first._pool.terminate()  # no goodbye: the connections are cut, as kill -9 would
    second = await PostgresLedger.open(dsn)
    assert (await gateway_on(second).look_up("charge-1", DEADLINE_S)).outcome is ChargeOutcome.CAPTURED
    await second.close()


async def test_processes_that_start_together_migrate_once(dsn: str) -> None:
    ledgers = await asyncio.gather(*(PostgresLedger.open(dsn) for _ in range(4)))
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("select count(*) from gateway.migrations") == 1
    assert await migrate(connection) == []
    await connection.close()
    await asyncio.gather(*(ledger.close() for ledger in ledgers))


async def test_many_calls_at_once_share_few_commits(dsn: str, ledger: PostgresLedger) -> None:
    gateway = gateway_on(ledger)
    connection = await asyncpg.connect(dsn)
    before = await connection.fetchval("select pg_current_xact_id()::text::bigint")
    answers = await asyncio.gather(*(gateway.charge(visa(number), DEADLINE_S) for number in range(400)))
    after = await connection.fetchval("select pg_current_xact_id()::text::bigint")
    await connection.close()
    assert {answer.outcome for answer in answers} == {ChargeOutcome.CAPTURED}
    assert [answer.charge_id for answer in answers] == [f"charge-{number}" for number in range(400)]
    assert after - before < 10


async def test_a_charge_and_a_cancel_that_race_between_processes_agree(dsn: str) -> None:
    """Neither row is there yet, so that there is nothing to lock: the very case the version check is for."""
    ledgers = [await PostgresLedger.open(dsn) for _ in range(2)]
    numbers = range(300)
    charges, cancels = await asyncio.gather(
        asyncio.gather(*(gateway_on(ledgers[0]).charge(visa(number), DEADLINE_S) for number in numbers)),
        asyncio.gather(
            *(gateway_on(ledgers[1]).cancel(f"charge-{number}", DEADLINE_S) for number in reversed(numbers))
        ),
    )
    pairs = {(charge.outcome, cancel.outcome) for charge, cancel in zip(charges, reversed(cancels), strict=True)}
    assert pairs <= {
        (ChargeOutcome.CAPTURED, CancelOutcome.CAPTURED),
        (ChargeOutcome.CANCELLED, CancelOutcome.CANCELLED),
    }
    captured = {charge.charge_id for charge in charges if charge.outcome is ChargeOutcome.CAPTURED}
    assert await charges_of(ledgers[0]) == Counter(captured)
    await asyncio.gather(*(ledger.close() for ledger in ledgers))


async def test_refunds_that_race_between_processes_never_exceed_the_charge(dsn: str) -> None:
    ledgers = [await PostgresLedger.open(dsn) for _ in range(3)]
    await gateway_on(ledgers[0]).charge(visa(1), DEADLINE_S)
    # 30 refunds of which 20 fit, ten of them from each process.
    answers = await asyncio.gather(
        *(
            gateway_on(ledger).refund(
                RefundRequest(f"refund-{process}-{number}", "charge-1", "order-1", 5, "GBP"), DEADLINE_S
            )
            for process, ledger in enumerate(ledgers)
            for number in range(10)
        )
    )
    refunded = {answer.refund_id for answer in answers if answer.outcome is RefundOutcome.REFUNDED}
    entries = await gateway_on(ledgers[0]).entries("order-1")
    assert len(refunded) == 20
    assert sum(entry.amount_minor for entry in entries if entry.kind is EntryKind.REFUND) == 100
    await asyncio.gather(*(ledger.close() for ledger in ledgers))


async def test_one_refund_id_for_two_charges_in_two_processes_is_given_back_once(dsn: str) -> None:
    ledgers = [await PostgresLedger.open(dsn) for _ in range(2)]
    for round_ in range(30):
        pair = [visa(f"{round_}-{side}") for side in range(2)]
        for request in pair:
            await gateway_on(ledgers[0]).charge(request, DEADLINE_S)
        answers = await asyncio.gather(
            *(
                gateway_on(ledger).refund(
                    RefundRequest(f"refund-{round_}", request.charge_id, request.order_id, 100, "GBP"), DEADLINE_S
                )
                for ledger, request in zip(ledgers, pair, strict=True)
            )
        )
        assert {answer.outcome for answer in answers} == {RefundOutcome.REFUNDED, RefundOutcome.CONFLICT}
    await asyncio.gather(*(ledger.close() for ledger in ledgers))


async def test_killed_connections_lose_no_money_and_tell_no_lies(dsn: str, ledger: PostgresLedger) -> None:
    """Whoever was told `captured` was charged; `unavailable` means that nothing was done; the same calls again settle it all."""
    gateway = gateway_on(ledger)
    admin = await asyncpg.connect(dsn)
    killed = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    told: dict[str, ChargeOutcome | type[GatewayError]] = {}

    async def buyer(first: int) -> None:
        for number in range(first, first + 60):
            try:
                answer = await gateway.charge(visa(number), DEADLINE_S)
                told[answer.charge_id] = answer.outcome
            except GatewayError as error:
                told[f"charge-{number}"] = type(error)

    buyers = asyncio.gather(*(buyer(first * 100) for first in range(10)))
    while not buyers.done():
        await admin.execute(killed)
        await admin.execute("select pg_sleep(0.02)")  # lets some batches through between two kills
    await buyers
    await admin.close()
    assert {GatewayUnavailable, GatewayTimeout} & set(told.values()), "no call was hit"
    charged = await charges_of(ledger)
    assert {charge for charge, outcome in told.items() if outcome is ChargeOutcome.CAPTURED} <= set(charged)
    assert not {charge for charge, outcome in told.items() if outcome is GatewayUnavailable} & set(charged)
    again = await asyncio.gather(*(gateway.charge(visa(charge.removeprefix("charge-")), DEADLINE_S) for charge in told))
    assert {answer.outcome for answer in again} == {ChargeOutcome.CAPTURED}
    assert await charges_of(ledger) == Counter(told.keys())


@pytest.mark.parametrize(
    ("lock", "error"),
    [
        ("access exclusive", GatewayUnavailable),  # holds up the read: nothing was done
        ("share", GatewayTimeout),  # holds up the write: nobody knows
    ],
)
async def test_a_connection_that_breaks_tells_whether_the_call_may_have_been_done(
    dsn: str, ledger: PostgresLedger, lock: str, error: type[GatewayError]
) -> None:
    admin = await asyncpg.connect(dsn)
    async with admin.transaction():
        await admin.execute(f"lock table gateway.charges in {lock} mode")
        call = asyncio.ensure_future(gateway_on(ledger).charge(visa(1), DEADLINE_S))
        async with asyncio.timeout(DEADLINE_S):
            while not await admin.fetch(KILL_THE_BLOCKED):
                await asyncio.wait([call], timeout=0.01)
        with pytest.raises(error):
            await call
    await admin.close()
    assert (await gateway_on(ledger).charge(visa(1), DEADLINE_S)).outcome is ChargeOutcome.CAPTURED


async def test_a_ledger_that_hangs_is_a_timeout(dsn: str, ledger: PostgresLedger) -> None:
    blocker = await asyncpg.connect(dsn)
    async with blocker.transaction():
        await blocker.execute("lock table gateway.charges in access exclusive mode")
        with pytest.raises(GatewayTimeout):
            await gateway_on(ledger).charge(visa(1), 0.2)
    await blocker.close()
    assert (await gateway_on(ledger).charge(visa(1), DEADLINE_S)).outcome is ChargeOutcome.CAPTURED


async def test_without_a_database_the_gateway_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(GatewayUnavailable, match="database"):
        await PostgresLedger.open(f"postgresql://nobody@/nothing?host={tmp_path}")


async def test_closing_answers_what_waits_and_refuses_what_comes(dsn: str) -> None:
    ledger = await PostgresLedger.open(dsn)
    calls = [asyncio.ensure_future(gateway_on(ledger).charge(visa(number), DEADLINE_S)) for number in range(50)]
    await asyncio.sleep(0)  # the calls are made, none can be answered yet
    await ledger.close()
    assert {(await call).outcome for call in calls} == {ChargeOutcome.CAPTURED}
    with pytest.raises(GatewayUnavailable):
        await gateway_on(ledger).charge(visa(1), DEADLINE_S)
