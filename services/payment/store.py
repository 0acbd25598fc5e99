"""Charges and refunds in PostgreSQL: one query and one write per table and batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from messaging.postgres import PostgresTransaction
from services.payment.state import Charge, End, Line, Refund, Status

CHARGES: Final = """
SELECT order_id, charge_id, status, amount_minor, currency, payment_method, attempt, attempt_end, message, failure,
       void_attempt, void_end, void_message, void_failure, captured_minor, refunded_minor, version
FROM charge WHERE order_id = ANY ($1::text[])
"""

REFUNDS: Final = """
SELECT order_id, charge_id, refund_id, amount_minor, currency, own, attempt, attempt_end, message, failure
FROM refund WHERE order_id = ANY ($1::text[]) ORDER BY created_at, refund_id
"""

# A row that is not as it was read is not written, and is missed in the count.
WRITE_CHARGES: Final = """
INSERT INTO charge AS c (order_id, charge_id, status, amount_minor, currency, payment_method, attempt, attempt_end, message,
                         failure, void_attempt, void_end, void_message, void_failure, captured_minor, refunded_minor, version)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::integer[], $8::text[],
                     $9::text[], $10::text[], $11::integer[], $12::text[], $13::text[], $14::text[], $15::bigint[],
                     $16::bigint[], $17::bigint[])
ON CONFLICT (order_id, charge_id) DO UPDATE
SET status = excluded.status, amount_minor = excluded.amount_minor, currency = excluded.currency,
    payment_method = excluded.payment_method, attempt = excluded.attempt, attempt_end = excluded.attempt_end,
    message = excluded.message, failure = excluded.failure, void_attempt = excluded.void_attempt, void_end = excluded.void_end,
    void_message = excluded.void_message, void_failure = excluded.void_failure, captured_minor = excluded.captured_minor,
    refunded_minor = excluded.refunded_minor, version = excluded.version, updated_at = now()
WHERE c.version = excluded.version - 1
RETURNING 1
"""

# Guarded by the version of the charge, which is always written with them.
WRITE_REFUNDS: Final = """
INSERT INTO refund (order_id, charge_id, refund_id, amount_minor, currency, own, attempt, attempt_end, message, failure)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::boolean[], $7::integer[], $8::text[],
                     $9::text[], $10::text[])
ON CONFLICT (order_id, charge_id, refund_id) DO UPDATE
SET attempt = excluded.attempt, attempt_end = excluded.attempt_end, message = excluded.message, failure = excluded.failure,
    updated_at = now()
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A charge to be written, its version already raised, and those of its refunds that changed."""

    charge: Charge
    refunds: tuple[Refund, ...]


class ChargeStore(Protocol):
    """Where charges are kept."""

    async def load(self, transaction: Any, order_ids: Sequence[str]) -> list[Charge]:
        """All charges of these orders, with their refunds."""

    def stage(self, transaction: Any, changes: Sequence[Change]) -> None:
        """Write them with the commit. A row of another version than the one before is a `StaleRowError`."""


class PostgresCharges:
    """Implements `ChargeStore` on the tables of `migrations/`."""

    async def load(self, transaction: PostgresTransaction, order_ids: Sequence[str]) -> list[Charge]:
        """See `ChargeStore.load`. Refunds are looked for only where something was captured."""
        rows = await transaction.fetch(CHARGES, list(order_ids))
        captured = list({row["order_id"] for row in rows if row["captured_minor"] > 0})
        refunds: dict[tuple[str, str], list[Refund]] = {}
        for row in await transaction.fetch(REFUNDS, captured) if captured else ():
            refunds.setdefault((row["order_id"], row["charge_id"]), []).append(_refund(row))
        return [_charge(row, tuple(refunds.get((row["order_id"], row["charge_id"]), ()))) for row in rows]

    def stage(self, transaction: PostgresTransaction, changes: Sequence[Change]) -> None:
        """See `ChargeStore.stage`."""
        if not changes:
            return
        columns = _columns([_charge_values(change.charge) for change in changes])
        transaction.stage("charges_written", WRITE_CHARGES, *columns, rows=len(changes))
        refunds = [_refund_values(change.charge, refund) for change in changes for refund in change.refunds]
        if refunds:
            transaction.stage("refunds_written", WRITE_REFUNDS, *_columns(refunds))


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _charge(row: Any, refunds: tuple[Refund, ...]) -> Charge:
    return Charge(
        order_id=row["order_id"],
        charge_id=row["charge_id"],
        status=Status(row["status"]),
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        payment_method=row["payment_method"],
        call=Line(row["attempt"], _end(row["attempt_end"]), row["message"], row["failure"]),
        void=Line(row["void_attempt"], _end(row["void_end"]), row["void_message"], row["void_failure"]),
        captured_minor=row["captured_minor"],
        refunded_minor=row["refunded_minor"],
        refunds=refunds,
        version=row["version"],
    )


def _refund(row: Any) -> Refund:
    line = Line(row["attempt"], _end(row["attempt_end"]), row["message"], row["failure"])
    return Refund(row["refund_id"], row["amount_minor"], row["currency"], line, row["own"])


def _end(value: str | None) -> End | None:
    return None if value is None else End(value)


def _charge_values(charge: Charge) -> tuple[Any, ...]:
    content = (charge.amount_minor, charge.currency, charge.payment_method)
    money = (charge.captured_minor, charge.refunded_minor)
    status = charge.status.value
    lines = (*_line_values(charge.call), *_line_values(charge.void))
    return (charge.order_id, charge.charge_id, status, *content, *lines, *money, charge.version)


def _refund_values(charge: Charge, refund: Refund) -> tuple[Any, ...]:
    what = (refund.refund_id, refund.amount_minor, refund.currency, refund.own)
    return (charge.order_id, charge.charge_id, *what, *_line_values(refund.line))


def _line_values(line: Line) -> tuple[int, str | None, str, str | None]:
    return line.attempt, None if line.end is None else line.end.value, line.message, line.failure
