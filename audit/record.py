"""The sender's own record: JSON lines as `orderctl load --record` and `orderctl import --record` write them.

    {"kind": "command", "command_id": ..., "key": ..., "type": ..., "source": ..., "topic": ...}   about to be sent
    {"kind": "acknowledged", "command_ids": [...]}                                               the broker has these
    {"kind": "verdict", "command_id": ..., "key": ..., "accepted": ..., "reason": ...}           what was heard
    {"kind": "outcome", "key": ..., "outcome": ...}

`order_id` may stand for `key`. A line without a `kind` is a command that was acknowledged. A command that nobody acknowledged may
or may not have arrived; nothing is expected of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from audit.errors import CouldNotLookError
from audit.facts import SentCommand
from contracts.topics import ORDERS_COMMANDS, ORDERS_OPERATIONS

Key = tuple[str, str]  # the order (SKU, customer) and the command's id


@dataclass(slots=True)
class SenderRecord:
    """What one or several senders wrote down."""

    #: By order, then by the command's id.
    orders: dict[str, dict[str, SentCommand]] = field(default_factory=lambda: defaultdict(dict))
    #: Commands on other topics: (topic, key, id, source, type), those that were acknowledged.
    elsewhere: list[tuple[str, str, str, str | None, str]] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)

    @property
    def commands(self) -> int:
        """How many commands to orders were recorded."""
        return sum(len(commands) for commands in self.orders.values())


def read_record(paths: Iterable[Path]) -> SenderRecord:
    """Read these files. Raises `CouldNotLookError` where a line is no line of a record."""
    record = SenderRecord()
    for path in paths:
        try:
            with path.open("rb") as lines:
                _read(record, path, lines)
        except OSError as error:
            raise CouldNotLookError(f"The record {path} cannot be read: {error.strerror}.") from None
    return record


def _read(record: SenderRecord, path: Path, lines: Iterable[bytes]) -> None:
    acknowledged: set[str] = set()
    sent: list[dict[str, Any]] = []
    heard: dict[Key, dict[str, Any]] = {}
    for number, raw in enumerate(lines, 1):
        try:
            line = from_json(raw)
            match line.get("kind"):
                case None:
                    acknowledged.add(line["command_id"])
                    sent.append(line)
                case "command":
                    sent.append(line)
                case "acknowledged":
                    acknowledged.update(line["command_ids"])
                case "verdict":
                    heard[_key(line), line["command_id"]] = line
                case "outcome":
                    record.outcomes[_key(line)] = line["outcome"]
        except (ValueError, KeyError, AttributeError, TypeError):
            if not raw.endswith(b"\n"):
                break  # the sender was killed while it wrote its last line: what it had not written it had not sent
            raise CouldNotLookError(f"{path}:{number} is no line of a sender's record.") from None
    for line in sent:
        _note(record, line, acknowledged, heard)


def _note(record: SenderRecord, line: dict[str, Any], acknowledged: set[str], heard: dict[Key, dict[str, Any]]) -> None:
    key, command_id = _key(line), line["command_id"]
    topic, taken = line.get("topic", ORDERS_COMMANDS), command_id in acknowledged
    if topic not in {ORDERS_COMMANDS, ORDERS_OPERATIONS}:
        if taken:
            record.elsewhere.append((topic, key, command_id, line.get("source"), line.get("type", "")))
        return
    command = SentCommand(line.get("source"), command_id, line.get("type", ""), taken)
    verdict = heard.get((key, command_id))
    if verdict is not None:
        command = replace(command, heard=verdict["accepted"], heard_reason=verdict.get("reason"))
    record.orders[key][command_id] = command


def _key(line: dict[str, Any]) -> str:
    found = line["key"] if "key" in line else line["order_id"]
    return str(found)
