"""The ledger in PostgreSQL, with group commit: calls that wait are decided together and made durable by one statement.

A batch reads its rows without locks, decides in memory, and writes what changed under a version check. A lock (`for update`) would
not do: it cannot lock a row that is not there yet, and a new charge racing a cancel from another process is the very case that
matters. Calls whose row was changed by somebody else in between are decided again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast

import asyncpg

from services.payment.gateway import sql
from services.payment.gateway.domain import ChargeRow, ChargeState, Decision, LedgerCall, RefundRow
from services.payment.gateway.ledger import Entry, EntryKind
from services.payment.gateway.migrate import migrate
from services.payment.gateway.port import ChargeRequest, GatewayError, GatewayTimeout, GatewayUnavailable, RefundRequest

A = TypeVar("A")

# A statement that was planned while the table was almost empty would scan it whole, and keep that plan, while it grows.
SESSION = {"enable_seqscan": "off", "jit": "off", "application_name": "gateway-ledger"}
COMMAND_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
MAX_BATCH = 500
MAX_ATTEMPTS = 10

# The server undid the statement because of others: the same batch may work at once.
_CLASHES = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
# No answer from the server, or one that it cannot serve now. All other errors are mistakes of ours and go up as they are.
_OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
)


@dataclass(slots=True, eq=False)
class _Waiting:
    call: LedgerCall[Any]
    answer: asyncio.Future[Decision[Any]]
    attempts: int = 0


@dataclass(slots=True)
class _Batch:
    """The rows of a batch, as they were read and as the decisions leave them."""

    charges: dict[str, ChargeRow]
    versions: dict[str, int]
    refunds: dict[str, RefundRow]
    changed: set[str] = field(default_factory=set)
    changed_refunds: set[str] = field(default_factory=set)

    def decide(self, call: LedgerCall[A]) -> Decision[A]:
        charge = self.charges.get(call.charge_id)
        refund = None if call.refund_id is None else self.refunds.get(call.refund_id)
        decision = call.decide(charge, refund)
        if decision.charge is not None and decision.charge is not charge:
            self.charges[call.charge_id] = decision.charge
            self.changed.add(call.charge_id)
        if call.refund_id is not None and decision.refund is not None and decision.refund is not refund:
            self.refunds[call.refund_id] = decision.refund
            self.changed_refunds.add(call.refund_id)
            self.changed.add(call.charge_id)  # its version guards its refunds
        return decision


class PostgresLedger:
    """Implements `ledger.LedgerStore`. Any number of processes may share the database."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._waiting: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, dsn: str) -> PostgresLedger:
        """Connect to `GATEWAY_DATABASE_URL` and bring the schema up to date."""
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=2,
                command_timeout=COMMAND_TIMEOUT_S,
                reset=_keep_session,
                server_settings=SESSION,
            )
            async with pool.acquire() as connection:
                await migrate(connection)
        except _OUTAGES as error:
            raise GatewayUnavailable("open", "ledger", f"start its database first ({error!r})") from error
        return cls(pool)

    async def close(self) -> None:
        """Answer what waits, then disconnect; within a few seconds, whatever the server does."""
        self._closed = True
        if self._runner is not None:
            await asyncio.wait([self._runner], timeout=CLOSE_TIMEOUT_S)
            self._runner.cancel()
            await asyncio.wait([self._runner])
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def apply(self, call: LedgerCall[A], timeout_s: float) -> Decision[A]:
        if self._closed:
            raise GatewayUnavailable(call.operation, call.charge_id, "the ledger is closed")
        waiting = _Waiting(call, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(), name="gateway-ledger")
        try:
            async with asyncio.timeout(timeout_s):
                return cast("Decision[A]", await waiting.answer)
        except TimeoutError as error:
            raise GatewayTimeout(
                call.operation, call.charge_id, f"the ledger did not answer within {timeout_s} s"
            ) from error

    async def entries(self, order_id: str | None, now: datetime) -> list[Entry]:
        try:
            async with self._pool.acquire(timeout=COMMAND_TIMEOUT_S) as connection:
                if order_id is None:
                    records = await connection.fetch(sql.ENTRIES, now)
                else:
                    records = await connection.fetch(sql.ENTRIES_OF_ORDER, now, order_id)
        except _OUTAGES as error:
            raise GatewayUnavailable("entries", "ledger", f"its database does not answer ({error!r})") from error
        return [Entry(EntryKind(kind), *rest) for kind, *rest in records]

    async def _run(self) -> None:
        """Batch after batch until nobody waits. While one is on its way to the disk, the next one gathers."""
        batch: list[_Waiting] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                # Whoever gave up waiting was told that the outcome is unknown; "never sent" is one of the possible outcomes.
                batch = [waiting for waiting in batch if not waiting.answer.done()]
                if batch:
                    await self._settle(batch)
        finally:
            # Only a cancelled runner leaves anyone behind.
            for waiting in batch + self._waiting:
                call = waiting.call
                _fail(waiting, GatewayTimeout(call.operation, call.charge_id, "the ledger was closed during the call"))
            self._waiting = []

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
        """Decide the batch and tell the answers, or the error; those who lost a race are put first in line again."""
        try:
            lost = await self._commit(batch)
        except GatewayError as error:
            for waiting in batch:
                call = waiting.call
                _fail(waiting, type(error)(call.operation, call.charge_id, str(error)))
            return
        except Exception as error:  # noqa: BLE001 (a mistake of ours: it goes up in every caller, none is left waiting)
            for waiting in batch:
                _fail(waiting, error)
            return
        for waiting in lost:
            waiting.attempts += 1
            if waiting.attempts >= MAX_ATTEMPTS:
                message = f"lost {MAX_ATTEMPTS} races for its rows"
                _fail(waiting, GatewayUnavailable(waiting.call.operation, waiting.call.charge_id, message))
        self._waiting = [waiting for waiting in lost if not waiting.answer.done()] + self._waiting

    async def _commit(self, calls: Sequence[_Waiting]) -> Sequence[_Waiting]:
        """Read, decide, write; tells the answers that are durable and returns the calls that have to be decided again."""
        sent = False
        try:
            async with self._pool.acquire(timeout=COMMAND_TIMEOUT_S) as connection:
                batch = await _load(connection, calls)
                decided = [(waiting, batch.decide(waiting.call)) for waiting in calls]
                sent = True
                written = await _write(connection, batch)
        except _CLASHES:
            return calls
        except _OUTAGES as error:
            if sent:  # an error on commit often means committed
                raise GatewayTimeout(
                    "write", "ledger", f"the connection broke during the commit ({error!r})"
                ) from error
            raise GatewayUnavailable("read", "ledger", f"its database does not answer ({error!r})") from error
        lost = []
        for waiting, decision in decided:
            if waiting.call.charge_id in batch.changed and waiting.call.charge_id not in written:
                lost.append(waiting)
            elif not waiting.answer.done():
                waiting.answer.set_result(decision)
        return lost


