"""The sender's own record: JSON lines that an audit compares with what the system says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Self

from pydantic_core import to_json

from orderctl.command import Command
from orderctl.load.book import HeardOutcome, HeardVerdict


class Recorder:
    """Writes what was sent and heard, with times. Without a path it writes nothing.

    A `command` line is written before the command is handed to the broker, an `acknowledged` line after the broker took
    it: what was never acknowledged may or may not have arrived. Lines reach the file at every `flush`.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def commands(self, commands: Iterable[Command]) -> None:
        """These are about to be sent."""
        if self._file is None:
            return
        at = _now()
        for command in commands:
            self._write(
                {
                    "kind": "command",
                    "at": at,
                    "topic": command.topic,
                    "type": command.type,
                    "source": command.source,
                    "command_id": command.id,
                    "key": command.key,
                }
            )

    def acknowledged(self, commands: Iterable[Command]) -> None:
        """The broker has these."""
        if self._file is not None:
            self._write({"kind": "acknowledged", "at": _now(), "command_ids": [command.id for command in commands]})

    def verdict(self, key: str, command_id: str, accepted: bool, reason: str | None, duplicate: bool) -> None:
        """The first verdict on a command."""
        if self._file is not None:
            self._write(
                {
                    "kind": "verdict",
                    "at": _now(),
                    "key": key,
                    "command_id": command_id,
                    "accepted": accepted,
                    "reason": reason,
                    "duplicate": duplicate,
                }
            )

    def heard(self, facts: Sequence[HeardVerdict | HeardOutcome]) -> None:
        """What the book learned."""
        if self._file is None:
            return
        for fact in facts:
            if isinstance(fact, HeardVerdict):
                self.verdict(fact.order_id, fact.command_id, fact.accepted, fact.reason, fact.duplicate)
            else:
                self._write(
                    {
                        "kind": "outcome",
                        "at": _now(),
                        "key": fact.order_id,
                        "outcome": fact.outcome,
                        "reason": fact.reason,
                        "total_minor": fact.total_minor,
                        "latency_s": round(fact.latency_s, 6),
                    }
                )

    def flush(self) -> None:
        """Hand over to the operating system what was written."""
        if self._file is not None:
            self._file.flush()

    def _write(self, line: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(to_json(line) + b"\n")


def _now() -> datetime:
    return datetime.now(UTC)
