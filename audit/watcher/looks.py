"""One look at each source, as samples. They only read, and each statement has a deadline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

from audit.watcher import sql
from audit.watcher.book import Sample
from contracts import metrics

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
#: The next offset to be written, by topic and partition.
Ends = Mapping[tuple[str, int], int]


async def runtime(db: Connection, service: str, ends: Ends | None) -> list[Sample]:
    """What waits in a service. `ends` None: the broker did not answer."""
    outbox, waiting = await db.fetchrow(sql.OUTBOX), await db.fetchrow(sql.WAITING)
    assert outbox is not None
    assert waiting is not None
    found = [
        Sample(metrics.OUTBOX_PENDING, outbox["pending"], (service,)),
        Sample(metrics.OUTBOX_OLDEST, outbox["oldest_s"], (service,)),
        Sample(metrics.PARKED_RECORDS, waiting["parked"], (service,)),
        Sample(metrics.TIMERS, waiting["timers"], (service,)),
        Sample(metrics.TIMERS_DUE, waiting["due"], (service,)),
        Sample(metrics.TIMERS_OVERDUE, waiting["overdue"], (service,)),
        Sample(metrics.EFFECTS, waiting["effects"], (service,)),
    ]
    return found if ends is None else [*found, *lags(service, await db.fetch(sql.OFFSETS), ends)]


def lags(service: str, rows: Collection[Any], ends: Ends) -> Iterator[Sample]:
    """How far a service is behind, and for how long a partition that is has not moved."""
    behind: dict[str, int] = {}
    still_s = 0.0
    for row in rows:
        lag = max(0, ends.get((row["topic"], row["partition"]), 0) - row["next_offset"])
        behind[row["topic"]] = behind.get(row["topic"], 0) + lag
        if lag:
            still_s = max(still_s, row["still_s"])
    yield from (Sample(metrics.CONSUMER_LAG, lag, (service, topic)) for topic, lag in behind.items())
    yield Sample(metrics.CONSUMER_STILL, still_s, (service,))


@dataclass(slots=True)
class Standing:
    """Since when a group stands still that keeps its offsets on the broker, which does not say when they were committed: it is
    seen from one look to the next, so a watcher that has just begun counts from 0."""

    _since: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)

    def look(self, service: str, committed: Ends, ends: Ends, now_s: float) -> list[Sample]:
        """How far the group is behind on the topics of which it has committed anything; nothing of a group that never did."""
        rows = []
        topics = {topic for topic, _ in committed}
        for place in (place for place in ends if place[0] in topics):
            stands = committed.get(place, 0)
            before, since_s = self._since.get(place, (None, now_s))
            if stands != before or stands >= ends[place]:
                since_s = now_s
            self._since[place] = stands, since_s
            rows.append({"topic": place[0], "next_offset": stands, "partition": place[1], "still_s": now_s - since_s})
        return list(lags(service, rows, ends)) if rows else []


async def orders(db: Connection) -> list[Sample]:
    """Where the orders are, and what was said to whom."""
    open_ = await db.fetch(sql.OPEN)
    return [
        *(Sample(metrics.ORDERS_BY_STATUS, row["count"], (row["status"],)) for row in await db.fetch(sql.BY_STATUS)),
        *(Sample(metrics.ORDERS_WAITING, row["orders"], (row["waiting_for"],)) for row in open_),
        Sample(metrics.ORDERS_OLDEST, max((row["oldest_s"] for row in open_), default=0.0)),
        Sample(metrics.ORDERS_ATTENTION_OLDEST, max((row["attention_s"] for row in open_), default=0.0)),
        Sample(metrics.ORDERS_ATTENTION, sum(row["attention"] for row in open_)),
        Sample(metrics.ORDERS_OVERDUE, sum(row["overdue"] for row in open_)),
        Sample(metrics.ORDERS_PAUSED, sum(row["paused"] for row in open_)),
        *(
            Sample(metrics.COMMANDS, row["count"], (row["verdict"], row["reason"]))
            for row in await db.fetch(sql.VERDICTS)
        ),
    ]


async def payment(db: Connection) -> list[Sample]:
    """Money and charges."""
    money = await db.fetch(sql.MONEY)
    return [
        *(Sample(metrics.CAPTURED, row["captured"], (row["currency"],)) for row in money),
        *(Sample(metrics.REFUNDED, row["refunded"], (row["currency"],)) for row in money),
        *(Sample(metrics.CHARGES, row["count"], (row["status"],)) for row in await db.fetch(sql.CHARGES)),
        Sample(metrics.REFUNDS_PENDING, await db.fetchval(sql.REFUNDS_PENDING)),
    ]


async def inventory(db: Connection) -> list[Sample]:
    """Stock, reservations, and that they agree."""
    stock, reservations = await db.fetchrow(sql.STOCK), await db.fetch(sql.RESERVATIONS)
    assert stock is not None
    places = ("on_hand", "held", "shipped", "received", "adjusted")
    return [
        *(Sample(metrics.STOCK_UNITS, stock[place], (place,)) for place in places),
        Sample(metrics.SKUS, stock["skus"]),
        Sample(metrics.SKUS_EXHAUSTED, stock["exhausted"]),
        Sample(metrics.HELD_IMBALANCE, await db.fetchval(sql.HELD)),
        *(Sample(metrics.RESERVATIONS, row["count"], (row["state"],)) for row in reservations),
        Sample(metrics.RESERVATIONS_OVER, sum(row["expired"] for row in reservations)),
    ]


async def notification(db: Connection) -> list[Sample]:
    """Mails that nobody will get."""
    return [Sample(metrics.MAILS_UNDELIVERABLE, await db.fetchval(sql.UNDELIVERABLE))]


async def stock(db: Connection) -> list[Sample]:
    """That what came in, was corrected and was shipped adds up."""
    return [Sample(metrics.STOCK_IMBALANCE, await db.fetchval(sql.STOCK_SUMS))]


class Money:
    """Captured - refunded - owed, over the orders at rest. The list of orders that a person has settled costs a look through the
    whole history: it is taken anew only before something else than 0 would be told."""

    def __init__(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self._by_hand: list[str] = []

    async def look(
        self, orders: Sequence[Connection], payment: Sequence[Connection], gateway: Connection
    ) -> list[Sample]:
        """The imbalance of payment's book and of the gateway's, by currency."""
        found = await self._look(orders, payment, gateway)
        if any(sample.value for sample in found):
            self._by_hand = [row["order_id"] for db in orders for row in await db.fetch(sql.SETTLED_BY_HAND)]
            found = await self._look(orders, payment, gateway)
        return found

    async def _look(
        self, orders: Sequence[Connection], payment: Sequence[Connection], gateway: Connection
    ) -> list[Sample]:
        owed, taken, moved = Counter[str](), Counter[str](), Counter[str]()
        moments: list[datetime] = []
        apart = [*self._by_hand]
        for db in orders:
            async with db.transaction(isolation="repeatable_read", readonly=True):
                # now() is when the transaction began, and the first query takes its snapshot: nothing ended in between is missed by
                # both, because what changed within the rest's time is left out.
                moments.append(await db.fetchval("SELECT now()"))
                apart += [row["order_id"] for row in await db.fetch(sql.RESTLESS, self._rest_s)]
                owed.update({row["currency"]: row["owed"] for row in await db.fetch(sql.OWED, apart)})
        # Of several databases the first look's moment: what came after it belongs to orders that were not seen, or were at rest.
        at = min(moments)
        for db in payment:
            taken.update({row["currency"]: row["taken"] for row in await db.fetch(sql.TAKEN, apart, at)})
        moved.update({row["currency"]: row["taken"] for row in await gateway.fetch(sql.MOVED, apart, at)})
        currencies = sorted({*owed, *taken, *moved})
        books = (("payment", taken), ("gateway", moved))
        return [
            Sample(metrics.MONEY_IMBALANCE, book[currency] - owed[currency], (account, currency))
            for account, book in books
            for currency in currencies
        ]
