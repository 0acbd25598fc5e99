"""Lists of orders: what can be asked for, and the SQL of a page. Every page is read along an index, never from the whole table."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final, get_args

from contracts.orders import EndReason
from contracts.values import is_id
from messaging.http import Problem
from services.orders.api.waiting import SINCE

COLUMNS: Final = f"""
o.order_id, o.workflow, o.workflow_version, o.status, o.reason, o.waiting_for, o.deadline, o.paused, o.customer_id, o.currency,
o.total_minor, o.items::text AS items, o.created_at, o.updated_at, {SINCE}
"""

#: As which word the statuses of orders under way stand in the index of lists (migrations/0002_listed.sql).
_MOVING: Final = frozenset({"ENRICHING", "RESERVING", "PAYING"})

STATUSES: Final = (
    "ENRICHING",
    "RESERVING",
    "AWAITING_APPROVAL",
    "PAYING",
    "COMPENSATING",
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "NEEDS_ATTENTION",
)
WAITS: Final = (
    "enrichment",
    "stock",
    "approval",
    "payment",
    "payment-outcome",
    "release",
    "refund",
    "operator",
)
REASONS: Final[tuple[str, ...]] = get_args(EndReason)

#: How a page is ordered, and what comes after an order in it; `{0}` is the table that tells when the order was made.
SORTS: Final[Mapping[str, tuple[str, str]]] = {
    "newest": ("{0}.created_at DESC, {0}.order_id DESC", "({0}.created_at, {0}.order_id) < ({1}, {2})"),
    "oldest": ("{0}.created_at, {0}.order_id", "({0}.created_at, {0}.order_id) > ({1}, {2})"),
    "id": ("o.order_id", "o.order_id > {1}"),
    "total": ("o.ranked DESC, o.order_id DESC", "(o.ranked, o.order_id) < ({1}, {2})"),
}
#: By total: the orders that are merely under way stand in no index by it (migrations/0006_ranked.sql). They are few and are sorted.
_BY_TOTAL: Final = f"""
WITH found AS (
    (SELECT * FROM orders AS o WHERE o.ranked IS NOT NULL{{only}} ORDER BY o.ranked DESC, o.order_id DESC LIMIT $1)
    UNION ALL
    (SELECT * FROM orders AS o WHERE o.listed = 'MOVING'{{moving}}
     ORDER BY coalesce(o.total_minor, -1) DESC, o.order_id DESC LIMIT $1)
)
SELECT {COLUMNS} FROM found AS o ORDER BY coalesce(o.total_minor, -1) DESC, o.order_id DESC LIMIT $1
"""
#: What an order may be listed as, while it waits for this: the orders that have ended wait for nothing, and are most.
_WAIT_LISTED: Final[Mapping[str, tuple[str, ...]]] = {
    "enrichment": ("MOVING",),
    "stock": ("MOVING", "AWAITING_APPROVAL"),
    "approval": ("AWAITING_APPROVAL",),
    "payment": ("MOVING",),
    "payment-outcome": ("MOVING", "COMPENSATING"),
    "release": ("COMPENSATING",),
    "refund": ("COMPENSATING",),
}
#: The order's row and the SKU's name the same moment. Said as a range, because the planner takes two equalities for independent,
#: expects next to nothing from the join, and reads both tables whole where the SKU is in every order.
_WITH_SKU: Final = """
orders AS o JOIN order_sku AS s
ON s.order_id = o.order_id AND s.created_at >= o.created_at AND s.created_at <= o.created_at
"""
#: What may be asked, by its name in the query.
PARAMETERS: Final = (
    "status",
    "customer",
    "waiting_for",
    "reason",
    "sku",
    "id_prefix",
    "created_before",
    "sort",
    "limit",
    "after",
)
#: The last character there is; no id holds it.
_LAST: Final = "\U0010ffff"
_TOTAL: Final = re.compile(r"-1|[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders a list is to show; None: any. `after_at` and `after_id` (sorted by total: `after_total` and
    `after_id`): where the last page ended."""

    status: str | None = None
    customer: str | None = None
    waiting_for: str | None = None
    after_at: datetime | None = None
    after_id: str | None = None
    after_total: int | None = None
    before: datetime | None = None
    reason: str | None = None
    sku: str | None = None
    id_prefix: str | None = None
    sort: str = "newest"

    def query(self, limit: int) -> tuple[str, list[Any]]:
        """The page, sorted, with its arguments. Only what is asked for stands in it, so that each has a plan of its own."""
        made = "o" if self.sku is None else "s"
        conditions: list[str] = []
        arguments: list[Any] = [limit]

        def where(condition: str, *values: Any) -> None:
            names = [f"${len(arguments) + n}" for n in range(1, len(values) + 1)]
            conditions.append(condition.format(made, *names))
            arguments.extend(values)

        for condition, values in self._filters():
            where(condition, *values)
        order, beyond = SORTS[self.sort]
        if self.sort == "total":
            if self.after_total is not None:
                where(beyond, self.after_total, self.after_id)
            only = "".join(f" AND {condition}" for condition in conditions)
            return _BY_TOTAL.format(
                only=only, moving=only.replace("o.ranked", "coalesce(o.total_minor, -1)")
            ), arguments
        if self.after_at is not None:
            where(beyond, *((self.after_id,) if self.sort == "id" else (self.after_at, self.after_id)))
        source = "orders AS o" if self.sku is None else _WITH_SKU
        only = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        return f"SELECT {COLUMNS} FROM {source} {only}ORDER BY {order.format(made)} LIMIT $1", arguments

    def sorted(self, rows: Sequence[Any]) -> list[Any]:
        """What several databases found for the page, in its order."""
        if self.sort == "id":
            return sorted(rows, key=itemgetter("order_id"))
        if self.sort == "total":
            return sorted(rows, key=lambda row: (_total(row), row["order_id"]), reverse=True)
        return sorted(rows, key=itemgetter("created_at", "order_id"), reverse=self.sort == "newest")

    def _filters(self) -> list[tuple[str, tuple[Any, ...]]]:
        found: list[tuple[str, tuple[Any, ...]]] = []
        if self.status is not None:
            found.append(("o.status = {1}", (self.status,)))
            if self.status != "COMPLETED":
                found.append(("o.listed = {1}", ("MOVING" if self.status in _MOVING else self.status,)))
        if self.customer is not None:
            found.append(("o.customer_id = {1}", (self.customer,)))
        if self.waiting_for == "operator":
            # It is paused; these have an index of their own.
            found.append(("o.waiting_for = {1} AND o.paused", (self.waiting_for,)))
        elif self.waiting_for is not None:
            listed = (*_WAIT_LISTED[self.waiting_for], "NEEDS_ATTENTION")
            found.append(("o.waiting_for = {1} AND o.listed = ANY ({2})", (self.waiting_for, listed)))
        if self.reason is not None:
            found.append(("o.reason = {1}", (self.reason,)))
        if self.sku is not None:
            found.append(("s.sku = {1}", (self.sku,)))
        if self.id_prefix is not None:
            found.append(("o.order_id >= {1} AND o.order_id < {2}", (self.id_prefix, self.id_prefix + _LAST)))
        if self.before is not None:
            found.append(("{0}.created_at < {1}", (self.before,)))
        return found


