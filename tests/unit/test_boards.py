"""The committed boards are what the code makes, and every query asks for metrics that there are."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from metric_labels import strange_selectors
from test_alerts import names_in, rules

from contracts.metrics import LABELS, vocabulary

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana"


@pytest.fixture(scope="module")
def boards() -> ModuleType:
    spec = importlib.util.spec_from_file_location("boards", FOLDER / "boards.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_json_is_current(boards: ModuleType) -> None:
    committed = {path.stem: path.read_text() for path in (FOLDER / "dashboards").glob("*.json")}
    made = {name: boards.build(name, panels) for name, panels in boards.BOARDS.items()}
    assert made == committed, "python deploy/grafana/boards.py"


def queries() -> list[str]:
    return [
        target["expr"]
        for path in sorted((FOLDER / "dashboards").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


def test_every_query_asks_for_known_metrics_and_labels() -> None:
    assert queries()
    for query in queries():
        assert names_in(query) <= vocabulary().keys(), query
        by = {label.strip() for found in re.findall(r"\bby \(([^)]*)\)", query) for label in found.split(",")}
        assert by <= LABELS.keys() | {"le", "instance"}, query


def test_every_query_and_alert_selects_by_labels_and_values_that_there_are() -> None:
    asked = [*queries(), *(rule["expr"] for rule in rules())]
    assert sum(query.count('"') for query in asked) > 10, "some of them do select"
    assert [strange for query in asked for strange in strange_selectors(query)] == []


@pytest.mark.parametrize(
    ("query", "strange"),
    [
        ('messaging_published_total{service="order"}', ['messaging_published_total{service="order"}']),
        ('rate(messaging_events_total{event="fence_lost"}[5m])', ['messaging_events_total{event="fence_lost"}']),
        ('messaging_published_total{type=~"orders.order-.*"}', []),
        (
            'messaging_published_total{type=~"orders.(order-started|order-finished).v1"}',
            ['messaging_published_total{type=~"orders.(order-started|order-finished).v1"}'],
        ),
        ('orders_end_to_end_seconds_bucket{status="COMPLETED"}', []),
        ('payment_gateway_calls_total{outcome=~"failed|timeout"}', ['payment_gateway_calls_total{outcome=~"failed|timeout"}']),
        ('orders_overdue{status="PAYING"}', ['orders_overdue{status="PAYING"}']),
    ],
)  # fmt: skip
def test_a_selector_that_no_series_can_match_is_found(query: str, strange: list[str]) -> None:
    assert strange_selectors(query) == strange


def test_the_boards_show_the_invariants_and_the_processes_that_answer() -> None:
    text = "".join(path.read_text() for path in (FOLDER / "dashboards").glob("*.json"))
    for name in ("invariant_money_imbalance_minor", "invariant_stock_imbalance_units", "watch_up"):
        assert name in text
