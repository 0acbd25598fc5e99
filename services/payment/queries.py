"""What can be asked about payments over HTTP: the charges as this service knows them, and the simulated gateway's own ledger."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final, Protocol

from aiohttp import web

from messaging.http import Problem, json_response, limit_of, refuse_unknown
from messaging.spread import Databases
from services.payment.gateway.ledger import Entry
from services.payment.gateway.port import GatewayError

#: An order has few charges; they are found by the order, not by the whole table's sequence.
CHARGES_OF_ORDER: Final = """
SELECT number, charge_id, order_id, amount_minor, currency, status, captured_minor, refunded_minor
FROM charge WHERE order_id = $1 AND ($2::bigint IS NULL OR number < $2) ORDER BY number DESC LIMIT $3
"""

CHARGES_NEWEST: Final = """
SELECT number, charge_id, order_id, amount_minor, currency, status, captured_minor, refunded_minor
FROM charge WHERE $1::bigint IS NULL OR number < $1 ORDER BY number DESC LIMIT $2
"""

KNOWN: Final = ("order_id", "limit", "after")
FIELDS: Final = ("charge_id", "order_id", "amount_minor", "currency", "status", "captured_minor", "refunded_minor")


class Ledger(Protocol):
    """The simulated gateway's view of the money that moved."""

    async def entries(self, order_id: str | None = None) -> list[Entry]:
        """Of one order or of all, oldest first."""


class PaymentQueries:
    """Answers from the databases, whatever becomes of the messages."""

    def __init__(self, databases: Databases, ledger: Ledger) -> None:
        self._databases = databases
        self._ledger = ledger

    def routes(self) -> list[web.RouteDef]:
        """What this service answers."""
        return [web.get("/charges", self.charges), web.get("/gateway/entries", self.entries)]

    async def charges(self, request: web.Request) -> web.Response:
        """`GET /charges?order_id=&limit=&after=`, newest first. A charge that was voided before it was asked for has no amount."""
        order_id, limit, after = _paging(request)
        if order_id is None:
            rows = await self._newest(after, limit + 1)
        else:
            found = await self._databases.fetch_of(order_id, CHARGES_OF_ORDER, order_id, after, limit + 1)
            rows = [(row["number"], row) for row in found]
        page = rows[:limit]
        items = [{field: row[field] for field in FIELDS} for _, row in page]
        return json_response(_listed(items, str(page[-1][0]) if len(rows) > limit else None))

    async def _newest(self, after: int | None, limit: int) -> list[tuple[int, Any]]:
        """Charges with their numbers. Several databases count each for itself: of the *i*th of *n*, a 7 is 7 n + i here."""
        count = self._databases.count

        def arguments(place: int) -> tuple[int | None, int]:
            return None if after is None else (after - place + count - 1) // count, limit

        each = await self._databases.fetch_each(CHARGES_NEWEST, arguments)
        found = [(row["number"] * count + place, row) for place, rows in enumerate(each) for row in rows]
        return sorted(found, key=itemgetter(0), reverse=True)

    async def entries(self, request: web.Request) -> web.Response:
        """`GET /gateway/entries?order_id=&limit=&after=`, newest first: money that moved, as the gateway has it."""
        order_id, limit, after = _paging(request)
        try:
            found = await self._ledger.entries(order_id)
        except GatewayError as error:
            raise Problem(503, "Gateway away", "The gateway's ledger does not answer; try again.") from error
        # The cursor is a place counted from the oldest entry: new entries do not move it.
        end = len(found) if after is None else min(after, len(found))
        start = max(end - limit, 0)
        items = [entry.as_json() for entry in reversed(found[start:end])]
        return json_response(_listed(items, str(start) if start > 0 else None))


def _listed(items: Sequence[dict[str, Any]], following: str | None) -> dict[str, Any]:
    return {"items": items, "next": following}


def _paging(request: web.Request) -> tuple[str | None, int, int | None]:
    refuse_unknown(request, KNOWN)
    order_id = request.query.get("order_id")
    if order_id is not None and "\x00" in order_id:
        raise Problem(400, "Bad order_id", "An order id has no NUL character.")
    after = request.query.get("after")
    if after is not None and not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise Problem(400, "Bad cursor", "after must be the next of an earlier answer.")
    return order_id, limit_of(request), None if after is None else int(after)
