"""Talking to a running supervisor."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from devstack.errors import DevstackError

_TIMEOUT_S = 30.0


class ProcessStatus(BaseModel):
    """A process as the supervisor sees it. `state`: starting, ready, waiting (to be started again) or stopped."""

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int | None
    address: str
    state: str
    restarts: int
    failures: int
    last_exit: str | None
    log: Path


class StackStatus(BaseModel):
    """The stack as its supervisor sees it."""

    model_config = ConfigDict(frozen=True)

    #: starting, creating topics and databases, starting services, running, failed, stopping; or down: there is no supervisor.
    phase: str
    problem: str | None = None
    pid: int | None = None
    processes: tuple[ProcessStatus, ...] = ()

    @property
    def all_run(self) -> bool:
        """Whether everything that was asked for is there and ready."""
        return self.phase == "running" and all(process.state == "ready" for process in self.processes)


DOWN = StackStatus(phase="down")


def ask(control: Path, request: dict[str, Any], timeout_s: float = _TIMEOUT_S) -> dict[str, Any] | None:
    """The supervisor's answer, or None if there is no supervisor. Raises `DevstackError` with what it refuses for."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(control))
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = connection.makefile("rb").readline()
    except (FileNotFoundError, ConnectionError):
        return None
    except TimeoutError:
        raise DevstackError("The supervisor does not answer; `python -m devstack down` ends it.") from None
    if not line:
        return None
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise DevstackError(answer["error"])
    return answer


def ask_status(control: Path) -> StackStatus:
    """What runs; `DOWN` where there is no supervisor."""
    answer = ask(control, {"do": "status"})
    return DOWN if answer is None else StackStatus.model_validate(answer)
