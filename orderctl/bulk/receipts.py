"""The receipts of a bulk run: JSON lines in a file, from which the run can go on.

The first line says what is asked of which orders, as it was confirmed; then comes a line for each order that has its verdict.
Command ids follow from the run's id and the order's: whatever is sent again is a duplicate.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from pydantic_core import from_json, to_json

from contracts.registry import TYPE_OF
from contracts.values import CommandData
from orderctl.command import Command
from orderctl.errors import ReceiptError, UsageError
from orderctl.events import Verdict


@dataclass(frozen=True, slots=True)
class Run:
    """What is asked of which orders; `data` as the commands carry it."""

    run_id: str
    type: str
    data: Mapping[str, Any]
    order_ids: tuple[str, ...]

    def command(self, order_id: str, data: CommandData) -> Command:
        """The order's command, which has the same id whenever it is made."""
        digest = blake2b(f"{self.run_id}\x1f{order_id}".encode(), digest_size=12).hexdigest()
        return Command(f"bulk-{digest}", order_id, data)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one order's command was told."""

    order_id: str
    command_id: str
    verdict: str
    duplicate: bool
    reason: str | None
    message: str | None
    at: str

    @classmethod
    def of(cls, verdict: Verdict, at: datetime) -> Receipt:
        """The receipt of a verdict that was heard then."""
        word = "accepted" if verdict.accepted else "rejected"
        return cls(
            verdict.key, verdict.command_id, word, verdict.duplicate, verdict.reason, verdict.message, at.isoformat()
        )


def new_run(data: CommandData, order_ids: tuple[str, ...]) -> Run:
    """A run that has not begun."""
    return Run(uuid4().hex, TYPE_OF[type(data)][1], _plain(data), order_ids)


def read_run(path: Path, data: CommandData) -> tuple[Run, dict[str, Receipt]] | None:
    """The run that the file is about, and the receipts that it has; None where there is no such file, or nothing in it.
    Raises `UsageError` where it is no file of receipts, or of another command than `data`."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no file; receipts are kept in one.")
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"The receipts cannot be read: {error}") from None
    # What has no end of line was being written when the run died.
    lines = text.split(b"\n")[:-1]
    if not lines:
        return None
    try:
        head = from_json(lines[0])
        run = Run(head["run_id"], head["type"], head["data"], tuple(head["order_ids"]))
        receipts = [Receipt(**{name: told[name] for name in Receipt.__slots__}) for told in map(from_json, lines[1:])]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is no file of receipts of this program; name another one.") from None
    if (run.type, run.data) != (TYPE_OF[type(data)][1], _plain(data)):
        told = f"{path} belongs to a run of {run.type} with {to_json(run.data).decode()}"
        raise UsageError(f"{told}. Say the same to go on with it, or name another file.")
    return run, {receipt.order_id: receipt for receipt in receipts}


def _plain(data: CommandData) -> dict[str, Any]:
    return data.model_dump(mode="json", exclude_unset=True)


class ReceiptFile:
    """The file, open for more receipts and locked against a second run. Use it as `with`. Raises `UsageError`."""

    def __init__(self, path: Path, run: Run) -> None:
        self._path = path
        self._run = run
        self._file: FileIO
        self._end = 0

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise UsageError(f"The receipts cannot be written: {error}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UsageError(f"Another run is writing to {self._path}.") from None
        found = self._whole_lines()
        if not found:
            run = self._run
            head = {"kind": "run", "run_id": run.run_id, "type": run.type, "data": run.data, "order_ids": run.order_ids}
            self._write(head)
        elif from_json(found[0])["run_id"] != self._run.run_id:
            # Between the look at the file and the lock somebody else has begun a run in it.
            self._file.close()
            raise UsageError(f"Another run has begun in {self._path} meanwhile.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, receipt: Receipt) -> None:
        """Keep a receipt; it is in the file when this returns."""
        self._write({"kind": "receipt", **{name: getattr(receipt, name) for name in Receipt.__slots__}})

    def _write(self, line: Mapping[str, object]) -> None:
        text = to_json(line) + b"\n"
        try:
            written = self._file.write(text)
        except OSError as error:
            raise ReceiptError(self._path, str(error)) from error
        if written != len(text):
            # Half a line would swallow the one that comes after it.
            os.truncate(self._path, self._end)
            raise ReceiptError(self._path, "not all of a line could be written")
        self._end += written

    def _whole_lines(self) -> list[bytes]:
        """The lines of the file, which ends with the last of them from now on: a torn one was being written when its run died."""
        text = self._path.read_bytes()
        whole = text.rfind(b"\n") + 1
        os.truncate(self._path, whole)
        self._end = whole
        return text[:whole].splitlines()
