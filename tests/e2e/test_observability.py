"""The profile `observability` on a stack that has worked: Prometheus finds every process, and every panel has something to show."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
import yaml
from metric_labels import is_listed
from waiting import until

from contracts.metrics import LABELS
from e2e.compose import ComposeStack
from e2e.shop import Shop
from e2e.stack import CLONE, Place, Stack

#: Two rounds of scraping and two looks of the watcher, on a slow machine.
DATA_WITHIN_S: Final = 300.0
DEPLOY: Final = CLONE / "deploy"


class Prometheus:
    """Its HTTP API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, path: str, **arguments: str) -> Any:
        """What stands under `data`."""
        async with self._session.get(f"{self._url}/api/v1/{path}", params=arguments) as answer:
            told = await answer.json()
        assert told["status"] == "success", told
        return told["data"]

    async def series(self, query: str) -> list[Any]:
        """The series that a query finds now."""
        found: list[Any] = (await self.ask("query", query=query))["result"]
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def prometheus(stack: Stack | ComposeStack | None, place: Place) -> AsyncIterator[Prometheus]:
    """Started beside the stack, as the profile does."""
    if not isinstance(stack, ComposeStack):
        pytest.skip("Prometheus comes with the containers (E2E_STACK=compose)")
    url = await stack.start_prometheus()
    async with aiohttp.ClientSession() as session:
        yield Prometheus(session, url)


@pytest.mark.slow
async def test_prometheus_reaches_every_process_and_has_loaded_every_alert(prometheus: Prometheus) -> None:
    async def all_up() -> bool:
        targets = (await prometheus.ask("targets"))["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)

    await until(all_up, "every target is up", DATA_WITHIN_S, every_s=1)
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    expected = {t for job in config["scrape_configs"] for group in job["static_configs"] for t in group["targets"]}
    targets = (await prometheus.ask("targets"))["activeTargets"]
    assert {target["labels"]["instance"] for target in targets} == expected
    rules = [rule for group in (await prometheus.ask("rules"))["groups"] for rule in group["rules"]]
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    # Prometheus tells the groups in an order of its own.
    assert sorted(rule["name"] for rule in rules) == sorted(
        rule["alert"] for group in groups for rule in group["rules"]
    )


@pytest.mark.slow
async def test_every_panel_of_the_boards_has_data_and_the_invariants_read_0(prometheus: Prometheus, shop: Shop) -> None:
    await shop.buy({await shop.shelf(5): 1})
    silent = {
        (path.stem, panel["title"], target["expr"])
        for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    }
    assert silent

    async def all_told() -> bool:
        for one in sorted(silent):
            if await prometheus.series(one[-1]):
                silent.remove(one)
        return not silent

    await until(all_told, lambda: f"data for {silent}", DATA_WITHIN_S, every_s=1)
    for name in ("invariant_money_imbalance_minor", "invariant_stock_imbalance_units"):
        assert {float(found["value"][1]) for found in await prometheus.series(name)} == {0.0}, name


@pytest.mark.slow
async def test_no_series_has_a_label_or_a_value_that_was_not_known_beforehand(prometheus: Prometheus) -> None:
    """The watcher's too, after all scenarios before."""
    series = await prometheus.ask("series", **{"match[]": '{job=~"services|watcher"}'})
    assert len(series) > 200
    scraping = {"__name__", "job", "instance", "le"}
    strange = [
        one
        for one in series
        if not all(label in LABELS and is_listed(label, value) for label, value in one.items() if label not in scraping)
    ]
    assert strange == []
