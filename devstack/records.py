"""Which processes are ours, told so that a stranger with a recycled process id is never touched."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from devstack.processes import write_private

#: In the environment of everything that a supervisor starts; its value is the stack's home.
MARK: Final = "DEVSTACK_SUPERVISED"
_SAME_START_S: Final = 1.0
_POLL_S: Final = 0.05


class Record(BaseModel):
    """A process that was started: its id, and what tells it from a later process with the same id."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float
    stop_signal: int = signal.SIGTERM


def write_record(path: Path, pid: int, stop_signal: int = signal.SIGTERM) -> None:
    """Remember the process under this path; a process that is gone already is not worth remembering."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    write_private(path, Record(pid=pid, started=started, stop_signal=stop_signal).model_dump_json())


def recorded_process(path: Path) -> psutil.Process | None:
    """The process that is remembered under this path, if it is still that one and still runs."""
    record = _read(path)
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.started) < _SAME_START_S
    except psutil.NoSuchProcess:
        return None
    return process if same and runs(process) else None


def leftovers(records: Path, home: Path) -> list[tuple[psutil.Process, int]]:
    """What an earlier supervisor of this home left behind, each with the signal that stops it."""
    found: dict[int, tuple[psutil.Process, int]] = {}
    for path in sorted(records.glob("*.json")):
        process = recorded_process(path)
        record = _read(path)
        if process is not None and record is not None:
            found[process.pid] = (process, record.stop_signal)
    for process in marked(home):
        found.setdefault(process.pid, (process, signal.SIGTERM))
    return list(found.values())


def marked(home: Path) -> Iterator[psutil.Process]:
    """Every running process that carries this home's mark. A process killed between its start and its record is found so."""
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.environ().get(MARK) == str(home) and runs(process):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            # Gone meanwhile, or another user's: not ours either way.
            continue


def runs(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended and was not yet waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def with_descendants(process: psutil.Process) -> list[psutil.Process]:
    """The process and everything it started."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return [process]


def send(processes: Iterable[psutil.Process], signum: int) -> None:
    """Send the signal to those that still are what they were; psutil checks that before each."""
    for process in processes:
        try:
            process.send_signal(signum)
        except psutil.NoSuchProcess:
            continue


def wait_gone(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until they have ended; those that have not by then."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in processes if runs(process)]
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = [process for process in left if runs(process)]
    return left


def _read(path: Path) -> Record | None:
    try:
        return Record.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        # No record, or one that a dying supervisor never finished: the mark finds the process.
        return None
