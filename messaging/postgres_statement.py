"""A batch's commit as one statement: its parts, one per table, as data-modifying CTEs, and the checks that undo it all."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from messaging import postgres_lanes as lanes
from messaging import postgres_sql as sql
from messaging.decision import CancelTimer, SetTimer
from messaging.ports import Commit, PostponedTimer, Wire
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
            # Of each partition one row, or it is another's.
            arguments.append(part.rows)
            checks.append(f"expect_fence((SELECT count(*) FROM fence) - ${len(arguments)} + 1)")
        elif part.rows is not None:
            arguments.append(part.rows)
            checks.append(f"expect_rows('{part.name}', ${len(arguments)}, (SELECT count(*) FROM {part.name}))")
    return f"WITH {', '.join(texts)} SELECT {' AND '.join(checks)}", arguments


def runtime_parts(commits: Sequence[Commit]) -> list[Part]:
    """What batches change in the runtime's own tables."""
    commits = sorted(commits, key=lambda commit: commit.partition)
    fences = [
        (
            commit.partition,
            commit.epoch,
            json.dumps(commit.offsets),
            json.dumps({topic: commit.expected[topic] for topic in commit.offsets}),
            commit.next_seq,
        )
        for commit in commits
    ]
    ended = {(commit.partition, done) for commit in commits for done in commit.effects_done}
    timers = [(commit.partition, timer) for commit in commits for timer in commit.timers.values()]
    tables: list[tuple[str, str, list[tuple[Any, ...]]]] = [
        ("outbox_rows", sql.ADD_OUTBOX, [(c.partition, *_outbox_row(wire)) for c in commits for wire in c.outbox]),
        (
            "timers_set",
            sql.SET_TIMERS,
            [(p, t.key, t.name, t.step, t.due_at) for p, t in timers if isinstance(t, SetTimer)],
        ),
        ("timers_gone", sql.CANCEL_TIMERS, [(p, t.key, t.name) for p, t in timers if isinstance(t, CancelTimer)]),
        (
            "effects_asked",
            sql.ADD_EFFECTS,
            [
                (c.partition, e.id, e.key, e.kind, e.request.model_dump_json())
                for c in commits
                for e in c.effects
                if (c.partition, e.id) not in ended
            ],
        ),
        ("effects_gone", sql.END_EFFECTS, sorted(ended)),
    ]
    parts = [Part("fence", sql.FENCE, _columns(fences), len(fences))]
    parts += [Part(name, text, _columns(rows), None) for name, text, rows in tables if rows]
    postponed = [(p, t.claimed, t.until) for p, t in timers if isinstance(t, PostponedTimer)]
    if postponed:
        claimed = _columns([(p, timer.key, timer.name, timer.step, timer.due_at) for p, timer, _ in postponed])
        until = max(until for *_, until in postponed)
        parts.append(Part("timers_postponed", sql.POSTPONE_TIMERS, (*claimed, until), None))
    for commit in commits:
        if commit.lanes is not None:
            found = lanes.lane_parts(commit.partition, commit.lanes)
            parts += [Part(f"{name}_{commit.partition}", text, values, rows) for name, text, values, rows in found]
    return parts


def _columns(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))


def _outbox_row(wire: Wire) -> tuple[Any, ...]:
    headers = None if wire.headers is None else headers_json(wire.headers)
    return wire.seq, wire.partition, wire.topic, wire.type, wire.key, wire.value, headers
