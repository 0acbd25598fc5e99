"""A recovery run's faults meet a system that has nothing left of the fault before."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import until

from chaos import acts
from chaos.faults import Done
from chaos.plan import Fault, Kind
from chaos.sender import START, Follower

FAULTS = (Fault(0.0, Kind.KILL, "kafka", 0.0), Fault(0.0, Kind.KILL, "postgres", 0.0))


class Load:
    """Orders that are sent, and end, when the test says so."""

    def __init__(self, path: Path) -> None:
        self.follower = Follower()
        self.follower.follow(path)
        self._path = path
        self._sent = 0
        self.scene: Any = None

    def tell(self, line: dict[str, Any]) -> None:
        with self._path.open("a") as record:
            record.write(json.dumps({**line, "at": datetime.now(UTC).isoformat()}) + "\n")
        self.follower.look()

    def send(self) -> str:
        self._sent += 1
        self.tell({"kind": "command", "type": START, "key": f"O-{self._sent}"})
        return f"O-{self._sent}"

    def end(self, key: str) -> None:
        self.tell({"kind": "outcome", "key": key, "outcome": "completed"})


async def turns() -> None:
    """Let the others do whatever they can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_the_next_fault_comes_when_what_had_to_wait_is_worked_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, happened, log, told = scene_of(tmp_path, monkeypatch)
    run = asyncio.create_task(acts.one_by_one(load.scene, FAULTS, log))
    await turns()
    waited, new = load.send(), load.send()
    load.end(new)
    await turns()
    assert log[0].recovered_s is not None
    assert happened == ["kafka"], "an order is still on its way"
    load.end(waited)
    await turns()
    assert happened == ["kafka", "postgres"]
    load.end(load.send())
    async with asyncio.timeout(30):
        await run
    assert len(told) == len(FAULTS), "nothing but the faults is told"


async def test_where_orders_on_their_way_become_no_fewer_the_next_fault_comes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "_FEWER_WITHIN_S", 1e-3)
    load, happened, log, told = scene_of(tmp_path, monkeypatch)
    run = asyncio.create_task(acts.one_by_one(load.scene, FAULTS, log))
    await turns()
    for _ in range(3):
        load.send()
    load.end(load.send())
    await until(lambda: happened == ["kafka", "postgres"] or None, "the second fault")
    assert "3 orders are unfinished still, and 0 were before all faults" in told
    load.end(load.send())
    async with asyncio.timeout(30):
        await run


def scene_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Load, list[str], list[Done], list[str]]:
    """A load in a scene in which nothing takes time; what happened, what is on record of it, and what was said."""
    monkeypatch.setattr(acts, "_POLL_S", 1e-6)
    monkeypatch.setattr(acts, "_CALM_S", 1e-6)
    load, happened, told = Load(tmp_path / "record.jsonl"), list[str](), list[str]()

    class Saboteur:
        def __init__(self, room: object) -> None: ...

        async def perform(self, fault: Fault) -> Done:
            happened.append(fault.target)
            now = datetime.now(UTC).timestamp()
            return Done(fault, now, now, {})

    async def ready() -> None: ...

    monkeypatch.setattr(acts, "Saboteur", Saboteur)
    load.scene = SimpleNamespace(sender=load, room=SimpleNamespace(ready=ready), say=told.append)
    return load, happened, [], told
