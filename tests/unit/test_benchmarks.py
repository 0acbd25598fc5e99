"""What the benchmark reads off the accounts, on accounts of known content."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from rich.console import Console

from benchmarks.check import compare
from benchmarks.client import repeated
from benchmarks.counters import Counters, Work, stored_batches, work_between
from benchmarks.errors import NotMeasuredError
from benchmarks.growth import ratio_rows
from benchmarks.instructions import count_in
from benchmarks.measure import Measurement, Outcome, Run
from benchmarks.plots import chart
from benchmarks.report import print_all
from benchmarks.run import run
from benchmarks.scale import against_first, another
from benchmarks.statements import executed
from devstack.processes import ProcessSpec
from orderctl.importer import SAMPLE, make_plan, read_rows
from orderctl.load.statistics import LatencySummary


def record_batch(records: int) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    for number in range(records):
        builder.append(number, timestamp=None, key=b"key", value=b"value", headers=[])
    return bytes(builder.build())


def test_record_batches_are_counted_with_their_records_and_bytes(tmp_path: Path) -> None:
    first, second = record_batch(3), record_batch(1)
    segment = tmp_path / "00000000000000000000.log"
    segment.write_bytes(first + second)
    assert list(stored_batches(segment)) == [(3, len(first)), (1, len(second))]


def test_the_unused_end_of_a_segment_counts_nothing(tmp_path: Path) -> None:
    segment = tmp_path / "00000000000000000000.log"
    segment.write_bytes(record_batch(2) + bytes(4096))
    assert [count for count, _ in stored_batches(segment)] == [2]


def test_a_service_that_was_started_anew_counts_from_nothing() -> None:
    before = Counters(0, 0, 0, 0, 0, {"orders": (100.0, 900.0), "payment": (10.0, 10.0)})
    after = Counters(2_000, 40, 210, 30, 5_000, {"orders": (4.0, 20.0), "payment": (30.0, 50.0)})
    work = work_between(before, after, 10)
    assert work.batch_size == {"orders": 5.0, "payment": 2.0}
    assert (work.wal_bytes, work.write_transactions, work.messages, work.messages_per_batch) == (200.0, 4.0, 21.0, 7.0)


def test_statements_are_counted_once_however_many_lines_and_phases_they_have(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_bytes(
        b"2026-11-28 10:00:00.000 UTC [1] orders@orders LOG:  statement: BEGIN;\n"
        b"2026-11-28 10:00:00.001 UTC [1] orders@orders LOG:  execute __asyncpg_stmt_1__: SELECT 1\n"
        b"\tFROM somewhere\n"
        b"2026-11-28 10:00:00.002 UTC [2] payment@payment LOG:  execute <unnamed>: SELECT 2\n"
        b"2026-11-28 10:00:00.003 UTC [3] @ LOG:  checkpoint complete\n"
        b"2026-11-28 10:00:00.004 UTC [2] payment@payment ERROR:  statement: no\n"
    )
    assert executed(log, 0) == ["orders", "orders", "payment"]


def test_a_chart_has_a_line_for_each_series_within_its_frame() -> None:
    svg = chart("T", "x", "y <ms>", {"one": [(20, 31.0), (200, 8.4), (1000, 1.5)], "two": [(20, 60.0), (200, 55.0)]})
    lines = re.findall(r'points="([^"]+)"', svg)
    assert [len(line.split()) for line in lines] == [3, 2]
    for point in " ".join(lines).split():
        x, y = map(float, point.split(","))
        assert 60 <= x <= 490
        assert 40 <= y <= 310
    assert "y &lt;ms&gt;" in svg


def test_a_loss_is_seen_in_either_direction_and_a_gain_never_is() -> None:
    times, less = "times the orders/s of the usual way", "times less CPU per order than the usual way"
    baseline = {times: 10.0, less: 10.0, "messages per order": 20.0, "instructions": 5.0}
    now = {times: 8.0, less: 12.0, "messages per order": 23.5}
    found = {finding.name: finding for finding in compare(baseline, now)}
    assert not found[times].fine
    assert found[less].fine
    assert found[less].loss < 0
    assert not found["messages per order"].fine
    assert "instructions" not in found


def test_a_figure_that_is_no_longer_measured_is_a_loss() -> None:
    assert not compare({"messages per order": 20.0}, {})[0].fine


def test_a_figure_within_the_tolerance_is_fine() -> None:
    assert all(finding.fine for finding in compare({"messages per order": 20.0}, {"messages per order": 22.9}))


def test_a_machine_that_does_not_count_instructions_says_so() -> None:
    assert count_in("123456,,instructions:u,1000,100.00,,\n") == 123456
    assert count_in("<not supported>,,instructions:u,0,100.00,,\n") is None


def test_a_file_of_invoice_lines_is_repeated_as_other_invoices(tmp_path: Path) -> None:
    report = make_plan(read_rows(repeated(SAMPLE, 500, tmp_path / "rows.csv"))).report
    assert report.rows == 500
    assert report.adds_up
    assert report.invoices > make_plan(read_rows(SAMPLE)).report.invoices


def measurement(
    contender: str, orders_per_s: float, cpu_ms: float, rss_mb: dict[str, float] | None = None
) -> Measurement:
    latency = LatencySummary(1, 0.01, 0.01, 0.01, 0.01, 0.02, 0.02)
    return Measurement(
        contender=contender,
        run=Run("closed", 1),
        outcome=Outcome(1, 1.0, latency),
        orders_per_s=orders_per_s,
        kept_up=None,
        cpu_ms_per_order=cpu_ms,
        cpu_ms={},
        rss_mb=rss_mb or {},
        work=Work(0, 0, 0, 0, 0, 0, {}),
        statements={},
        instructions=None,
    )


def test_more_processes_are_compared_with_one_round_by_round() -> None:
    found = [
        measurement("one", 100, 4),
        measurement("two", 90, 5),
        measurement("one", 200, 2),
        measurement("two", 200, 3),
    ]
    assert against_first(found, "one", "two") == [(0.9, 1.25), (1.0, 1.5)]


def test_growth_is_told_by_the_median_run_and_counts_no_memory_but_the_services() -> None:
    before = [measurement("", 100, cost, {"orders": 50.0, "postgres": 900.0}) for cost in (3, 9, 4)]
    after = [measurement("", 50, 8, {"orders": 60.0, "inventory": 10.0, "kafka": 500.0})]
    rows = ratio_rows(before, after)
    assert rows["CPU ms per order"] == (4, 8)
    assert rows["p99 ms"] == (20, 20)
    assert rows["resident MB of the services"] == (50.0, 70.0)


def test_one_more_process_of_a_service_has_a_port_and_a_membership_of_its_own() -> None:
    spec = ProcessSpec(
        name="orders",
        argv=("python", "-m", "services.orders"),
        env={"HTTP_PORT": "8011", "KAFKA_GROUP_INSTANCE_ID": "orders-1", "ORDERS_DATABASE_URL": "postgresql:///orders"},
        address="http://127.0.0.1:8011",
        probe="http",
        target="http://127.0.0.1:8011/readyz",
    )
    more = another(spec, 2)
    assert more.name == "orders-2"
    assert more.env == {**spec.env, "HTTP_PORT": str(more.port), "KAFKA_GROUP_INSTANCE_ID": "orders-1-2"}
    assert more.port != spec.port


def test_many_runs_are_told_a_few_beside_each_other_and_no_name_is_cut() -> None:
    console = Console(file=io.StringIO(), width=80, record=True)
    found = [
        measurement(who, 1.0, 1.0, {"orders": 70.0 + turn}) for turn in range(3) for who in ("ours", "usual", "dbos")
    ]

    print_all(found, console)

    text = console.export_text()
    assert "…" not in text.split("Resident MB")[1]
    assert [text.count(f" {value} ") for value in (70, 71, 72)] == [3, 3, 3]


def test_what_was_measured_is_told_when_a_later_run_is_worth_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def one_and_then_none(*arguments: Any) -> None:
        arguments[4].append(measurement("", 123.0, 1.0))
        raise NotMeasuredError("burst: 1 of 2 completed")

    monkeypatch.setattr("benchmarks.run._all", one_and_then_none)
    monkeypatch.setattr("benchmarks.run.place", lambda: contextlib.nullcontext(None))

    with pytest.raises(NotMeasuredError):
        run(output=tmp_path)

    written = json.loads((tmp_path / "result.json").read_text())
    assert written["error"] == "burst: 1 of 2 completed"
    assert [m["orders_per_s"] for m in written["measurements"]] == [123.0]
    assert "123" in capsys.readouterr().err
