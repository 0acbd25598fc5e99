"""`python -m e2e.warm SOCKET`: orderctl, loaded once; each call is a fork of it, with an environment and files of its own.

Loading it takes a second of CPU, and a run of the scenarios calls it some three hundred times. What the calls are is not changed by
it: each is a process that reads its arguments and environment, and ends with an exit code. The README's commands are run as they
stand (`test_documents.py`), as is what is interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

CLONE: Final = Path(__file__).resolve().parents[2]
_MOST: Final = 1024 * 1024
_START_S: Final = 60


class Warm:
    """The process that is forked from. Close it at the end: it also ends with whoever started it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        self._path = str(Path(self._folder.name) / "sock")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "e2e.warm", self._path],
            cwd=CLONE,
            env={**os.environ, "PYTHONPATH": f"{CLONE}{os.pathsep}{CLONE / 'tests'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "orderctl could not be loaded"

    def call(
        self, arguments: Sequence[str], env: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes], timeout_s: float
    ) -> int:
        """Its exit code. Raises `TimeoutError` where it had to be killed."""
        with socket.socket(socket.AF_UNIX) as connection, Path(os.devnull).open("rb") as nothing:
            connection.connect(self._path)
            asked = json.dumps({"arguments": list(arguments), "env": dict(env)}).encode()
            socket.send_fds(connection, [asked], [nothing.fileno(), stdout.fileno(), stderr.fileno()])
            connection.shutdown(socket.SHUT_WR)
            told = connection.makefile("r")
            pid = int(told.readline())
            connection.settimeout(timeout_s)
            try:
                return int(told.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_START_S)
        self._folder.cleanup()


def _serve(path: str) -> None:
    import orderctl.main  # noqa: F401 - what is forked

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(16)
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([server, sys.stdin], [], [])
            if sys.stdin in readable:
                return
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _answer(connection)
            connection.close()


def _answer(connection: socket.socket) -> None:
    """In a process of its own: have a fork do what is asked, and tell its number and its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked, files, _, _ = socket.recv_fds(connection, _MOST, 3)
    while part := connection.recv(_MOST):
        asked += part
    child = os.fork()
    if child == 0:
        connection.close()
        _become(json.loads(asked), files)
    connection.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):  # who asked has killed it, and waits no more
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(asked: Mapping[str, Mapping[str, str]], files: Sequence[int]) -> None:
    from orderctl.main import main

    for target, file in enumerate(files):
        os.dup2(file, target)
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = ["orderctl", *asked["arguments"]]
    sys.modules["__main__"].__package__ = None  # by this the usage would name another program
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - as an interpreter would tell of it
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