async def _keep_session(_: object) -> None:
    """Instead of the pool's reset: nothing here sets session state, so the round trip after every batch is saved."""


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)


async def _load(connection: Any, calls: Sequence[_Waiting]) -> _Batch:
    charges: dict[str, ChargeRow] = {}
    versions: dict[str, int] = {}
    for record in await connection.fetch(sql.CHARGES, list({waiting.call.charge_id for waiting in calls})):
        charge_id, order_id, amount, currency, method, state, lands_at, call_count, refunded, version = record
        known = None if amount is None else ChargeRequest(charge_id, order_id, amount, currency, method)
        charges[charge_id] = ChargeRow(charge_id, known, ChargeState(state), lands_at, call_count, refunded)
        versions[charge_id] = version
    refunds: dict[str, RefundRow] = {}
    refund_ids = list({waiting.call.refund_id for waiting in calls if waiting.call.refund_id is not None})
    if refund_ids:
        # After the charges: a refund written in between has changed its charge's version, and ours loses.
        for refund_id, charge_id, order_id, amount, currency, failures, refunded_at in await connection.fetch(
            sql.REFUNDS, refund_ids
        ):
            request = RefundRequest(refund_id, charge_id, order_id, amount, currency)
            refunds[refund_id] = RefundRow(request, failures, refunded_at)
    return _Batch(charges, versions, refunds)


async def _write(connection: Any, batch: _Batch) -> set[str]:
    """One statement, so that it is one transaction without further round trips; the ids of the charges that were written."""
    if not batch.changed:
        return set()
    # In the order of the keys, so that two processes never wait for each other in a circle.
    columns = _columns(_charge_values(batch, charge_id) for charge_id in sorted(batch.changed))
    if not batch.changed_refunds:
        return {charge_id for (charge_id,) in await connection.fetch(sql.WRITE_CHARGES, *columns)}
    columns += _columns(_refund_values(batch.refunds[refund_id]) for refund_id in sorted(batch.changed_refunds))
    return {charge_id for (charge_id,) in await connection.fetch(sql.WRITE_CHARGES_AND_REFUNDS, *columns)}


def _columns(rows: Any) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _charge_values(batch: _Batch, charge_id: str) -> tuple[Any, ...]:
    row = batch.charges[charge_id]
    asked = row.request
    said = (None,) * 4 if asked is None else (asked.order_id, asked.amount_minor, asked.currency, asked.payment_method)
    version = batch.versions.get(charge_id, 0) + 1
    return (charge_id, *said, row.state.value, row.lands_at, row.calls, row.refunded_minor, version)


def _refund_values(row: RefundRow) -> tuple[Any, ...]:
    asked = row.request
    who = (asked.refund_id, asked.charge_id, asked.order_id)
    return (*who, asked.amount_minor, asked.currency, row.failures, row.refunded_at)
