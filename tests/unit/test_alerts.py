"""The alerts ask for metrics that there are, each has a runbook and tests for both ways, and promtool agrees."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from contracts.metrics import LABELS, vocabulary

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "deploy" / "prometheus"
#: Prometheus' own series, which no process of ours tells.
PROMETHEUS: Final = {"up", "ALERTS"}
#: PromQL's own words.
WORDS: Final = frozenset(
    {
        "abs",
        "absent",
        "and",
        "by",
        "count",
        "group_left",
        "histogram_quantile",
        "humanize",
        "increase",
        "le",
        "max",
        "min",
        "offset",
        "on",
        "or",
        "rate",
        "sum",
        "time",
        "topk",
        "unless",
        "vector",
        "without",
        "clamp_min",
        "avg",
        "ignoring",
        "label_replace",
    }
)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def names_in(expression: str) -> set[str]:
    """The metrics that a query asks for; the histograms' by their own name."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\b(by|on|without|ignoring)\s*\([^)]*\)|\{[^}]*\}', " ", expression)
    found = set(re.findall(r"\b[a-zA-Z_][a-zA-Z0-9_]*\b", bare)) - WORDS - PROMETHEUS
    kinds = {name: metric.kind for name, metric in vocabulary().items()}
    short = {name: re.sub(r"_(bucket|sum|count)$", "", name) for name in found}
    return {short[name] if kinds.get(short[name]) == "histogram" else name for name in found}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_known_metrics_and_says_how_bad_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert names_in(rule["expr"]) <= vocabulary().keys()
    assert set(re.findall(r"[{,(]\s*([a-z_]+)\s*(?:=~|!=|!~|=)", rule["expr"])) <= LABELS.keys()
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["for"]
    assert rule["annotations"]["summary"]
    runbook = (ROOT / rule["annotations"]["runbook"]).read_text()
    assert rule["alert"].removesuffix("ForLong") in runbook
    named = set(re.findall(r"orderctl ([a-z][a-z-]*)", runbook))
    assert named, "a runbook names the verb to use"
    assert named <= known_verbs(), "and that verb exists"


def known_verbs() -> set[str]:
    """The verbs of the command line, as it registers them."""
    text = (ROOT / "orderctl" / "main.py").read_text()
    return set(re.findall(r'app\.command\("([a-z-]+)"', text)) | set(re.findall(r'name="([a-z-]+)"', text))


def expected_of(case: dict[str, Any], state: str) -> set[str]:
    """The alerts that a case of promtool's expects to be in this state, each time that it looks."""
    return {
        name
        for check in case["promql_expr_test"]
        if f'alertstate="{state}"' in check["expr"]
        for sample in check["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample.get("labels", ""))
    }


def test_every_alert_is_tested_and_every_test_names_an_alert() -> None:
    cases = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    quiet, all_at_once, *alone = cases
    alerts = {rule["alert"] for rule in rules()}
    assert {name for case in alone for name in expected_of(case, "firing")} == alerts
    assert all_at_once["name"] == "a fault that is over before its time fires nothing, and one that lasts does"
    assert expected_of(all_at_once, "pending") == expected_of(all_at_once, "firing") == alerts
    assert quiet["name"] == "a quiet day fires nothing"
    told = {re.match(r"\w+", series["series"]).group() for series in quiet["input_series"]}  # type: ignore[union-attr]
    asked = {name for rule in rules() for name in names_in(rule["expr"])}
    assert asked <= told, "not firing is seen with every metric there"


def test_promtool_finds_the_rules_right_and_their_tests_pass() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "test", "rules", str(FOLDER / "alerts_test.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_keeps_the_traces_that_the_processes_tell_and_says_when_it_is_ready() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert "--enable-feature=exemplar-storage" in services["prometheus"]["command"]
    asked = {name: services[name]["healthcheck"]["test"][-1] for name in ("prometheus", "grafana")}
    assert asked == {
        "prometheus": "http://127.0.0.1:9090/-/ready",
        "grafana": "http://127.0.0.1:3000/api/health",
    }
    # Where they listen in their containers: what the host's ports lead to.
    for name, url in asked.items():
        assert [port.rpartition(":")[2] for port in services[name]["ports"]] == [url.split("/")[2].rpartition(":")[2]]


def test_prometheus_asks_every_process_of_the_compose_file_that_has_metrics() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    targets = {target for job in config["scrape_configs"] for s in job["static_configs"] for target in s["targets"]}
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    # What publishes an HTTP port of ours: the last part is the port in the container.
    serving = {
        f"{name}:{port.rpartition(':')[2]}"
        for name, service in services.items()
        if service["image"].startswith("order-processing/") and name != "smtp-sink"
        for port in service.get("ports", ())
    }
    assert targets == serving
