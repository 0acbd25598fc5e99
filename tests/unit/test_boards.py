"""The committed boards are what the code makes, and every query asks for metrics that there are."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from test_alerts import names_in

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


def test_every_query_asks_for_known_metrics_and_labels() -> None:
    queries = [
        target["expr"]
        for path in sorted((FOLDER / "dashboards").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]
    assert queries
    for query in queries:
        assert names_in(query) <= vocabulary().keys(), query
        by = {label.strip() for found in re.findall(r"\bby \(([^)]*)\)", query) for label in found.split(",")}
        assert by <= LABELS.keys() | {"le", "instance"}, query


def test_the_boards_show_the_invariants_and_the_processes_that_answer() -> None:
    text = "".join(path.read_text() for path in (FOLDER / "dashboards").glob("*.json"))
    for name in ("invariant_money_imbalance_minor", "invariant_stock_imbalance_units", "watch_up"):
        assert name in text
