"""A batch's commit as one statement: its parts, one per table, as data-modifying CTEs, and the checks that undo it all."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from messaging import postgres_lanes as lanes
from messaging import postgres_sql as sql
from messaging.decision import SetTimer
from messaging.ports import Commit, Wire
from messaging.postgres_lanes import headers_json

_PLACEHOLDER: Final = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """One write: its name, its SQL with its own `$1`, `$2`, and how many rows it must return (None: it may be any)."""

    name: str
    text: str
    arguments: tuple[Any, ...]
    rows: int | None


def compose(parts: Sequence[Part]) -> tuple[str, list[Any]]:
    """One statement of all the parts, their placeholders renumbered one after the other."""
    arguments: list[Any] = []
    texts: list[str] = []
    checks: list[str] = []
    for part in parts:
        base = len(arguments)
        texts.append(f"{part.name} AS ({_PLACEHOLDER.sub(lambda found, b=base: f'${int(found[1]) + b}', part.text)})")  # type: ignore[misc]
        arguments.extend(part.arguments)
        if part.name == "fence":
            checks.append("expect_fence((SELECT count(*) FROM fence))")
        elif part.rows is not None:
            arguments.append(part.rows)
            checks.append(f"expect_rows('{part.name}', ${len(arguments)}, (SELECT count(*) FROM {part.name}))")
    return f"WITH {', '.join(texts)} SELECT {' AND '.join(checks)}", arguments


def runtime_parts(commit: Commit) -> list[Part]:
    """What a batch changes in the runtime's own tables."""
    expected = {topic: commit.expected[topic] for topic in commit.offsets}
    fence = (
        commit.partition,
        commit.epoch,
        json.dumps(commit.offsets),
        json.dumps(expected),
        commit.next_seq,
    )
    parts = [Part("fence", sql.FENCE, fence, None)]
    if commit.outbox:
        parts.append(Part("outbox_rows", sql.ADD_OUTBOX, (commit.partition, *_columns(commit.outbox)), None))
    if commit.timers:
        wanted = [timer for timer in commit.timers.values() if isinstance(timer, SetTimer)]
        gone = [timer for timer in commit.timers.values() if not isinstance(timer, SetTimer)]
        if wanted:
            rows = [(timer.key, timer.name, timer.step, timer.due_at) for timer in wanted]
            parts.append(
                Part("timers_set", sql.SET_TIMERS, (commit.partition, *map(list, zip(*rows, strict=True))), None)
            )
        if gone:
            keys = [(timer.key, timer.name) for timer in gone]
            parts.append(
                Part("timers_gone", sql.CANCEL_TIMERS, (commit.partition, *map(list, zip(*keys, strict=True))), None)
            )
    done = set(commit.effects_done)
    asked = [effect for effect in commit.effects if effect.id not in done]
    if asked:
        effects = [(e.id, e.key, e.kind, e.request.model_dump_json()) for e in asked]
        parts.append(
            Part("effects_asked", sql.ADD_EFFECTS, (commit.partition, *map(list, zip(*effects, strict=True))), None)
        )
    if done:
        parts.append(Part("effects_gone", sql.END_EFFECTS, (commit.partition, sorted(done)), None))
    if commit.lanes is not None:
        parts.extend(Part(*part) for part in lanes.lane_parts(commit.partition, commit.lanes))
    return parts


def _columns(wires: Sequence[Wire]) -> tuple[list[Any], ...]:
    return (
        [wire.seq for wire in wires],
        [wire.partition for wire in wires],
        [wire.topic for wire in wires],
        [wire.type for wire in wires],
        [wire.key for wire in wires],
        [wire.value for wire in wires],
        [None if wire.headers is None else headers_json(wire.headers) for wire in wires],
    )
