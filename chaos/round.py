"""A round: a fresh stack under load, something that is done to it, and the verdict when all has come to rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaos.errors import ChaosError
from chaos.room import Room
from chaos.sender import Mix, Sender
from chaos.verdict import Verdict, judge
from devstack.errors import DevstackError

Say = Callable[[str], None]

#: Nothing is done before so many orders have completed.
_WARM: Final = 30
_WARM_DEADLINE_S: Final = 240.0
_POLL_S: Final = 0.1
#: All that was sent has to end so soon after the last fault.
_REST_DEADLINE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Setup:
    """Where a round is played and under which load: `first_s` long, and on in runs of `later_s` until all is done."""

    home: Path
    folder: Path
    mix: Mix
    seed: int
    first_s: float
    later_s: float
    payment_failure_rate: float = 0.05
    env: Mapping[str, str] = field(default_factory=dict)
    standbys: Sequence[str] = ()


@dataclass(slots=True)
class Scene:
    """What those who do something have: the stack, the load, and where they write down what did not go well."""

    room: Room
    sender: Sender
    verdict: Verdict
    say: Say


async def play(setup: Setup, act: Callable[[Scene], Awaitable[None]], say: Say) -> dict[str, Any]:
    """The round's result. Raises `ChaosError` or `DevstackError` where it could not even begin."""
    setup.folder.mkdir(parents=True, exist_ok=True)
    began, verdict, acted_s = time.monotonic(), Verdict(), 0.0
    env = {"PAYMENT_FAILURE_RATE": str(setup.payment_failure_rate), **setup.env}
    async with Room(setup.home, env, setup.standbys, say) as room:
        sender = Sender(setup.mix, setup.seed, setup.folder, room.environment)
        sending = asyncio.create_task(sender.run(setup.first_s, setup.later_s))
        try:
            await _warm(sender, sending)
            acting_began = time.monotonic()
            try:
                await act(Scene(room, sender, verdict, say))
                acted_s = time.monotonic() - acting_began
                say(f"all is done after {acted_s:.0f} s and {sender.follower.sent} orders; the rest has to end now")
                await room.ready()
            except DevstackError as error:
                verdict.violations.append(f"something does not come up again: {error}")
            sender.stop()
            await _all_end(sending, verdict)
            say("the audit looks")
            await judge(room.environment, sender.records, verdict)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    _require_the_mix(sender, setup.mix, verdict)
    return {
        "load": _load(setup, sender),
        "took_s": round(time.monotonic() - began, 1),
        "acted_s": round(acted_s, 1),
        "violations": verdict.violations,
        "invalid": verdict.invalid,
        "audit": verdict.audit,
        "exit": int(verdict.exit),
    }


async def _warm(sender: Sender, sending: asyncio.Task[None]) -> None:
    deadline = time.monotonic() + _WARM_DEADLINE_S
    while sender.follower.outcomes["completed"] < _WARM:
        if sending.done():
            sending.result()
        if time.monotonic() > deadline:
            raise ChaosError(f"only {sender.follower.outcomes['completed']} orders completed before anything was done")
        await asyncio.sleep(_POLL_S)


async def _all_end(sending: asyncio.Task[None], verdict: Verdict) -> None:
    try:
        async with asyncio.timeout(_REST_DEADLINE_S):
            await sending
    except TimeoutError:
        verdict.violations.append(f"the load did not end within {_REST_DEADLINE_S:.0f} s")
    except ChaosError as error:
        verdict.violations.append(str(error))


def _require_the_mix(sender: Sender, mix: Mix, verdict: Verdict) -> None:
    found = sender.ends()
    wanted = {"completed", *(name for name, share in mix.shares.items() if share > 0)}
    verdict.invalid += [f"no order ended as {name}" for name in sorted(name for name in wanted if not found[name])]


def _load(setup: Setup, sender: Sender) -> dict[str, Any]:
    follower = sender.follower
    return {
        "asked_rate_per_s": setup.mix.rate_per_s,
        "kept_rate_per_s": round(follower.rate_per_s, 2),
        "orders": follower.sent,
        "ends": dict(sender.ends()),
        "payment_failure_rate": setup.payment_failure_rate,
        "runs": sender.results,
    }
