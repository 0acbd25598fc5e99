"""Faults of the kill run, staged under a real Prometheus: a kill fires nothing, a freeze the alerts that it should and no other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import yaml
from waiting import until

from contracts.ports import WATCHER_PORT
from devstack.ports import free_offset
from e2e.shop import Shop
from e2e.stack import CLONE, SERVICES, Place, Stack

RULES: Final = CLONE / "deploy" / "prometheus" / "alerts.yml"
#: Each alert's `for` here, longer than a restart takes. The conditions are the real ones.
FOR_S: Final = 45
#: Some conditions look back for a minute before they are true.
FIRES_WITHIN_S: Final = 240.0
STARTS_WITHIN_S: Final = 60.0
PROMETHEUS: Final = shutil.which("prometheus")

pytestmark = [
    pytest.mark.proof,
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (Debian: apt-get install prometheus)"),
    pytest.mark.not_in_containers("processes of this machine are stopped"),
]


@dataclass(frozen=True, slots=True)
class Watched:
    """A stack that works, with the watcher and a Prometheus that looks at all of it each second."""

    stack: Stack
    shop: Shop
    prometheus: str

    async def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire now, each with the service or the address that it is about."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.prometheus}/api/v1/alerts") as answer:
            alerts = (await answer.json())["data"]["alerts"]
        return {about(alert["labels"]) for alert in alerts if alert["state"] == "firing"}

    async def fired_since(self, began: float) -> set[tuple[str, str]]:
        """Whatever has fired at any time since."""
        arguments = {"query": f'max_over_time(ALERTS{{alertstate="firing"}}[{int(time.time() - began) + 1}s])'}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.prometheus}/api/v1/query", params=arguments) as answer,
        ):
            found = (await answer.json())["data"]["result"]
        return {about(one["metric"]) for one in found}


def about(labels: dict[str, str]) -> tuple[str, str]:
    return labels["alertname"], labels.get("service") or labels.get("process") or labels.get("source", "")


def configured(folder: Path, place: Place, watcher: int) -> Path:
    """Prometheus' configuration, and the committed alerts with a shorter `for`."""
    text, count = re.subn(r"(?m)^( +for:) \w+$", rf"\1 {FOR_S}s", RULES.read_text())
    assert count == sum(len(group["rules"]) for group in yaml.safe_load(text)["groups"])
    (folder / "alerts.yml").write_text(text)
    urls = {name: place.urls[name] for name in SERVICES} | {"watcher": f"http://127.0.0.1:{watcher}"}
    scrapes = [
        {"targets": [url.removeprefix("http://")], "labels": {"process": name}} for name, url in sorted(urls.items())
    ]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "stack", "static_configs": scrapes}],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def running(log: Path, argv: list[str], env: dict[str, str]) -> Iterator[None]:
    """A program, for as long as this lasts."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, cwd=CLONE, env=env, stdout=out, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    stack = Stack("staged-faults", PAYMENT_FAILURE_RATE="0")
    offset = free_offset()
    place = stack.up()
    watcher, port = WATCHER_PORT + offset, 9090 + offset
    env = {**os.environ, **place.env, "HTTP_PORT": str(watcher), "WATCH_EVERY_S": "1", "LOG_LEVEL": "INFO"}
    prometheus = [str(PROMETHEUS), f"--config.file={configured(folder, place, watcher)}"]
    prometheus += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    try:
        with (
            running(folder / "watcher.log", [sys.executable, "-m", "audit.watcher"], env),
            running(folder / "prometheus.log", prometheus, dict(os.environ)),
        ):
            async with Shop(place) as shop:
                found = Watched(stack, shop, f"http://127.0.0.1:{port}")
                await until(lambda: all_up(found), "every target is up", STARTS_WITHIN_S, every_s=1)
                yield found
    finally:
        stack.down(wipe=True)


async def all_up(found: Watched) -> bool:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{found.prometheus}/api/v1/targets") as answer,
        ):
            targets = (await answer.json())["data"]["activeTargets"]
    except aiohttp.ClientError:
        return False
    return len(targets) == len(SERVICES) + 1 and all(target["health"] == "up" for target in targets)


async def quiet(found: Watched) -> bool:
    return await found.firing() == set()


async def test_what_is_killed_wakes_nobody_and_a_frozen_service_is_told_of_by_its_two_alerts_alone(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as found:
        shop, stack = found.shop, found.stack
        sku = await shop.shelf(100)
        await shop.buy({sku: 1})
        began = time.time()

        # Killed: it is started again, and nobody is woken for that. (The broker's restart can take longer than `FOR_S`.)
        for name in ("orders", "payment", "postgres"):
            await stack.kill(name)
            await stack.wait_ready()
            await shop.buy({sku: 1})
        over = time.time()
        await until(lambda: time.time() > over + FOR_S, "what was pending would fire by now", FOR_S + 5, every_s=1)
        assert await found.fired_since(began) == set()

        # Frozen, while an order waits for it: it does not answer, and its partition stands still.
        waiting = await shop.held({sku: 1})
        await stack.signal("payment", "STOP")
        began = time.time()
        try:
            await shop.approve(waiting)
            expected = {("ProcessDown", "payment"), ("LagWithoutProgress", "payment")}

            async def both() -> bool:
                return await found.firing() >= expected

            await until(both, "a frozen process is told of", FIRES_WITHIN_S, every_s=1)
        finally:
            await stack.signal("payment", "CONT")
        await shop.ended(waiting)
        await until(lambda: quiet(found), "all is quiet again", FIRES_WITHIN_S, every_s=1)
        assert await found.fired_since(began) == expected
