"""What a kill run and a recovery run do to the stack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from chaos.errors import DidNotHappenError
from chaos.faults import Done, Saboteur
from chaos.plan import Fault
from chaos.round import Scene

#: A new order is through so soon after a fault, or the system stands still.
RECOVERY_DEADLINE_S: Final = 90.0
_POLL_S: Final = 0.1
#: Between two faults that come one at a time.
_CALM_S: Final = 2.0


async def together(scene: Scene, faults: Sequence[Fault], log: list[Done]) -> None:
    """Every fault at its time, whatever it meets; returns when all of them are over and orders go through again."""
    saboteur, began = Saboteur(scene.room), time.monotonic()

    async def one(fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        await _perform(scene, saboteur, fault, log, began)

    await asyncio.gather(*(one(fault) for fault in faults))
    await _recovered(scene, log)


async def one_by_one(scene: Scene, faults: Sequence[Fault], log: list[Done]) -> None:
    """One fault, until an order that was sent after it is through, everything runs again and what had to wait meanwhile is worked
    off, then the next one: it shall be met by a system that has nothing left of the one before."""
    saboteur, began = Saboteur(scene.room), time.monotonic()
    usual = await _most_unfinished(scene)
    for fault in faults:
        await _perform(scene, saboteur, fault, log, began)
        await _recovered(scene, log)
        await scene.room.ready()
        await _worked_off(scene, usual)
        await asyncio.sleep(_CALM_S)


async def _most_unfinished(scene: Scene) -> int:
    """How many orders are on their way at a time, while nothing is wrong."""
    most = 0
    for _ in range(round(_CALM_S / _POLL_S)):
        most = max(most, scene.sender.follower.unfinished)
        await asyncio.sleep(_POLL_S)
    return most


async def _worked_off(scene: Scene, usual: int) -> None:
    """Wait until no more orders are unfinished than usual. A system that does not get there has too much to do without any fault,
    which is told, and is no breach."""
    deadline = time.monotonic() + RECOVERY_DEADLINE_S
    while scene.sender.follower.unfinished > usual:
        if time.monotonic() > deadline:
            scene.say(
                f"{scene.sender.follower.unfinished} orders are unfinished still, and {usual} were before all faults"
            )
            return
        await asyncio.sleep(_POLL_S)


async def _perform(scene: Scene, saboteur: Saboteur, fault: Fault, log: list[Done], began: float) -> None:
    try:
        done = await saboteur.perform(fault)
    except DidNotHappenError as error:
        scene.verdict.invalid.append(f"{fault.label}: {error}")
        scene.say(f"INVALID: {fault.label}: {error}")
        return
    scene.sender.follower.recovery_of(done)
    log.append(done)
    scene.say(f"[{time.monotonic() - began:5.1f} s] {len(log)}: {fault.label} {done.evidence}")


async def _recovered(scene: Scene, log: Sequence[Done]) -> None:
    deadline = time.monotonic() + RECOVERY_DEADLINE_S
    while scene.sender.follower.waiting:
        if time.monotonic() > deadline:
            late = [done.fault.label for done in log if done.recovered_s is None]
            scene.verdict.violations.append(
                f"no new order was through {RECOVERY_DEADLINE_S:.0f} s after {', '.join(late)}"
            )
            return
        await asyncio.sleep(_POLL_S)
