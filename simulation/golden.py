"""Golden histories: every decision of one order's workflow, kept in a file, and decided again to see that nothing has changed.

    python -m simulation.golden record tests/golden

An order in flight was begun by yesterday's code and is ended by today's: what was decided once must be decided again. The files
are recorded from the real handlers and never overwritten.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, cast

from pydantic import TypeAdapter

from contracts.envelope import InvalidCommand
from contracts.registry import COMMANDS, EVENT_MODELS, TYPE_OF
from messaging.decision import Decision, Message, Note, SetTimer, TimerFired
from messaging.handler import Parts
from services.orders.domain import Order, Verdict, View, decide
from services.orders.domain.policies import DEFAULTS, Policies
from services.orders.handlers import OrdersBatch, OrdersHandler
from services.orders.store import parse_order
from simulation.parts import Part
from simulation.scenarios import ORDER, Player, Scenario
from simulation.stories import SETS
from simulation.system import System

Step = dict[str, Any]

_COMMAND_MODELS: Final = {name: model for commands in COMMANDS.values() for name, model in commands.items()}
_VERDICT: Final = TypeAdapter(Verdict)
_ORDER: Final = TypeAdapter(Order)

ADVICE: Final = (
    "An order in flight would go on otherwise than it began. If that is meant, make a new version of the workflow instead "
    "(docs/versions.md) and leave this one as it is."
)


# --- recording --------------------------------------------------------------------------------------------------------


def play(scenario: Scenario, version: int) -> list[Step]:
    """What the order decided in the scenario, step by step. Raises `ValueError` where the audit finds anything afterwards."""
    system = System(payment_failure_rate=scenario.failure_rate)
    steps: list[Step] = []
    part = system.parts.of["orders"]
    system.parts.of["orders"] = Part(part.database, lambda: _Recorder(OrdersHandler(system.parts.orders), steps))
    system.crash("orders")
    player = Player(system, version)
    player.open()
    player.play(scenario.script)
    player.close()
    breaches = system.audit()
    if breaches:
        raise ValueError(f"A history that breaks a promise is not golden: {scenario.script}: {breaches}")
    return steps


class _Recorder:
    """The real handler, with somebody who writes down."""

    def __init__(self, handler: OrdersHandler, steps: list[Step]) -> None:
        self._handler = handler
        self._steps = steps
        self.name, self.topics, self.interests = handler.name, handler.topics, handler.interests

    async def load(self, transaction: Any, parts: Parts) -> OrdersBatch:
        """See `Handler.load`."""
        batch = await self._handler.load(transaction, parts)
        views, decide_one = batch.views, batch.move

        def written_down(message: Message, now: datetime) -> Decision[View]:
            before = views[message.key]
            decision = decide_one(message, now)
            if message.key == ORDER:
                self._steps.append(step_of(before, message, now, decision))
            return decision

        batch.move = written_down  # type: ignore[method-assign]
        return batch

    def forget(self, partition: int) -> None:
        """See `Handler.forget`."""
        self._handler.forget(partition)


def step_of(before: View, message: Message, now: datetime, decision: Decision[View]) -> Step:
    """One decision as plain JSON: what came in, and what followed from it. Of the state only what changed."""
    return {"message": _message(message), "now": now.isoformat(), **outcome_of(before, decision)}


def outcome_of(before: View, decision: Decision[View]) -> Step:
    """What was decided. What is as always (a default, nothing said) is left out, so that a new field changes no old file."""
    was, is_ = _state(before.order), _state(decision.state.order)
    changed = {name: is_.get(name) for name in sorted(was.keys() | is_.keys()) if was.get(name) != is_.get(name)}
    found = {
        "says": [_said(said) for said in decision.says],
        "timers": [t.due_at.isoformat() if isinstance(t, SetTimer) else "cancel" for t in decision.timers],
        "state": changed,
        "verdicts": [_VERDICT.dump_python(verdict, mode="json") for verdict in decision.state.fresh],
    }
    return {name: value for name, value in found.items() if value}


def _state(order: Order | None) -> dict[str, Any]:
    return (
        {} if order is None else cast(dict[str, Any], _without_defaults(order, _ORDER.dump_python(order, mode="json")))
    )


def _without_defaults(value: Any, plain: Any) -> Any:
    if is_dataclass(value):
        said = {f.name: getattr(value, f.name) for f in fields(value) if getattr(value, f.name) != f.default}
        return {name: _without_defaults(part, plain[name]) for name, part in said.items()}
    if isinstance(value, tuple):
        return [_without_defaults(part, told) for part, told in zip(value, plain, strict=True)]
    return plain


def _message(message: Message) -> Step:
    told: Step = {"type": message.type, "id": message.id, "source": message.source, "at": message.at.isoformat()}
    match message.data:
        case TimerFired(name, step, due_at):
            told["timer"] = [name, step, due_at.isoformat()]
        case InvalidCommand():
            told["invalid"] = message.data.message
        case data:
            told["data"] = data.model_dump(mode="json", exclude_unset=True)
    return told


def _said(said: Any) -> Step:
    if isinstance(said, Note):
        return {"note": said.type, "data": said.data}
    assert said.key == ORDER
    return {"type": TYPE_OF[type(said.data)][1], "data": said.data.model_dump(mode="json", exclude_defaults=True)}


# --- deciding again ---------------------------------------------------------------------------------------------------


def replay(steps: Sequence[Step], policies: Policies = DEFAULTS) -> Iterator[tuple[int, View, Message, Step]]:
    """Decide every step again, each from the state that was recorded before it: its number, that state, the message, and what
    is decided now, under these policies."""
    state: dict[str, Any] = {}
    verdicts: dict[tuple[str, str], Verdict] = {}
    for number, step in enumerate(steps):
        order = parse_order(json.dumps(state)) if state else None
        before, message = View(order, dict(verdicts)), read_message(step["message"])
        decision = decide(before, message, datetime.fromisoformat(step["now"]), policies)
        yield number, before, message, outcome_of(before, decision)
        state |= step.get("state", {})
        state = {name: value for name, value in state.items() if value is not None}
        for told in step.get("verdicts", ()):
            verdict = _VERDICT.validate_json(json.dumps(told))
            verdicts[verdict.command.source, verdict.command.id] = verdict


def read_message(told: Mapping[str, Any]) -> Message:
    """The message of a recorded step."""
    data: Any
    if "timer" in told:
        name, step, due_at = told["timer"]
        data = TimerFired(name, step, datetime.fromisoformat(due_at))
    elif "invalid" in told:
        data = InvalidCommand(told["id"], told["source"], told["type"], ORDER, told["invalid"])
    else:
        model = _COMMAND_MODELS.get(told["type"]) or EVENT_MODELS[told["type"]]
        data = model.model_validate_json(json.dumps(told["data"]))
    at = datetime.fromisoformat(told["at"])
    return Message(told["type"], ORDER, data, told["id"], told["source"], at, told["id"])


def differences(steps: Sequence[Step], policies: Policies = DEFAULTS) -> list[str]:
    """What is decided otherwise today, or under these policies, than when the steps were recorded, in words."""
    found: list[str] = []
    for number, before, message, today in replay(steps, policies):
        recorded = {name: value for name, value in steps[number].items() if name not in {"message", "now"}}
        for name in sorted(recorded.keys() | today.keys()):
            was, is_ = recorded.get(name), today.get(name)
            if was != is_:
                phase = "NEW" if before.order is None else before.order.phase
                found.append(f"step {number}, {message.type} while {phase}: {name}\n{_told(was, is_)}")
    return found


def _told(was: Any, is_: Any) -> str:
    """Only what differs, down to the field of the message or of the state."""
    if isinstance(was, dict) and isinstance(is_, dict):
        names = sorted(was.keys() | is_.keys())
        return "\n".join(_pair(was.get(n), is_.get(n), f"{n}: ") for n in names if was.get(n) != is_.get(n))
    if isinstance(was, list) and isinstance(is_, list):
        return "\n".join(_pair(a, b, "") for a, b in zip_longest(was, is_) if a != b)
    return _pair(was, is_, "")


def _pair(was: Any, is_: Any, name: str) -> str:
    sides = (("-", was), ("+", is_))
    return "\n".join(f"    {sign} {name}{json.dumps(side)}" for sign, side in sides if side is not None or name)


# --- files ------------------------------------------------------------------------------------------------------------


def write(path: Path, scenario: Scenario, steps: Sequence[Step]) -> None:
    """A line for each step. Raises `FileExistsError` rather than overwriting a history."""
    lines = ",\n".join(json.dumps(step, ensure_ascii=False, separators=(",", ":")) for step in steps)
    with path.open("x", encoding="utf-8") as file:
        file.write(f'{{"scenario":{json.dumps(scenario.script)},"steps":[\n{lines}\n]}}\n')


def read(path: Path) -> list[Step]:
    """The steps of a file."""
    steps: list[Step] = json.loads(path.read_text(encoding="utf-8"))["steps"]
    return steps


def record(folder: Path) -> int:
    """Record every scenario that has no file yet. Returns how many there were."""
    made = 0
    for name, (version, scenarios) in SETS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for title, scenario in scenarios.items():
            path = folder / name / f"{title}.json"
            if not path.exists():
                write(path, scenario, play(scenario, version))
                made += 1
    return made


def main(arguments: Sequence[str]) -> int:
    """`record DIR`: record what is missing there. What is there stays as it is."""
    match arguments:
        case ["record", folder]:
            sys.stdout.write(f"{record(Path(folder))} histories recorded; what was there is untouched.\n")
            return 0
        case _:
            sys.stderr.write("usage: python -m simulation.golden record DIR\n")
            return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
