"""What the containers themselves promise: none is root's, none can write to its file system, each drains when it is stopped."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Final

import pytest
from waiting import until

from contracts.ports import HTTP_PORTS
from e2e.compose import ComposeStack
from e2e.shop import Shop
from e2e.stack import CLONE, Place, Stack
from e2e.tools import orderctl

OURS: Final = (*HTTP_PORTS, "watcher", "smtp-sink")
DRAINED_WITHIN_S: Final = 10.0
#: Tries to write beside the code, looks for what only a build needs, and tells who it is.
LOOK: Final = "id -u; touch /app/x 2>/dev/null && echo wrote; for tool in pip gcc cc make git curl; do command -v $tool; done; true"

#: Whose dependencies are not simply a service's, and in which file they stand.
LOCKED: Final = {
    "notification": "notification",
    "recommendation-learner": "recommendation-learner",
    "console": "console",
    "watcher": "runtime",
    "smtp-sink": "smtp-sink",
}
DISTRIBUTIONS: Final = """
import importlib.metadata, json, re
print(json.dumps({re.sub("[-_.]+", "-", found.name).lower(): found.version for found in importlib.metadata.distributions()}))
"""


@pytest.fixture
def boxes(stack: Stack | ComposeStack | None, place: Place) -> ComposeStack:
    """The stack in containers."""
    if not isinstance(stack, ComposeStack):
        pytest.skip("the stack is not in containers (E2E_STACK=compose)")
    return stack


async def test_every_container_is_healthy_and_the_jobs_have_ended_well(boxes: ComposeStack) -> None:
    def starting() -> list[str]:
        return [name for name, one in boxes.status().items() if one.get("Health", {}).get("Status") == "starting"]

    # Ready is what answers; the engine looks at each after a while of its own.
    await until(lambda: not starting(), lambda: f"{starting()} have a health", every_s=1)
    states = boxes.status()
    jobs = {name: states.pop(name) for name in ("provision", "ready")}
    assert {name: (job["Status"], job["ExitCode"]) for name, job in jobs.items()} == dict.fromkeys(jobs, ("exited", 0))
    assert {name: state["Health"]["Status"] for name, state in states.items()} == dict.fromkeys(states, "healthy")
    assert set(states) == {*OURS, "kafka", "postgres"}


@pytest.mark.parametrize("name", OURS)
def test_a_container_is_not_roots_cannot_write_beside_its_code_and_has_no_build_tools(
    boxes: ComposeStack, name: str
) -> None:
    assert boxes.run_in(name, "sh", "-c", LOOK).split() == ["10001"]


@pytest.mark.parametrize("name", OURS)
def test_a_container_holds_no_dependency_but_the_locked_ones_of_its_process(boxes: ComposeStack, name: str) -> None:
    file = LOCKED.get(name, "service")
    lock = (CLONE / "requirements" / "images" / f"{file}.txt").read_text()
    locked = dict(re.findall(r"(?m)^([\w.-]+)==([^ ;]+)", lock))
    held = json.loads(boxes.run_in(name, "python", "-c", DISTRIBUTIONS))
    assert held
    assert {name: version for name, version in held.items() if locked.get(name) != version} == {}


@pytest.mark.slow
async def test_a_container_that_is_stopped_under_load_drains_in_time_and_ends_with_0(
    boxes: ComposeStack, place: Place, shop: Shop, tmp_path: Path
) -> None:
    record = tmp_path / "load.jsonl"
    arguments = ("load", "--orders", "400", "--rate", "8", "--seed", "5", "--json", "--record", str(record))
    load = asyncio.create_task(orderctl(place, *arguments, "--timeout", "120", timeout_s=240))
    await until(lambda: record.exists() and record.stat().st_size > 0, "orders come in", 180)
    told = {}
    for name in OURS:
        told[name] = await boxes.stop(name)
        await boxes.start(name)
        await boxes.wait_ready()
    assert {name: code for name, (code, _) in told.items()} == dict.fromkeys(OURS, 0)
    assert {name: seconds for name, (_, seconds) in told.items() if seconds > DRAINED_WITHIN_S} == {}
    done = await load
    assert done.returncode == 0, done.output[-3000:]
    assert json.loads(done.stdout)["finished"]
