"""A Prometheus and the watcher beside a stack: in containers the profile `observability`, else this machine's own `prometheus`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from waiting import until

from contracts.ports import WATCHER_PORT
from devstack.ports import free_offset
from e2e.stack import CLONE, Place

FOLDER: Final = CLONE / "deploy" / "prometheus"
RULES: Final = FOLDER / "alerts.yml"
CONFIG: Final = FOLDER / "prometheus.yml"
BINARY: Final = shutil.which("prometheus")
WITHOUT: Final = "prometheus is not installed (Debian: apt-get install prometheus)"
STARTS_WITHIN_S: Final = 120.0


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

    async def all_up(self) -> bool:
        """Whether every process that it was told of answers."""
        try:
            targets = (await self.ask("targets"))["activeTargets"]
        except aiohttp.ClientError:
            return False
        return bool(targets) and all(target["health"] == "up" for target in targets)

    async def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire now, each with the service, the source or the process that it is about."""
        alerts = (await self.ask("alerts"))["alerts"]
        return {about(alert["labels"]) for alert in alerts if alert["state"] == "firing"}

    async def fired_since(self, began: float) -> set[tuple[str, str]]:
        """Whatever has fired at any time since."""
        looked_back = f"{int(time.time() - began) + 1}s"
        return {
            about(one["metric"])
            for one in await self.series(f'max_over_time(ALERTS{{alertstate="firing"}}[{looked_back}])')
        }


def about(labels: dict[str, str]) -> tuple[str, str]:
    """An alert's name and whom it is about."""
    who = labels.get("service") or labels.get("source") or labels.get("call") or labels.get("instance", "")
    return labels["alertname"], who.partition(":")[0]


def expected_targets() -> list[str]:
    """The processes that the committed configuration asks, as `name:port` in containers."""
    jobs = yaml.safe_load(CONFIG.read_text())["scrape_configs"]
    return [target for job in jobs for group in job["static_configs"] for target in group["targets"]]


def configured(folder: Path, urls: dict[str, str], for_s: int | None = None) -> Path:
    """The committed configuration and alerts, for processes that are elsewhere and keep their names, asked every two seconds.
    With `for_s` an alert fires after so long instead of its own `for`; the conditions are the real ones."""
    rules = RULES.read_text()
    if for_s is not None:
        rules, count = re.subn(r"(?m)^( +for:) \w+$", rf"\1 {for_s}s", rules)
        assert count == sum(len(group["rules"]) for group in yaml.safe_load(rules)["groups"])
    (folder / "alerts.yml").write_text(rules)
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        job["static_configs"] = [
            {"targets": [urls[target.partition(":")[0]].removeprefix("http://")], "labels": {"instance": target}}
            for group in job["static_configs"]
            for target in group["targets"]
            if target.partition(":")[0] in urls
        ]
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
async def beside(place: Place, folder: Path, for_s: int | None = None) -> AsyncIterator[Prometheus]:
    """The watcher, and this machine's Prometheus that looks at it and at the stack's local processes; every target is up."""
    assert BINARY is not None, WITHOUT
    offset = free_offset()
    watcher, port = WATCHER_PORT + offset, 9090 + offset
    env = {**os.environ, **place.env, "HTTP_PORT": str(watcher), "WATCH_EVERY_S": "1", "LOG_LEVEL": "INFO"}
    config = configured(folder, {**place.urls, "watcher": f"http://127.0.0.1:{watcher}"}, for_s)
    argv = [BINARY, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    argv.append(f"--web.listen-address=127.0.0.1:{port}")
    with (
        running(folder / "watcher.log", [sys.executable, "-m", "audit.watcher"], env),
        running(folder / "prometheus.log", argv, dict(os.environ)),
    ):
        async with aiohttp.ClientSession() as session:
            found = Prometheus(session, f"http://127.0.0.1:{port}")
            await until(found.all_up, "every target is up", STARTS_WITHIN_S, every_s=1)
            yield found