def wanted_of(asked: Mapping[str, str]) -> Wanted:
    """What a query asks for. Raises `Problem` for what it cannot ask."""
    prefix = asked.get("id_prefix")
    sort = _one_of(asked, "sort", tuple(SORTS)) or ("newest" if prefix is None else "id")
    if prefix is not None and sort != "id":
        raise Problem(400, "Bad sort", "The orders whose id begins so are listed by their ids: sort must be id.")
    if sort in {"id", "total"} and "sku" in asked:
        raise Problem(
            400,
            "Bad sort",
            "The orders with a SKU are listed by their age: without id_prefix, and sort newest or oldest.",
        )
    after = asked.get("after")
    at, total, order_id = (None, *_cursor_by_total(after)) if sort == "total" else _cursor(after)
    return Wanted(
        status=_one_of(asked, "status", STATUSES),
        customer=_id(asked, "customer"),
        waiting_for=_one_of(asked, "waiting_for", WAITS),
        after_at=at,
        after_id=order_id,
        after_total=total,
        before=_moment(asked, "created_before"),
        reason=_one_of(asked, "reason", REASONS),
        sku=_id(asked, "sku"),
        id_prefix=_prefix(prefix),
        sort=sort,
    )


def cursor_of(row: Any, sort: str) -> str:
    """Where a page that ends with this order goes on, when it is sorted so."""
    if sort == "total":
        return _coded(f"{_total(row)} {row['order_id']}")
    return _coded(f"{row['created_at'].isoformat()} {row['order_id']}")


def _total(row: Any) -> int:
    """What is not known comes last."""
    return -1 if row["total_minor"] is None else int(row["total_minor"])


def _coded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


def _id(asked: Mapping[str, str], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not is_id(value):
        raise Problem(400, f"Bad {name}", f"{name} must be 1 to 64 printable characters.")
    return value


def _prefix(value: str | None) -> str | None:
    # The beginning of an id may end with a space, which a whole one may not.
    if value is not None and not is_id(value.rstrip(" ")):
        raise Problem(400, "Bad id_prefix", "id_prefix must be 1 to 64 printable characters.")
    return value


def _one_of(asked: Mapping[str, str], name: str, known: tuple[str, ...]) -> str | None:
    value = asked.get(name)
    if value is not None and value not in known:
        raise Problem(400, f"Unknown {name}", f"{name} must be one of {', '.join(known)}.")
    return value


def _moment(asked: Mapping[str, str], name: str) -> datetime | None:
    value = asked.get(name)
    if value is None:
        return None
    moment = _instant(value)
    if moment is None:
        raise Problem(400, f"Bad {name}", f"{name} must be a time with its zone, as 2026-01-31T12:00:00Z.")
    return moment


def _instant(text: str) -> datetime | None:
    """The moment in UTC; None for what is no time with its zone, or one that UTC has no year for."""
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _cursor(after: str | None) -> tuple[datetime | None, None, str | None]:
    if after is None:
        return None, None, None
    try:
        at, order_id = urlsafe_b64decode(after.encode()).decode().split(" ", 1)
    except ValueError:
        at, order_id = "", ""
    moment = _instant(at)
    if moment is None or not is_id(order_id):
        raise _bad_cursor()
    return moment, None, order_id


def _cursor_by_total(after: str | None) -> tuple[int | None, str | None]:
    if after is None:
        return None, None
    try:
        total, order_id = urlsafe_b64decode(after.encode()).decode().split(" ", 1)
        found = int(total) if _TOTAL.fullmatch(total) else None
    except ValueError:
        found, order_id = None, ""
    if found is None or not is_id(order_id):
        raise _bad_cursor()
    return found, order_id


def _bad_cursor() -> Problem:
    return Problem(400, "Bad cursor", "after must be the `next` of an earlier answer, sorted alike.")
