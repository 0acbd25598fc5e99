"""What the console makes of the watcher's looks: since when the books balance, points and quantiles; and the charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from audit.watcher.book import Book, Sample
from contracts import metrics
from contracts.metrics import Metric
from orderctl.bulk.run import Tally
from services.console.bulk import filters_in_words, in_words
from services.console.charts import Series, bar, ceiling, line_chart
from services.console.pages_dashboard import pressure
from services.console.watch import (
    STALE_AFTER,
    Look,
    Proof,
    ended_per_minute,
    invariants,
    over_time,
    parse,
    proven,
    quantile,
)

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
UP = tuple((metrics.WATCH_UP, 1.0, (source,)) for source in ("inventory", "money", "stock"))
BALANCED = (
    (metrics.MONEY_IMBALANCE, 0.0, ("payment", "GBP")),
    (metrics.STOCK_IMBALANCE, 0.0, ()),
    (metrics.HELD_IMBALANCE, 0.0, ()),
)


def look(after_s: float, *samples: tuple[Metric, float, tuple[str, ...]], up: bool = True) -> Look:
    """As the watcher's own book writes it down, and the console reads it."""
    book, registry = Book(), CollectorRegistry()
    registry.register(book)
    at = (metrics.WATCH_AT, NOW.timestamp() + after_s, ())
    book.write("all", [Sample(*sample) for sample in (at, *(UP if up else ()), *samples)])
    return parse(generate_latest(registry).decode())


def test_books_that_balance_in_every_look_are_balanced_since_the_first() -> None:
    proof: Proof | None = None
    for after_s in (0, 15, 15, 30):
        proof = proven(proof, look(after_s, *BALANCED))
    assert proof == Proof(NOW, NOW + timedelta(seconds=30), 3)


def test_a_difference_ends_it_and_it_begins_anew_with_the_next_balanced_look() -> None:
    off = (metrics.MONEY_IMBALANCE, -5.0, ("gateway", "EUR"))
    broken = proven(proven(None, look(0, *BALANCED)), look(15, *BALANCED, off))
    assert broken.since is None
    assert proven(broken, look(30, *BALANCED)).since == NOW + timedelta(seconds=30)


def test_differences_that_cancel_out_are_differences() -> None:
    off = [
        (metrics.MONEY_IMBALANCE, amount, ("payment", currency)) for amount, currency in ((5.0, "GBP"), (-5.0, "EUR"))
    ]
    assert invariants(look(0, *off))[0][1] == 10


def test_what_nobody_looked_at_is_not_called_balanced() -> None:
    first = proven(None, look(0, *BALANCED))
    late = STALE_AFTER.total_seconds() + 1
    assert proven(first, look(late, *BALANCED)).since == NOW + timedelta(seconds=late)
    assert proven(None, look(0, up=False)).since is None
    assert proven(first, look(15, up=False)) == first
    assert [value for _, value in invariants(look(0, up=False))] == [None, None, None]


def test_a_shop_without_orders_balances() -> None:
    assert [value for _, value in invariants(look(0))] == [0, 0, 0]


def test_an_answer_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing of a look"):
        parse("# HELP up x\n# TYPE up gauge\nup 1\n")


def test_orders_that_ended_are_told_by_the_minute_and_a_gap_is_no_zero() -> None:
    def ended(after_s: float, completed: float, failed: float) -> Look:
        return look(
            after_s,
            (metrics.ORDERS_BY_STATUS, completed, ("COMPLETED",)),
            (metrics.ORDERS_BY_STATUS, failed, ("FAILED",)),
            (metrics.ORDERS_BY_STATUS, 9, ("PAYING",)),
        )

    looks = [ended(0, 10, 0), look(15), ended(30, 14, 1)]
    assert ended_per_minute(looks) == [(NOW + timedelta(seconds=30), 10.0)]
    assert [value for _, value in over_time(looks, metrics.ORDERS_BY_STATUS, "PAYING")] == [9, None, 9]
    assert [value for _, value in over_time(looks, metrics.ORDERS_BY_STATUS, "COMPENSATING")] == [0, None, 0]


def test_a_quantile_lies_within_its_bucket() -> None:
    name = f"{metrics.ORDER_SECONDS.name}_bucket"
    counts = {"1.0": 10.0, "5.0": 90.0, "+Inf": 100.0}
    found = Look(NOW, {(name, (edge, "COMPLETED")): count for edge, count in counts.items()})
    assert quantile(found, 0.5) == pytest.approx(3.0)
    assert quantile(found, 0.95) == 5.0
    assert quantile(found, 0.5, "FAILED") is None


def test_lines_differ_by_their_dashes_and_the_legend_tells_their_last_values() -> None:
    points = [(NOW + timedelta(seconds=n), float(n)) for n in range(3)]
    drawn = line_chart(
        "Orders <now>", [Series("a&b", points), Series("gap", [(NOW, 1.0), (points[1][0], None), (points[2][0], 4.0)])]
    )
    assert ("line-0" in drawn, "line-1" in drawn, "a&amp;b <strong>2</strong>" in drawn) == (True, True, True)
    assert "<now>" not in drawn
    assert drawn.count("<polyline") == 3
    assert "two looks" in line_chart("x", [Series("a", points[:1])])


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (3, 5), (7, 10), (10, 10), (11, 20), (2600, 5000)])
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert ceiling(value) == top


def test_a_bar_stays_within_its_cell() -> None:
    assert [w in bar(value, most) for value, most, w in ((5, 10, '"50.0"'), (20, 10, '"100.0"'), (1, 0, '"0.0"'))] == [
        True
    ] * 3


def test_a_sku_is_under_pressure_when_less_is_left_than_is_held() -> None:
    assert [pressure({"on_hand": left, "held": held}) for left, held in ((0, 0), (3, 6), (9, 0))] == [
        0,
        0.5,
        float("inf"),
    ]


def test_what_came_of_a_bulk_run_is_said_in_words() -> None:
    tally = Tally(accepted=3, silent=["O-9"])
    tally.rejected["too-late"] = 2
    assert in_words(tally, 6) == "3 accepted, 2 rejected: too-late, 1 left"
    assert filters_in_words({"q": " O-", "older": "2 hours", "sort": "id"}) == "id begins with O-; older than 2 hours"
    assert filters_in_words({}) == "all that have not ended"
