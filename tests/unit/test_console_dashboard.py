"""The dashboard of a shop whose figures are known: each stands on the page in words; lines are told apart without colours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from console_pages import html_of, words_of
from test_console_watch import BALANCED, NOW, look

from contracts import metrics
from contracts.topics import SUBSCRIPTIONS
from orderctl.letters.book import State
from services.console.app import HERE
from services.console.charts import STYLES
from services.console.pages import moment
from services.console.pages_dashboard import UNDER_WAY, _charts, _facts, _letters, _oldest, _proof
from services.console.pages_orders import STATUSES
from services.console.watch import Look, Proof, proven
from services.console.wiring import Console

KNOWN = look(
    0,
    *BALANCED,
    *((metrics.ORDERS_BY_STATUS, n, (status,)) for n, status in enumerate(STATUSES, 11)),
    (metrics.CAPTURED, 12_345.0, ("GBP",)),
    (metrics.REFUNDED, 345.0, ("GBP",)),
    (metrics.CONSUMER_LAG, 7.0, ("orders", "orders.commands.v1")),
    (metrics.CONSUMER_LAG, 5.0, ("orders", "payment.events.v1")),
    (metrics.PARKED_RECORDS, 3.0, ("orders",)),
)
NOTHING: Mapping[str, Any] = {"rows": [], "trouble": "", "more": False}


def dashboard(**facts: Any) -> str:
    known = {
        "watcher": "http://watcher",
        "trouble": "",
        "look": KNOWN,
        "proof": _proof(Proof(NOW, NOW, 1), KNOWN, NOW),
        "oldest": NOTHING,
        "stock": NOTHING,
        "letters": NOTHING,
        "charts": _charts([KNOWN, look(15, *BALANCED, *_counts(KNOWN))]),
        "facts": _facts(KNOWN),
    }
    return html_of("dashboard.html", **{**known, **facts})


def _counts(before: Look) -> list[tuple[metrics.Metric, float, tuple[str, ...]]]:
    """The same once more: it takes two looks to draw a line."""
    return [
        (metric, value, labels)
        for metric in (metrics.ORDERS_BY_STATUS, metrics.CONSUMER_LAG)
        for labels, value in before.family(metric).items()
    ]


def section(html: str, heading: str) -> str:
    """What stands under a heading."""
    found = next(one for one in html.split("<section") if f">{heading}<" in one)
    return words_of("<section" + found.partition("</section>")[0])


def test_every_status_under_way_has_a_line_and_its_number() -> None:
    told = section(dashboard(), "Orders under way, by status")
    ended = {"COMPLETED", "CANCELLED", "FAILED"}
    assert set(UNDER_WAY) == set(STATUSES) - ended
    for status in UNDER_WAY:
        assert f"{status.replace('_', ' ').lower()} {11 + STATUSES.index(status)}" in told


def test_outcomes_are_told_by_their_numbers() -> None:
    told = section(dashboard(), "Outcomes")
    assert told.endswith("Outcomes completed 17 cancelled 18 failed 19")


def test_money_in_and_out_and_kept_are_told_by_currency() -> None:
    assert section(dashboard(), "Money in and out").endswith("GBP 123.45 GBP 3.45 GBP 120.00 GBP")


def test_lag_is_the_sum_over_all_that_a_service_reads() -> None:
    assert "orders 12" in section(dashboard(), "Records behind, by group")


async def test_the_oldest_of_every_status_are_told_oldest_first_with_since_when_each_waits() -> None:
    def made(order_id: str, status: str, hours_ago: int) -> dict[str, Any]:
        at = (NOW - timedelta(hours=hours_ago)).isoformat()
        return {
            "order_id": order_id,
            "status": status,
            "waiting_for": "approval",
            "created_at": at,
            "waiting_since": (NOW - timedelta(minutes=hours_ago)).isoformat(),
        }

    shop = {
        "AWAITING_APPROVAL": [made("O-second", "AWAITING_APPROVAL", 5), made("O-last", "AWAITING_APPROVAL", 1)],
        "RESERVING": [made("O-first", "RESERVING", 9)],
        "PAYING": [made("O-third", "PAYING", 2)],
    }

    async def get(path: str, query: Mapping[str, str]) -> dict[str, Any]:
        assert (path, query["sort"]) == ("/orders", "oldest")
        return {"items": shop.get(query["status"], [])}

    console = SimpleNamespace(apis=SimpleNamespace(orders=SimpleNamespace(get=get)))
    told = section(dashboard(oldest=await _oldest(cast("Console", console))), "Oldest under way")
    assert re.findall(r"O-\w+", told) == ["O-first", "O-second", "O-third", "O-last"]
    assert "It waits for a person to approve the payment." in told
    # Not by how long they have waited: the first has waited for nine minutes.
    assert re.search(rf"O-first.* {re.escape(moment(NOW - timedelta(minutes=9)))}", told)


async def test_open_dead_letters_are_counted_by_reason_and_what_is_settled_is_not() -> None:
    async def every() -> list[Any]:
        told = [("invalid", State.OPEN), ("invalid", State.ASKED), ("unreadable", State.OPEN), ("old", State.DISCARDED)]
        return [SimpleNamespace(reason=reason, state=state) for reason, state in told]

    console = SimpleNamespace(letters=SimpleNamespace(all=every))
    told = section(dashboard(letters=await _letters(cast("Console", console))), "Dead letters")
    assert told.endswith("Dead letters invalid 2 unreadable 1 3 messages wait behind them.")


@pytest.mark.parametrize("before", [None, Proof(NOW, NOW, 9)])
def test_books_that_do_not_balance_are_told_with_what_is_off_and_by_how_much(before: Proof | None) -> None:
    off = look(15, *BALANCED[1:], (metrics.MONEY_IMBALANCE, -250.0, ("payment", "GBP")))
    html = dashboard(look=off, proof=_proof(proven(before, off), off, NOW))
    told = words_of(html)
    assert 'class="proof p-broken"' in html
    assert "✗ The books do not balance" in told
    assert re.search(r"✗ Money: .*?: off by 250", told)
    assert "✓ Stock: received, adjusted and shipped are what receipts and reservations say" in told
    assert "Balanced since" not in told


def test_lines_differ_by_their_dashes_whoever_cannot_tell_colours_apart() -> None:
    css = (HERE / "static" / "console.css").read_text()
    dashes = []
    for number in range(STYLES):
        (rule,) = re.findall(rf"\.line-{number} \{{([^}}]*)\}}", css)
        dash = re.search(r"stroke-dasharray: ([\d ]+)", rule)
        dashes.append(dash[1] if dash else "none")
    assert len(set(dashes)) == STYLES
    # No more lines are drawn in one chart than there are dashes.
    assert max(len(UNDER_WAY), len(SUBSCRIPTIONS)) <= STYLES
    drawn = re.findall(r'class="line (line-\d)" points', dashboard())
    assert len(set(drawn)) == len(UNDER_WAY)
