"""When the console's way to Kafka counts as alive: as long as it looks, or tries, again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from waiting import until

from orderctl.errors import BrokerUnreachableError
from orderctl.events import RawRecord
from services.console import live
from services.console.live import Hub
from services.console.settings import load_settings

HANGS_AFTER_S = 0.4


class Way:
    """A transport that stands still where it is told to, or finds nobody."""

    def __init__(self, fault: str | None) -> None:
        self._fault = fault

    async def _at(self, place: str) -> None:
        if self._fault == place:
            await asyncio.Event().wait()

    async def listen(self, topics: Sequence[str]) -> None:
        await self._at("listen")
        if self._fault == "nobody":
            raise BrokerUnreachableError("nowhere:1", 0.1, "refused")

    async def read(self, timeout_s: float) -> Sequence[RawRecord]:
        await self._at("read")
        await asyncio.sleep(0.01)
        return ()

    async def close(self) -> None:
        await self._at("close")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Hub:
    monkeypatch.setattr(live, "HANGS_AFTER_S", HANGS_AFTER_S)
    monkeypatch.setattr(live, "RETRY_S", 0.01)
    monkeypatch.setattr(live, "KafkaTransport", lambda *_: Way(request.param))
    return Hub(load_settings({}).client, "console")


@pytest.mark.parametrize("hub", ["listen", "read"], indirect=True)
async def test_a_way_that_stands_still_is_not_alive(hub: Hub) -> None:
    async with hub:
        assert hub.alive
        await until(lambda: not hub.alive, "it has stood still for too long")


@pytest.mark.parametrize(("hub", "connected"), [(None, True), ("nobody", False)], indirect=["hub"])
async def test_a_way_on_which_nothing_comes_and_one_that_finds_nobody_stay_alive(hub: Hub, connected: bool) -> None:
    began, seen = time.monotonic(), []

    def longer_than_that() -> bool:
        seen.append(hub.alive)
        return time.monotonic() - began > 3 * HANGS_AFTER_S

    async with hub:
        await until(longer_than_that, "it has gone on for longer than that")
        assert hub.connected is connected
    assert all(seen)
    assert not hub.alive
