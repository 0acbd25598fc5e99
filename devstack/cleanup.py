"""Ending what a killed supervisor left behind, and forgetting a stack's data."""

from __future__ import annotations

import contextlib
import shutil
import signal
from typing import Final

from devstack.keeper import STOP_TIMEOUT_S
from devstack.progress import Report
from devstack.records import leftovers, send, wait_gone
from devstack.settings import Settings, private_folder
from devstack.supervisor import CONTROL, PLAN, RECORD, folders_of

#: What a stack keeps in its home, apart from the logs.
DATA: Final = ("kafka", "postgres", "postgres.making", "postgres-folder", "mails", "run", "processes", PLAN, RECORD)


def end_leftovers(settings: Settings, report: Report) -> None:
    """End every process of this home that still runs: its stop signal, then SIGKILL after 10 s."""
    records = folders_of(settings).records
    found = leftovers(records, settings.home)
    if found:
        report(f"Ending {len(found)} processes that a killed supervisor left behind")
        for process, stop_signal in found:
            send([process], stop_signal)
            send([process], signal.SIGCONT)
        left = wait_gone([process for process, _ in found], STOP_TIMEOUT_S)
        send(left, signal.SIGKILL)
        wait_gone(left, STOP_TIMEOUT_S)
    shutil.rmtree(records, ignore_errors=True)


def forget(settings: Settings, names: tuple[str, ...]) -> None:
    """Remove these, and nothing else that may lie in the home."""
    for name in names:
        path = settings.home / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    private = private_folder(settings.home)
    if private.is_dir():
        shutil.rmtree(private)


def tidy(settings: Settings) -> None:
    """Leave no socket that nobody answers on, and no empty folders among the temporary files."""
    (settings.sockets / CONTROL).unlink(missing_ok=True)
    private = private_folder(settings.home)
    for folder in (private / "postgres", private):
        with contextlib.suppress(OSError):  # it is not there, or something is in it
            folder.rmdir()
