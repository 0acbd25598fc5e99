"""The load's runs follow one another as they should."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos import sender as module
from chaos.sender import START, Mix, Sender

RATE, ORDERS, RUNS, OVERLAP = 10.0, 100, 12, 30


def order(number: int) -> str:
    line = {"kind": "command", "type": START, "key": f"O-{number}", "at": datetime.now(UTC).isoformat()}
    return json.dumps(line) + "\n"


async def test_each_run_begins_when_the_one_before_has_three_seconds_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0)
    sender = Sender(Mix(RATE), 1, tmp_path, {})
    left_by_run: list[int] = []
    unsent_at_start: list[int] = []

    async def send(argv: tuple[str, ...], log: Path) -> None:
        """In place of `orderctl load`: an order each time that somebody else may go on."""
        unsent_at_start.append(sum(left_by_run))
        number = len(left_by_run)
        left_by_run.append(ORDERS)
        if len(left_by_run) == RUNS:
            sender.stop()
        with Path(argv[argv.index("--record") + 1]).open("a") as record:  # noqa: ASYNC230 - a short line to a local file
            while left_by_run[number]:
                record.write(order(number * ORDERS + left_by_run[number]))
                record.flush()
                left_by_run[number] -= 1
                await asyncio.sleep(0)

    monkeypatch.setattr(sender, "_to_its_end", send)
    async with asyncio.timeout(30):
        await sender.run(ORDERS / RATE, ORDERS / RATE)
    assert sender.follower.sent == RUNS * ORDERS
    first, *later = unsent_at_start
    assert first == 0
    assert all(0 < unsent <= OVERLAP for unsent in later), "overlaps do not add up"
