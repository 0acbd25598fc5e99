"""The dashboard: how the whole stands, from the watcher's looks and the query APIs; what does not answer is said, not guessed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from contracts import metrics
from orderctl.errors import OrderctlError
from orderctl.letters.book import State
from services.console.access import Who
from services.console.charts import Series, bar, line_chart
from services.console.domain import in_words
from services.console.pages import page
from services.console.watch import Look, Proof, ended_per_minute, invariants, over_time, quantile
from services.console.wiring import Console, console_of

router = APIRouter()

UNDER_WAY: Final = ("ENRICHING", "RESERVING", "AWAITING_APPROVAL", "PAYING", "COMPENSATING", "NEEDS_ATTENTION")
OUTCOMES: Final = ("COMPLETED", "CANCELLED", "FAILED")
#: The oldest order of each of these is looked at.
OLDEST_OF: Final = ("NEEDS_ATTENTION", "COMPENSATING", "AWAITING_APPROVAL", "PAYING", "RESERVING", "ENRICHING")
#: Stock is read up to so many SKUs; the page says so when there are more.
SKUS: Final = 500
SHOWN: Final = 8
LETTERS_WITHIN_S: Final = 3.0


@router.get("/dashboard")
async def dashboard(request: Request, person: Who) -> Response:
    """Charts of the last hour, stock under pressure, the oldest orders under way, and the proof panel."""
    console = console_of(request)
    watch, now = console.watch, console.now()
    oldest, stock, letters = await asyncio.gather(_oldest(console), _stock(console), _letters(console))
    look = watch.last(now)
    return page(
        request,
        person,
        "dashboard.html",
        watcher=watch.url,
        trouble=watch.trouble or ("" if look else "its last look is too long ago"),
        look=look,
        proof=_proof(watch.proof, look, now),
        oldest=oldest,
        stock=stock,
        letters=letters,
        charts=None if look is None else _charts(list(watch.looks)),
        facts=None if look is None else _facts(look),
    )


def _charts(looks: Sequence[Look]) -> dict[str, Any]:
    status = [Series(s.replace("_", " ").lower(), over_time(looks, metrics.ORDERS_BY_STATUS, s)) for s in UNDER_WAY]
    groups = sorted({labels[0] for look in looks for labels in look.family(metrics.CONSUMER_LAG)})
    lag = [
        Series(group, [(look.at, _sum(look, group) if look.family(metrics.CONSUMER_LAG) else None) for look in looks])
        for group in groups
    ]
    return {
        "status": line_chart("Orders under way, by status", status),
        "ended": line_chart("Orders ended per minute", [Series("ended per minute", ended_per_minute(looks))]),
        "lag": line_chart("Records behind, by group", lag),
    }


def _sum(look: Look, group: str) -> float:
    return sum(value for labels, value in look.family(metrics.CONSUMER_LAG).items() if labels[0] == group)


def _facts(look: Look) -> dict[str, Any]:
    by_status = {labels[0]: count for labels, count in look.family(metrics.ORDERS_BY_STATUS).items()}
    outcomes = [(status, by_status.get(status, 0.0)) for status in OUTCOMES]
    most = max((count for _, count in outcomes), default=0.0)
    captured, refunded = look.family(metrics.CAPTURED), look.family(metrics.REFUNDED)
    return {
        "outcomes": [(status, int(count), bar(count, most)) for status, count in outcomes],
        "money": [
            (currency, int(value), int(refunded.get((currency,), 0)))
            for (currency,), value in sorted(captured.items())
            if value or refunded.get((currency,))
        ],
        "units": {labels[0]: int(value) for labels, value in look.family(metrics.STOCK_UNITS).items()},
        "exhausted": look.one(metrics.SKUS_EXHAUSTED),
        "p50_s": quantile(look, 0.5),
        "p95_s": quantile(look, 0.95),
        "silent": sorted(labels[0] for labels, up in look.family(metrics.WATCH_UP).items() if not up),
        "parked": int(sum(look.family(metrics.PARKED_RECORDS).values())),
    }


def _proof(proof: Proof | None, look: Look | None, now: datetime) -> dict[str, Any]:
    """The panel: `state` is balanced, broken or unknown; it says balanced only of what was seen just now."""
    rows = [] if look is None else invariants(look)
    off = [value for _, value in rows]
    if look is None or proof is None or None in off:
        state = "unknown"
    else:
        state = "broken" if any(off) or proof.since is None else "balanced"
    return {"state": state, "rows": rows, "proof": proof, "now": now}


async def _oldest(console: Console) -> dict[str, Any]:
    """The oldest order of each status under way, oldest first."""

    async def one(status: str) -> list[Mapping[str, Any]]:
        query = {"status": status, "sort": "oldest", "limit": "3"}
        return list((await console.apis.orders.get("/orders", query))["items"])

    try:
        found = [order for orders in await asyncio.gather(*map(one, OLDEST_OF)) for order in orders]
    except OrderctlError as error:
        return {"rows": [], "trouble": str(error)}
    found.sort(key=lambda order: str(order["created_at"]))
    return {"rows": [{**order, "words": in_words(order)} for order in found[:SHOWN]], "trouble": ""}


async def _stock(console: Console) -> dict[str, Any]:
    """The SKUs of which the least is left, for what is held of them."""
    try:
        found = await console.apis.inventory.get("/skus", {"limit": str(SKUS)})
    except OrderctlError as error:
        return {"rows": [], "trouble": str(error), "more": False}
    rows = sorted(found["items"], key=lambda sku: (pressure(sku), str(sku["sku"])))
    pressed = [sku for sku in rows if pressure(sku) < 1][:SHOWN]
    most = max((sku["held"] + sku["on_hand"] for sku in pressed), default=0)
    told = [{**sku, "bar": bar(sku["on_hand"], most)} for sku in pressed]
    return {"rows": told, "trouble": "", "more": found["next"] is not None}


def pressure(sku: Mapping[str, Any]) -> float:
    """What is left for each piece that is held; below 1 the next may get none. Nothing held is no pressure."""
    if sku["on_hand"] <= 0:
        return 0.0
    return sku["on_hand"] / sku["held"] if sku["held"] else float("inf")


async def _letters(console: Console) -> dict[str, Any]:
    """Open dead letters by reason. They are read from Kafka: a slow broker does not hold up the page."""
    try:
        async with asyncio.timeout(LETTERS_WITHIN_S):
            found = await console.letters.all()
    except (OrderctlError, TimeoutError) as error:
        return {"rows": [], "trouble": str(error) or "Kafka does not answer in time."}
    counts = Counter(one.reason for one in found if one.state in (State.OPEN, State.ASKED))
    most = max(counts.values(), default=0)
    return {"rows": [(r, count, bar(count, most)) for r, count in counts.most_common()], "trouble": ""}
