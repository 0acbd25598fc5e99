"""A fault counts only if it happened: shown on processes and connections that the test owns."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
from rich.console import Console
from test_chaos_proxy import Bench, Client
from waiting import until

from chaos import faults
from chaos.__main__ import _play_all
from chaos.acts import one_by_one, together
from chaos.cells import Cell
from chaos.crashing import Hit, crash
from chaos.errors import ChaosError, DidNotHappenError, Exit
from chaos.faults import Done, Saboteur
from chaos.plan import Fault, Kind
from chaos.results import Rounds, print_summary, worst
from chaos.room import Room
from chaos.round import Scene
from chaos.sender import START, Follower, Sender, Since
from chaos.verdict import Verdict
from messaging.crash_points import VARIABLE

SLEEPER = "import time; time.sleep(600)"
#: A service that passes one point again and again.
PASSER = """
import time
from messaging.crash_points import arm, reached
arm("orders", 100)
while True:
    time.sleep(0.02)
    reached("after-commit")
"""


class FakeStack:
    """One process, started again when it is killed."""

    def __init__(self, program: str, env: dict[str, str]) -> None:
        self._argv, self._env = [sys.executable, "-c", program], env
        self.stubborn = False
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._argv, env=self._env)

    def kill(self, name: str, signum: int = signal.SIGKILL) -> None:
        if self.stubborn:
            return
        self.process.send_signal(signum)
        if signum == signal.SIGKILL:
            self.process.wait()
            self.process = self._start()


class FakeRoom:
    """What the saboteur asks of a room."""

    def __init__(self, stack: FakeStack) -> None:
        self.stack = stack
        self.proxies: dict[str, Any] = {}

    async def process_ready(self, name: str) -> Any:
        if self.stack.process.poll() is not None:
            self.stack.process = self.stack._start()
        return SimpleNamespace(pid=self.stack.process.pid, state="ready")

    async def ready(self) -> None:
        await self.process_ready("any")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FakeStack]:
    found = FakeStack(SLEEPER, {})
    yield found
    found.process.kill()
    found.process.wait()


@pytest.fixture
def room(stack: FakeStack) -> FakeRoom:
    return FakeRoom(stack)


@pytest.fixture
async def bench(room: FakeRoom) -> AsyncIterator[Bench]:
    found = Bench()
    await found.start()
    room.proxies["orders>kafka"] = found.proxy
    yield found
    found.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_PATIENCE_S", 0.5)


def scene_of(room: FakeRoom) -> Scene:
    """The follower of this one hears of a completed order whenever it is asked."""
    return Scene(cast(Room, room), cast(Sender, SimpleNamespace(follower=LiveFollower())), Verdict(), lambda line: None)


class LiveFollower(Follower):
    @property
    def waiting(self) -> bool:
        self._completed(time.time(), time.time())
        return super().waiting

    def recovery_of(self, done: Any) -> None:
        super().recovery_of(done)
        asyncio.get_running_loop().call_later(0.05, lambda: self._completed(time.time(), time.time()))


async def test_a_kill_is_done_when_the_process_is_gone(room: FakeRoom) -> None:
    before = room.stack.process.pid
    done = await Saboteur(cast(Room, room)).perform(Fault(0, Kind.KILL, "orders"))
    assert done.evidence == {"dead": before}
    assert room.stack.process.pid != before


@pytest.mark.parametrize("kind", [Kind.KILL, Kind.STOP])
async def test_what_nobody_notices_did_not_happen(room: FakeRoom, kind: Kind) -> None:
    room.stack.stubborn = True
    with pytest.raises(DidNotHappenError):
        await Saboteur(cast(Room, room)).perform(Fault(0, kind, "orders", 0.1))


async def test_a_stopped_process_goes_on_and_the_fault_is_over_then(room: FakeRoom) -> None:
    done = await Saboteur(cast(Room, room)).perform(Fault(0, Kind.STOP, "orders", 0.3))
    assert done.over_at - done.began_at >= 0.3
    assert room.stack.process.poll() is None


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.HALF_OPEN, Kind.STALL, Kind.DELAY, Kind.SWALLOW_PRODUCE])
async def test_a_fault_on_a_way_that_nobody_uses_did_not_happen(room: FakeRoom, bench: Bench, kind: Kind) -> None:
    with pytest.raises(DidNotHappenError):
        await Saboteur(cast(Room, room)).perform(Fault(0, kind, "orders>kafka", 0.1))


async def _speak(client: Client) -> None:
    for number in range(1, 10_000):
        await client.ask(number)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.HALF_OPEN, Kind.STALL, Kind.DELAY, Kind.SWALLOW_PRODUCE])
async def test_a_fault_on_a_way_in_use_comes_with_its_evidence(room: FakeRoom, bench: Bench, kind: Kind) -> None:
    speaking = asyncio.create_task(_speak(await bench.client()))
    done = await Saboteur(cast(Room, room)).perform(Fault(0, kind, "orders>kafka", 0.1))
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    assert done.evidence
    assert all(count > 0 for count in done.evidence.values())


async def test_a_client_that_only_just_began_is_met_on_the_connection_that_it_then_uses(
    room: FakeRoom, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "_SILENT_S", 0.1)
    monkeypatch.setattr(faults, "_PATIENCE_S", 30.0)
    await bench.client()  # as aiokafka's to the bootstrap server: once it has asked, it says nothing there any more
    await until(lambda: bench.proxy.connections == 1, "the proxy has the connection")
    fault = asyncio.create_task(Saboteur(cast(Room, room)).perform(Fault(0, Kind.HALF_OPEN, "orders>kafka")))
    await until(lambda: bench.proxy.connections == 0, "it is half-open")
    speaking = asyncio.create_task(_speak(await bench.client()))
    done = await fault
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    assert done.evidence["connections"] == 2
    assert done.evidence["first_bytes_lost"] > 0


@pytest.mark.parametrize("act", [together, one_by_one])
async def test_every_fault_of_a_plan_is_done_and_one_that_met_nobody_makes_the_run_invalid(
    room: FakeRoom, bench: Bench, act: Any
) -> None:
    scene, log = scene_of(room), list[Done]()
    plan = [Fault(0, Kind.KILL, "orders"), Fault(0.1, Kind.STOP, "orders", 0.1), Fault(0.2, Kind.CUT, "orders>kafka")]
    await act(scene, plan, log)
    assert [done.fault.kind for done in log] == [Kind.KILL, Kind.STOP]
    assert all(done.recovered_s is not None for done in log)
    assert len(scene.verdict.invalid) == 1
    assert scene.verdict.exit is Exit.INVALID


@pytest.mark.parametrize("kind", ["kill", "exception", "freeze"])
async def test_a_cell_is_hit_and_one_that_is_never_reached_makes_the_run_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr("chaos.crashing._HIT_DEADLINE_S", 5.0)
    stack = FakeStack(PASSER, {VARIABLE: str(tmp_path)})
    scene, hits = scene_of(FakeRoom(stack)), list[Hit]()
    reaping = asyncio.create_task(_reap(stack))
    try:
        await crash(
            scene, [Cell("orders", "after-commit", kind), Cell("orders", "after-load", kind)], tmp_path, hits, 1
        )
    finally:
        reaping.cancel()
        stack.process.kill()
        stack.process.wait()
    assert [(hit.cell.point, hit.recovered_s is not None) for hit in hits] == [("after-commit", True)]
    assert [line.split(":")[0] for line in scene.verdict.invalid] == [f"{kind} after-load orders"]


async def _reap(stack: FakeStack) -> None:
    """As the supervisor does: a process that has ended is waited for."""
    while True:
        stack.process.poll()
        await asyncio.sleep(0.02)


def _line(**fields: Any) -> str:
    return json.dumps({"at": datetime.now(UTC).isoformat(), **fields}) + "\n"


def test_recovery_is_the_first_completed_order_that_was_sent_after_the_fault(tmp_path: Path) -> None:
    record, follower = tmp_path / "record.jsonl", Follower()
    follower.follow(record)
    record.write_text(_line(kind="command", type=START, key="before"))
    follower.look()
    recovery = Since(time.time())
    follower.recovery_of(recovery)
    with record.open("a") as file:
        file.write(_line(kind="outcome", key="before", outcome="completed"))
        file.write(_line(kind="command", type=START, key="cancelled") + _line(kind="command", type=START, key="after"))
        file.write(_line(kind="outcome", key="cancelled", outcome="cancelled"))
        file.write('{"kind": "outc')
    follower.look()
    assert recovery.recovered_s is None
    with record.open("a") as file:
        file.write('ome", ' + _line(key="after", outcome="completed")[1:])
    follower.look()
    assert recovery.recovered_s is not None
    assert recovery.recovered_s >= 0
    assert (follower.sent, dict(follower.outcomes)) == (3, {"completed": 2, "cancelled": 1})


@pytest.mark.parametrize("error", [ChaosError("no"), ValueError("nobody foresaw")])
def test_a_run_that_could_not_be_made_says_nothing_about_the_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("chaos.results.PROOF", tmp_path)

    async def one(number: int, say: Any) -> dict[str, Any]:
        raise error

    with pytest.raises(typer.Exit) as ended:
        _play_all(Rounds("kill-run", "one", {}), 1, one)
    assert ended.value.exit_code == Exit.COULD_NOT_RUN


def test_a_round_is_kept_unless_it_was_invalid_and_the_worst_one_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.results.PROOF", tmp_path)
    kept = Rounds("kill-run", "one", {"seed": "1"})
    load = {"orders": 9, "kept_rate_per_s": 3.0, "asked_rate_per_s": 5.0}
    done = Done(Fault(1, Kind.KILL, "orders"), 1.0, 1.0, {"dead": 1}, 2.5)
    plain = {"load": load, "audit": {}, "acted_s": 1.0, "violations": [], "invalid": [], "faults": [done.row()]}
    results = [
        kept.write(number, {**plain, "exit": int(code)})
        for number, code in enumerate((Exit.OK, Exit.INVALID, Exit.VIOLATED), 1)
    ]
    assert [kept.played(number) is not None for number in (1, 2, 3, 4)] == [True, False, True, False]
    assert [worst(results[:count]) for count in (1, 2, 3)] == [Exit.OK, Exit.INVALID, Exit.VIOLATED]
    with (tmp_path / "table").open("w") as file:
        print_summary(Console(file=file, width=200), results)
    assert "kill: a service that orders need" in (tmp_path / "table").read_text()
