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
#: What is being worked off becomes less within this.
_FEWER_WITHIN_S: Final = 5.0


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
    """Wait until no more orders are unfinished than usual, or until they become fewer no more: then a slower moment of the machine
    has more of them on their way, or has too much to do without any fault, which is told, and is no breach."""
    least, before = await _fewest_unfinished(scene, usual), None
    while least > usual and (before is None or least < before):
        least, before = await _fewest_unfinished(scene, usual), least
    if least > usual:
        scene.say(f"{least} orders are unfinished still, and {usual} were before all faults")


async def _fewest_unfinished(scene: Scene, usual: int) -> int:
    """How few orders are on their way at some moment of the next seconds; at once when there are no more than usual."""
    until = time.monotonic() + _FEWER_WITHIN_S
    least = scene.sender.follower.unfinished
    while least > usual and time.monotonic() < until:
        await asyncio.sleep(_POLL_S)
        least = min(least, scene.sender.follower.unfinished)
    return least


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
