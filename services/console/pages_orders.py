"""The list of orders: filters, paging, export, and what changes while one looks."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from contracts.metrics import ORDERS_BY_STATUS
from orderctl.bulk.selection import Selection
from orderctl.errors import OrderctlError, UsageError
from orderctl.events import Event, short_name
from services.console.access import COOKIE, Who
from services.console.domain import REASONS, age_limit, in_words, masked
from services.console.pages import link, page, tell
from services.console.store import AWAY, Person
from services.console.wiring import Console, console_of

router = APIRouter()

PAGE: Final = 50
#: An export is a page after another, each of so many orders, to the end.
EXPORT_PAGE: Final = 500
STATUSES: Final = (
    "ENRICHING",
    "RESERVING",
    "AWAITING_APPROVAL",
    "PAYING",
    "COMPENSATING",
    "NEEDS_ATTENTION",
    "COMPLETED",
    "CANCELLED",
    "FAILED",
)
CHIPS: Final = ("NEEDS_ATTENTION", "AWAITING_APPROVAL", "PAYING", "COMPENSATING", "COMPLETED", "CANCELLED", "FAILED")
WAITS: Final = ("enrichment", "stock", "approval", "payment", "payment-outcome", "release", "refund", "operator")
#: How the list can be sorted, in words. With the beginning of an id it is sorted by id, always.
SORTS: Final = {"newest": "newest first", "oldest": "oldest first", "id": "by order id", "total": "largest total first"}
#: The orders with a SKU are listed by their age alone.
NOT_WITH_SKU: Final = frozenset({"id", "total"})
#: The filters that an order may cease to fit.
_CHANGING: Final = ("status", "waiting_for", "reason")
#: The filters that the query API takes as they are.
_AS_THEY_ARE: Final = ("status", "customer", "waiting_for", "reason", "sku", "sort", "after")
#: Everything that says which orders.
FILTERS: Final[tuple[str, ...]] = ("q", "status", "waiting_for", "reason", "sku", "customer", "older")
#: And how they are listed.
LIST: Final = frozenset({*FILTERS, "sort", "after"})
_COLUMNS: Final = (
    "order_id",
    "status",
    "waiting_for",
    "reason",
    "customer_id",
    "total_minor",
    "currency",
    "workflow",
    "workflow_version",
    "created_at",
    "updated_at",
    "waiting_since",
)
#: A browser that hears nothing for so long is told that the stream is alive.
BEAT_S: Final = 15.0
#: Changes are told together, at most so often.
TOGETHER_S: Final = 0.3


def query_of(asked: Mapping[str, str], now: datetime, limit: int = PAGE) -> dict[str, str]:
    """The page's filters as the query API knows them. Raises `ValueError` for an age that is none."""
    query = {"limit": str(limit)}
    query |= {name: asked[name].strip() for name in _AS_THEY_ARE if asked.get(name, "").strip()}
    if begins := asked.get("q", "").strip():
        query |= {"id_prefix": begins, "sort": "id"}
    older_s = age_limit(asked.get("older"))
    if older_s is not None:
        query["created_before"] = (now - timedelta(seconds=older_s)).isoformat()
    return query


def selection_of(asked: Mapping[str, str]) -> Selection:
    """The same filters, for an action on all that they find. Raises `ValueError`."""
    said = {name: asked.get(name, "").strip() or None for name in FILTERS}
    older_s = age_limit(said["older"])
    return Selection(
        status=said["status"],
        waiting_for=said["waiting_for"],
        customer=said["customer"],
        older_than=None if older_s is None else timedelta(seconds=older_s),
        reason=said["reason"],
        sku=said["sku"],
        id_prefix=said["q"],
    )


@router.get("/")
async def home() -> Response:
    """The list is the front page."""
    return RedirectResponse("/orders", 303)


@router.get("/orders")
async def orders(request: Request, person: Who) -> Response:
    """A page of orders. A search that finds one order goes to it."""
    console, asked = console_of(request), dict(request.query_params)
    trouble, items, following, status = "", [], None, 200
    try:
        found = await console.apis.orders.get("/orders", query_of(asked, console.now()))
        items, following = found["items"], found["next"]
    except (OrderctlError, ValueError) as failure:
        trouble, status = str(failure), 400 if isinstance(failure, UsageError | ValueError) else 502
    if asked.get("q", "").strip() and len(items) == 1 and "after" not in asked:
        return RedirectResponse(link("orders", items[0]["order_id"]), 303)
    kept = {name: value for name, value in asked.items() if value and name != "after"}
    return page(
        request,
        person,
        "orders.html",
        rows=[_row(order, asked, person) for order in items],
        back=list_query(request.url.query),
        error=trouble,
        asked=asked,
        statuses=STATUSES,
        waits=WAITS,
        reasons=REASONS,
        sorts={sort: words for sort, words in SORTS.items() if not (asked.get("sku") and sort in NOT_WITH_SKU)},
        chips=_chips(console, asked, kept),
        sorted_by="id" if asked.get("q") else asked.get("sort") or "newest",
        sort_links={sort: f"/orders?{urlencode({**kept, 'sort': sort})}" for sort in SORTS},
        first=f"/orders?{urlencode(kept)}" if asked.get("after") else None,
        following=None if following is None else f"/orders?{urlencode({**kept, 'after': following})}",
        export=f"/orders.csv?{urlencode(kept)}",
        bulk=list_of(request.url.query, "/bulk"),
        status=status,
        away=status == 502,
    )


