"""The load generator: schedule, statistics and the account of every order, and a run over an in-memory broker."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import quantiles

import pytest
from orderctl_shop import Shop

from contracts.orders import StartOrder
from orderctl.errors import NoAnswersError
from orderctl.load import LoadPlan, OrderScript, run_load
from orderctl.load.book import ACCEPTED, REJECTED, Book, HeardOutcome, HeardVerdict
from orderctl.load.plan import DECLINED, scripts, setup_commands
from orderctl.load.result import Progress
from orderctl.load.statistics import Histogram

PLAN = LoadPlan(run_id="RUN", orders=2_000, rate_per_s=100.0, cancel_rate=0.3, decline_rate=0.2, items_per_order=3)
COMPLETED = "orders.order-completed.v1"


def kinds(script: OrderScript) -> tuple[str, ...]:
    return tuple(command.type.split(".")[1] for command in script.commands)


def test_the_same_plan_gives_the_same_orders_at_the_same_times() -> None:
    assert list(scripts(PLAN)) == list(scripts(PLAN))
    assert list(scripts(replace(PLAN, seed=2))) != list(scripts(PLAN))


def test_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    due = [script.due_s for script in scripts(PLAN)]
    gaps = [later - earlier for earlier, later in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(0.01, rel=0.1)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.15)


def test_the_rate_does_not_change_what_is_ordered() -> None:
    slow, fast = scripts(replace(PLAN, rate_per_s=1.0)), scripts(replace(PLAN, rate_per_s=0.0))
    assert [script.commands for script in slow] == [script.commands for script in fast]


def test_shares_of_cancelled_and_declined_orders_are_as_asked() -> None:
    every = list(scripts(PLAN))
    cancelled = [script for script in every if "cancel-order" in kinds(script)]
    declined = [
        s for s in every if isinstance(s.commands[0].data, StartOrder) and s.commands[0].data.payment_method == DECLINED
    ]
    assert len(cancelled) / len(every) == pytest.approx(0.3, abs=0.04)
    assert len(declined) / len(every) == pytest.approx(0.2, abs=0.04)
    assert {kinds(script)[1:] for script in every} == {
        ("approve-payment",),
        ("cancel-order",),
        ("approve-payment", "cancel-order"),
    }


def test_a_share_of_the_orders_is_approved_by_nobody_and_without_it_the_plan_is_what_it_was() -> None:
    plain = replace(PLAN, cancel_rate=0.0)
    some = list(scripts(replace(plain, unapproved_rate=0.25)))
    forgotten = [script for script in some if kinds(script) == ("start-order",)]
    assert len(forgotten) / len(some) == pytest.approx(0.25, abs=0.04)
    assert list(scripts(replace(plain, unapproved_rate=0.0))) == list(scripts(plain))


def test_without_approval_only_starts_are_sent() -> None:
    plain = replace(PLAN, approve=False, cancel_rate=0.0)
    assert {kinds(script) for script in scripts(plain)} == {("start-order",)}


def test_command_ids_are_unique_within_a_run() -> None:
    ids = [command.id for script in scripts(PLAN) for command in script.commands]
    ids += [command.id for command in setup_commands(PLAN)]
    assert len(ids) == len(set(ids))
    assert max(map(len, ids)) <= 64


def test_the_setup_receives_exactly_what_the_run_orders() -> None:
    wanted: Counter[str] = Counter()
    for script in scripts(PLAN):
        assert isinstance(script.commands[0].data, StartOrder)
        wanted.update(item.sku for item in script.commands[0].data.items)
    received = {c.key: c.data.quantity for c in setup_commands(PLAN) if c.type == "inventory.receive-stock.v1"}  # type: ignore[attr-defined]
    assert received == wanted


@pytest.mark.parametrize(
    ("field", "value"), [("orders", -1), ("cancel_rate", 1.5), ("rate_per_s", -1.0), ("run_id", "x" * 41), ("skus", 0)]
)
def test_an_impossible_plan_is_refused_by_the_name_of_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        replace(PLAN, **{field: value})  # type: ignore[arg-type]


def test_percentiles_are_within_one_percent_of_the_exact_ones() -> None:
    random, histogram = Random(7), Histogram()
    values = [random.lognormvariate(-3, 1) for _ in range(20_000)]
    for value in values:
        histogram.add(value)
    exact = quantiles(values, n=100)
    for percent in (50, 90, 99):
        assert histogram.percentile(percent) == pytest.approx(exact[percent - 1], rel=0.02)
    summary = histogram.summary()
    assert summary.max_s == max(values)
    assert summary.mean_s == pytest.approx(sum(values) / len(values))


def test_an_empty_histogram_has_no_percentiles() -> None:
    assert Histogram().percentile(50) is None
    assert Histogram().summary().count == 0


def one_order() -> tuple[Book, OrderScript, bytes]:
    script = next(scripts(replace(PLAN, cancel_rate=0.0)))
    book = Book(1)
    book.sent(script, 10.0)
    return book, script, script.order_id.encode()


def test_an_order_stays_open_until_its_end_and_all_verdicts_are_heard() -> None:
    book, script, key = one_order()
    start, approve = (command.id for command in script.commands)
    assert book.hear(key, ACCEPTED, {"command_id": start}, 10.1) == [
        HeardVerdict(script.order_id, start, True, None, False)
    ]
    told = book.hear(key, COMPLETED, {"total_minor": 5}, 10.5)
    assert told == [HeardOutcome(script.order_id, "completed", None, 5, 0.5)]
    assert book.open == 1
    book.hear(key, ACCEPTED, {"command_id": approve}, 10.6)
    assert book.open == 0
    assert book.result(1.0).finished


def test_each_type_of_event_has_its_latency_and_repeats_do_not_count() -> None:
    book, _, key = one_order()
    for now in (10.1, 10.4):
        book.reach(key, b"orders.stock-reserved.v1", now)
    reached = book.result(1.0).phases["stock-reserved"]
    assert (reached.count, reached.max_s) == (1, pytest.approx(0.1))


def test_an_event_delivered_twice_counts_once() -> None:
    book, script, key = one_order()
    for _ in range(2):
        book.hear(key, ACCEPTED, {"command_id": script.commands[0].id}, 10.1)
        book.hear(key, COMPLETED, {}, 10.2)
    result = book.result(1.0)
    assert (result.accepted, result.outcomes) == (1, {"completed": 1})


def test_a_rejected_start_is_the_end_of_the_order_whatever_becomes_of_its_namesake() -> None:
    book, script, key = one_order()
    book.hear(key, REJECTED, {"command_id": script.commands[0].id, "reason": "conflict"}, 10.1)
    book.hear(key, COMPLETED, {}, 10.2)
    assert book.result(1.0).reasons == {"rejected:conflict": 1}


def test_a_duplicate_start_is_unclear_until_somebody_looked() -> None:
    book, script, key = one_order()
    for command in script.commands:
        book.hear(key, ACCEPTED, {"command_id": command.id, "duplicate": True}, 10.1)
    assert list(book.unclear) == [script.order_id]
    book.looked_up(script.order_id, "failed", "out-of-stock", None)
    assert not book.unclear
    assert book.result(1.0).reasons == {"failed:out-of-stock": 1}
    assert book.result(1.0).latency.count == 0


async def test_a_run_counts_every_order_and_records_what_it_sent_and_heard(tmp_path: Path) -> None:
    shop, seen, record = Shop(), list[Progress](), tmp_path / "record.jsonl"
    plan = replace(PLAN, orders=200, rate_per_s=0.0, max_open=20, record=record)
    result = await run_load(plan, seen.append, transport=shop.transport)
    assert result.finished
    assert sum(result.outcomes.values()) == 200 == result.orders
    assert result.accepted + sum(result.rejected_commands.values()) == result.commands
    assert max(progress.open for progress in seen) <= 20
    assert seen[-1].ended == 200
    assert shop.transport.closed
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    sent = {line["command_id"] for line in lines if line["kind"] == "command"}
    acknowledged = {c for line in lines if line["kind"] == "acknowledged" for c in line["command_ids"]}
    verdicts = [line["command_id"] for line in lines if line["kind"] == "verdict"]
    assert sent == acknowledged == set(verdicts)
    assert len(verdicts) == len(sent) == len(shop.commands)
    assert Counter(line["outcome"] for line in lines if line["kind"] == "outcome") == result.outcomes


async def test_the_time_of_a_burst_counts_from_when_it_was_complete() -> None:
    shop, all_ended = Shop(), asyncio.Event()

    def on_progress(progress: Progress) -> None:
        if progress.ended == 50:
            all_ended.set()

    async def all_sent() -> None:
        assert len(shop.status) == 50
        await all_ended.wait()

    plan = replace(PLAN, orders=50, rate_per_s=0.0, cancel_rate=0.0)
    result = await run_load(plan, on_progress, transport=shop.transport, all_sent=all_sent)
    assert result.finished
    assert result.elapsed_s == 0.0


async def test_orders_that_do_not_end_in_time_are_named() -> None:
    shop = Shop()
    plan = replace(PLAN, orders=3, rate_per_s=0.0, cancel_rate=0.0, approve=False, timeout_s=0.05)
    result = await run_load(plan, transport=shop.transport)
    assert result.unfinished == ("RUN-000000", "RUN-000001", "RUN-000002")
    assert not result.finished


async def test_nothing_is_ordered_while_the_shop_does_not_answer_the_setup() -> None:
    shop = Shop()
    shop.deaf_to = {"inventory.receive-stock.v1"}
    with pytest.raises(NoAnswersError, match="20 of 30"):
        await run_load(replace(PLAN, timeout_s=0.05), transport=shop.transport)
    assert not shop.status
