"""Prometheus beside a stack that has worked: it finds every process, and every panel has something to show."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import pytest
import pytest_asyncio
import yaml
from metric_labels import is_listed
from waiting import until

from contracts.metrics import LABELS
from e2e.compose import ComposeStack
from e2e.prometheus import BINARY, RULES, WITHOUT, Prometheus, beside, expected_targets
from e2e.shop import Shop
from e2e.stack import CLONE, Place, Stack

#: Two rounds of scraping and two looks of the watcher, on a slow machine.
DATA_WITHIN_S: Final = 300.0
BOARDS: Final = CLONE / "deploy" / "grafana" / "dashboards"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def prometheus(
    stack: Stack | ComposeStack | None, place: Place, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """Started beside the stack: the profile's in containers, else this machine's own."""
    if stack is None:
        pytest.skip("the running stack's watcher is not ours to start (E2E_STACK=running)")
    if isinstance(stack, ComposeStack):
        url = await stack.start_prometheus()
        async with aiohttp.ClientSession() as session:
            yield Prometheus(session, url)
    elif BINARY is None:
        pytest.skip(f"neither does Docker answer here, nor is there a local Prometheus: {WITHOUT}")
    else:
        async with beside(place, tmp_path_factory.mktemp("prometheus")) as found:
            yield found


@pytest.mark.slow
async def test_prometheus_reaches_every_process_and_has_loaded_every_alert(prometheus: Prometheus) -> None:
    await until(prometheus.all_up, "every target is up", DATA_WITHIN_S, every_s=1)
    targets = (await prometheus.ask("targets"))["activeTargets"]
    assert sorted(target["labels"]["instance"] for target in targets) == sorted(expected_targets())
    rules = [rule for group in (await prometheus.ask("rules"))["groups"] for rule in group["rules"]]
    groups = yaml.safe_load(RULES.read_text())["groups"]
    # Prometheus tells the groups in an order of its own.
    assert sorted(rule["name"] for rule in rules) == sorted(
        rule["alert"] for group in groups for rule in group["rules"]
    )


@pytest.mark.slow
async def test_every_panel_of_the_boards_has_data_and_the_invariants_read_0(prometheus: Prometheus, shop: Shop) -> None:
    sku = await shop.shelf(5)
    await shop.buy({sku: 1})
    # What orders wait for is told of those that do.
    waiting = await shop.held({sku: 1})
    silent = {
        (path.stem, panel["title"], target["expr"])
        for path in sorted(BOARDS.glob("*.json"))
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
    await shop.cancel(waiting)
    await shop.ended(waiting)


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
