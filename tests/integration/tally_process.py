"""The tally as a process of its own, wired like any service; for tests that end it as operating systems do."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tally import MIGRATIONS, SERVICE, TOPICS, Ask, PostgresTally, TallyHandler

from messaging import host
from messaging.app import Service, run
from messaging.kafka import Deliver, GroupReader
from messaging.settings import Settings

EFFECT_S = float(os.environ.get("TALLY_EFFECT_S", "60"))


class Asker:
    """Answers after a while; whoever died meanwhile has not answered."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s

    def read(self, kind: str, request: bytes) -> Ask:
        return Ask.model_validate_json(request)

    async def perform(self, kind: str, request: Any, resumed: bool) -> str:
        await asyncio.sleep(self._after_s)
        return "resumed" if resumed else "done"


async def build(settings: Settings) -> Service:
    return Service(SERVICE, TOPICS, MIGRATIONS, TallyHandler(PostgresTally()), performer=Asker(EFFECT_S))


async def hear_nothing(reader: GroupReader, deliver: Deliver) -> None:
    """A reader that lives and receives nothing (aiokafka#1037)."""
    await asyncio.Event().wait()


if __name__ == "__main__":
    if os.environ.get("TALLY_DEAF"):
        host.LOOK_EVERY_S = 0.2  # type: ignore[misc]
        GroupReader.pump = hear_nothing  # type: ignore[method-assign]
    raise SystemExit(run(SERVICE, build))
