"""`python -m chaos`: the kill run, the recovery run and the crash points.

Exit codes: 0 nothing was lost, 1 a promise was broken, 2 could not run, 3 invalid (something that was planned did not happen).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, Final

import typer
import uvloop
from rich.console import Console

from chaos import acts, cells, crashing
from chaos.errors import ChaosError, Exit
from chaos.faults import Done
from chaos.plan import Fault, Kind, kill_run, one_by_one
from chaos.provoke import CALL_TIMEOUT_S
from chaos.results import HOME, Rounds, commit, print_summary, worst
from chaos.round import Say, Setup, play
from chaos.sender import Mix
from devstack.errors import DevstackError
from messaging.crash_points import VARIABLE
from messaging.logs import LogSettings, configure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
console = Console(stderr=True, highlight=False)

Round = Callable[[int, Say], Coroutine[Any, Any, dict[str, Any]]]
SeedOption = Annotated[str, typer.Option(help="Decides the plan.")]
RateOption = Annotated[float, typer.Option(min=1, help="Orders per second.")]
RoundsOption = Annotated[int, typer.Option(min=1, help="How often, each time on a fresh stack; played ones are kept.")]
RunOption = Annotated[str | None, typer.Option(help="The folder of the results. Default: commit and parameters.")]
_TAIL_S: Final = 10.0
#: One fault at a time: the load is sent in runs of this length.
_RUN_S: Final = 30.0


@app.command("kill-run")
def kill_run_command(
    seed: SeedOption = "1",
    kills: Annotated[int, typer.Option(min=1, help="kill -9 in each round; as many other faults come between.")] = 20,
    seconds: Annotated[float, typer.Option(min=10, help="The length of a round's plan.")] = 120,
    rate: RateOption = 50.0,
    rounds: RoundsOption = 1,
    run: RunOption = None,
) -> None:
    """Kill, stop and cut everything under load, whatever it meets; then audit."""
    name = run or f"{commit()}-seed-{seed}-{kills}-kills-in-{seconds:g}-s"
    kept = Rounds("kill-run", name, {"seed": seed, "kills": kills, "seconds": seconds})

    def faults(number: int) -> Sequence[Fault]:
        return kill_run(f"{seed}-{number}", kills, seconds)

    _play_all(kept, rounds, _faults_round(kept, faults, rate, together=True))


@app.command("recovery")
def recovery_command(
    seed: SeedOption = "1",
    kinds: Annotated[str, typer.Option(help="With commas; see chaos/plan.py.")] = ",".join(Kind),
    each: Annotated[int, typer.Option(min=1, help="Of each kind in a round; of services, PostgreSQL and Kafka.")] = 3,
    rate: RateOption = 50.0,
    rounds: RoundsOption = 10,
    run: RunOption = None,
) -> None:
    """One fault at a time: how soon is the next new order through?"""
    wanted = tuple(Kind(kind) for kind in kinds.split(","))
    name = run or f"{commit()}-seed-{seed}-{each}-{'-'.join(wanted)}"
    kept = Rounds("recovery", name, {"seed": seed, "each": each})

    def faults(number: int) -> Sequence[Fault]:
        return one_by_one(f"{seed}-{number}", wanted, each)

    _play_all(kept, rounds, _faults_round(kept, faults, rate, together=False))


@app.command("crash-points")
def crash_points_command(
    seed: SeedOption = "1",
    fast: Annotated[bool, typer.Option("--fast", help="Every point once, in one round, instead of all cells.")] = False,
    times: Annotated[int, typer.Option(min=1, help="How often every cell is hit.")] = 3,
    rate: RateOption = 25.0,
    at_once: Annotated[int, typer.Option(min=1, help="Services that come to grief at a time.")] = 2,
    rounds: Annotated[int | None, typer.Option(help="Only so many of the rounds, from the first one.")] = None,
    run: RunOption = None,
) -> None:
    """Have each service killed, frozen and in error at every point of the runtime; then audit."""
    plan = (cells.fast(seed),) if fast else cells.long(seed, times)
    kept = Rounds("crash-points", run or f"{commit()}-seed-{seed}-{'fast' if fast else times}", {"seed": seed})

    async def one(number: int, say: Say) -> dict[str, Any]:
        wanted = plan[number - 1]
        folder, hits = kept.folder / f"round-{number:02d}", list[crashing.Hit]()
        frozen = tuple(dict.fromkeys(cell.service for cell in wanted if cell.kind == cells.FREEZE))
        env = {VARIABLE: str(folder), "PAYMENT_CALL_TIMEOUT_S": str(CALL_TIMEOUT_S)}
        setup = Setup(HOME, folder, Mix(rate), number, _RUN_S, _RUN_S, env=env, standbys=frozen)
        say(f"round {number} of {len(plan)}: {len(wanted)} cells")
        result = await play(setup, lambda scene: crashing.crash(scene, wanted, folder, hits, at_once), say)
        return {**result, "hits": [hit.row() for hit in hits]}

    _play_all(kept, rounds or len(plan), one)


def _faults_round(kept: Rounds, plan: Callable[[int], Sequence[Fault]], rate: float, *, together: bool) -> Round:
    async def one(number: int, say: Say) -> dict[str, Any]:
        faults, log = plan(number), list[Done]()
        say(f"round {number}: {len(faults)} faults")
        first_s = max(fault.at_s + fault.lasts_s for fault in faults) + _TAIL_S if together else _RUN_S
        folder = kept.folder / f"round-{number:02d}"
        setup = Setup(HOME, folder, Mix(rate), number, first_s, _TAIL_S if together else _RUN_S)
        act = acts.together if together else acts.one_by_one
        result = await play(setup, lambda scene: act(scene, faults, log), say)
        return {**result, "faults": [done.row() for done in log]}

    return one


def _play_all(kept: Rounds, rounds: int, one: Round) -> None:
    """Play what was not played yet, and sum up."""
    configure(LogSettings(level="ERROR"), "chaos", f"chaos-{os.getpid()}", {"aiokafka": logging.CRITICAL + 1})
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} {line}", markup=False, soft_wrap=True)

    results: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        played = kept.played(number)
        if played is None:
            try:
                played = kept.write(number, uvloop.run(one(number, say)))
            except (ChaosError, DevstackError) as error:
                console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
                raise typer.Exit(Exit.COULD_NOT_RUN) from None
            except Exception as error:
                # Python's own exit code would say that a promise was broken.
                console.print_exception()
                raise typer.Exit(Exit.COULD_NOT_RUN) from error
        results.append(played)
    print_summary(console, results)
    console.print(f"results: {kept.folder}")
    raise typer.Exit(worst(results))


if __name__ == "__main__":
    app()
