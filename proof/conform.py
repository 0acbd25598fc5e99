"""`python -m proof.conform`: simulated histories, lived again through the real stores on a real PostgreSQL, leave the same rows.

    python -m proof.conform --histories 10000 --seed 1    # goes on where it was interrupted

A world holds a handful of orders; each order's history counts. World `n` of a seed has the seed `1000000 * seed + n`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from devstack.ports import free_offset
from devstack.postgres import SUPERUSER, postgres_process
from devstack.processes import Plan
from devstack.progress import silent
from devstack.settings import make_home
from devstack.stack import Stack
from proof import results
from proof.conformance.replay import HANDLERS, DifferentError, Room, open_room, replay
from proof.conformance.worlds import World, live
from simulation.campaign.many import collected_between_worlds

WORLDS_PER_SEED: Final = 1_000_000


async def open_rooms(superuser: str, dsn_of: Callable[[str], str]) -> list[Room]:
    """A room for each service."""
    return [await open_room(superuser, dsn_of, service) for service in HANDLERS]


async def conform(world: World, rooms: list[Room]) -> dict[str, int]:
    """Live the world again, service by service. Returns what that was; raises `DifferentError`."""
    lived = [await replay(world, room) for room in rooms]
    return {
        "worlds": 1,
        "histories": len(world.system.orders()),
        "calls": sum(part.calls for part in lived),
        "archived": sum(part.archived for part in lived),
    }


async def _judge(number: int, rooms: list[Room], result: dict[str, Any]) -> None:
    """Live a world again, and one that was different a second time: where it is not so then, a real clock had its say (this
    process was stopped for longer than a statement may take), which is told beside the result."""
    found = []
    for _ in range(2):
        try:
            counts = await conform(live(number), rooms)
        except DifferentError as error:
            found.append({"world": number, "why": str(error)[:4000]})
        else:
            result["only_once"] += found
            for name, count in counts.items():
                result[name] += count
            return
    result["different"].append(found[-1])


async def _run(stack: Stack, seed: int, histories: int, for_s: float, result: dict[str, Any]) -> None:
    settings = stack.settings
    superuser = settings.own_dsn(SUPERUSER, SUPERUSER)
    rooms = await open_rooms(superuser, lambda name: settings.own_dsn(SUPERUSER, name))
    began, told_at = time.monotonic(), 0.0
    try:
        while result["histories"] < histories and not result["different"] and time.monotonic() - began < for_s:
            gc.collect()
            await _judge(WORLDS_PER_SEED * seed + result["worlds"], rooms, result)
            if time.monotonic() - told_at > 5 or result["histories"] >= histories:
                told_at = time.monotonic()
                results.write("conform", seed, result)
                print(f"{result['histories']:,} of {histories:,} histories in {result['worlds']:,} worlds", flush=True)
    finally:
        results.write("conform", seed, result)
        for room in rooms:
            await room.close()


def run(seed: int, histories: int, for_s: float, home: Path, result: dict[str, Any]) -> None:
    """On a PostgreSQL of its own in `home`."""
    stack = Stack(home, free_offset())
    stack.down(wipe=True)
    try:
        make_home(stack.settings)
        stack.start(Plan(backends=(postgres_process(stack.settings, silent),)))
        with collected_between_worlds():
            asyncio.run(_run(stack, seed, histories, for_s, result))
    finally:
        stack.down(wipe=True)


def main(arguments: list[str]) -> int:
    """0: the same rows. 1: other rows. 3: not finished within `--for-s`; the same command goes on."""
    parser = argparse.ArgumentParser(prog="python -m proof.conform", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--for-s", type=float, default=float("inf"), help="stop after so long; the next call goes on")
    parser.add_argument("--fresh", action="store_true", help="from the beginning, whatever ran before")
    asked = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what goes wrong in the worlds goes wrong on purpose
    fresh: dict[str, Any] = {"worlds": 0, "histories": 0, "calls": 0, "archived": 0, "different": [], "only_once": []}
    result = fresh | ((None if asked.fresh else results.read("conform", asked.seed)) or {})
    run(asked.seed, asked.histories, asked.for_s, results.CLONE / ".devstack" / "conform", result)
    for found in result["only_once"]:
        print(f"different, and not a second time: world {found['world']}: {found['why']}")
    for found in result["different"]:
        print(f"different: world {found['world']}: {found['why']}")
    if result["different"]:
        return 1
    return 0 if result["histories"] >= asked.histories else 3


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