def _row(order: Mapping[str, Any], asked: Mapping[str, str], person: Person) -> dict[str, Any]:
    """An order as the list shows it. `gone`: it does not fit the filters any more."""
    gone = any(asked.get(name, "").strip() not in {"", order[name]} for name in _CHANGING)
    return {**order, "words": in_words(order), "who": masked(order["customer_id"], person.role), "gone": gone}


@router.get("/rows")
async def rows(request: Request, person: Who) -> Response:
    """The lines of these orders (`id`, a page of them at most), as the list with these filters shows them: for who looks at a line
    that is not on its page any more."""
    asked = dict(request.query_params)
    orders_api = console_of(request).apis
    found = await asyncio.gather(*map(orders_api.order, dict.fromkeys(request.query_params.getlist("id")[:PAGE])))
    return page(request, person, "rows.html", rows=[_row(order, asked, person) for order in found], back="")


def list_of(back: str, path: str = "/orders") -> str:
    """The address of the list that somebody came from. `back`: its filters as a query; what is none of them is left out."""
    kept = list_query(back)
    return f"{path}?{kept}" if kept else path


def list_query(back: str) -> str:
    """Of a query what says which orders, in which order, and which page of them."""
    return urlencode([(name, value) for name, value in parse_qsl(back) if name in LIST])


def _chips(console: Console, asked: Mapping[str, str], kept: Mapping[str, str]) -> list[dict[str, Any]]:
    """A link for each status that is looked for often, with how many orders have it, where the watcher looked just now."""
    look = console.watch.last(console.now())
    counts = {} if look is None else {names[0]: int(n) for names, n in look.family(ORDERS_BY_STATUS).items()}
    others = {name: value for name, value in kept.items() if name != "status"}
    chips: list[dict[str, Any]] = [
        {"label": "All", "link": f"/orders?{urlencode(others)}", "count": None, "here": not asked.get("status")}
    ]
    for status in CHIPS:
        # A count is of all orders of the status: beside other filters it would be taken for theirs.
        count = None if look is None or others.keys() - {"sort"} else counts.get(status, 0)
        link_ = f"/orders?{urlencode({**others, 'status': status})}"
        label = status.replace("_", " ").capitalize()
        chips.append({"label": label, "link": link_, "count": count, "here": asked.get("status") == status})
    return chips


@router.get("/orders.csv")
async def export(request: Request, person: Who) -> Response:
    """The filtered orders as CSV, page after page while it is sent, to the last. Where a page cannot be had, it breaks off."""
    console, asked = console_of(request), dict(request.query_params)
    try:
        query = query_of(asked, console.now(), EXPORT_PAGE)
        # Before anything is sent: a file that begins cannot say any more that the API is away.
        first = await console.apis.orders.get("/orders", query)
    except (UsageError, ValueError) as error:
        return tell(request, person, 400, "That is no filter", str(error))
    headers = {"Content-Disposition": 'attachment; filename="orders.csv"'}
    return StreamingResponse(
        _csv(console, query, first, person.role == "viewer"), headers=headers, media_type="text/csv"
    )


async def _csv(console: Console, query: dict[str, str], found: dict[str, Any], masking: bool) -> AsyncIterator[str]:
    yield _line(_COLUMNS)
    while True:
        for order in found["items"]:
            if masking:
                order["customer_id"] = masked(order["customer_id"], "viewer")
            yield _line([order[name] for name in _COLUMNS])
        if found["next"] is None:
            return
        query["after"] = found["next"]
        found = await console.apis.orders.get("/orders", query)


def _line(values: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(map(spreadsheet_safe, values))
    return buffer.getvalue()


def spreadsheet_safe(value: Any) -> Any:
    """A value that a spreadsheet would take for a formula is made text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t" else value


@router.get("/live")
async def live(request: Request, person: Who, order: str | None = None, since: str | None = None) -> Response:
    """Server-sent events: which orders changed, and by what. `order`: of one only; `since`: the mark up to which the page knows."""
    # A browser that connects anew says what it heard last.
    heard = request.headers.get("last-event-id") or since
    return StreamingResponse(_stream(request, order, heard), media_type="text/event-stream")


async def _stream(request: Request, order_id: str | None, since: str | None) -> AsyncIterator[str]:
    console = console_of(request)
    hub = console.hub
    async with hub.viewer(order_id, since) as viewer:
        yield _sent("state", {"connected": hub.connected})
        looked = time.monotonic()
        while not console.stopping.is_set():
            events, missed = await viewer.changes(BEAT_S)
            if time.monotonic() - looked >= BEAT_S:
                looked = time.monotonic()
                if not await _still_in(request):
                    return
            mark = hub.mark
            for event in events:
                yield _sent("order", _told(event))
            if missed:
                yield _sent("missed", {})
            # With the last word of what came together, so that who is cut off in the middle hears all of it again.
            yield _sent("state", {"connected": hub.connected}, mark)
            await asyncio.sleep(TOGETHER_S)


async def _still_in(request: Request) -> bool:
    """Whether the session lasts; also where the accounts cannot be asked just now."""
    console = console_of(request)
    try:
        return await console.store.person(request.cookies.get(COOKIE, ""), console.now()) is not None
    except AWAY:
        return True


def _told(event: Event) -> dict[str, Any]:
    return {"id": event.key, "type": short_name(event.type), "at": event.at}


def _sent(kind: str, data: dict[str, Any], mark: str | None = None) -> str:
    told = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
    return told if mark is None else f"id: {mark}\n{told}"
