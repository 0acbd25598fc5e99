"""Keeping one process running: start it, see it become ready, start it again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import time
from asyncio.subprocess import Process
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from devstack.probes import is_ready
from devstack.processes import ProcessSpec, child_environment
from devstack.records import MARK, send, wait_gone, with_descendants, write_record
from devstack.settings import CLONE

STOP_TIMEOUT_S: Final = 10.0
_PROBE_EVERY_S: Final = 0.1
_LARGEST_LOG: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before a process is started again: `first_s`, doubling to `most_s`; from the beginning after it ran
    for `healthy_s`, and then not at all if it was ready: there is nothing to spare yet, and others wait for it."""

    first_s: float = 0.2
    most_s: float = 10.0
    healthy_s: float = 30.0

    def after(self, failures: int) -> float:
        """The wait before the next start, after so many short runs in a row (at least one)."""
        return float(min(self.most_s, self.first_s * 2 ** min(failures - 1, 30)))


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a stack keeps what it needs to know about its processes."""

    home: Path
    logs: Path
    records: Path


class Keeper:
    """One supervised process. `state` is one of starting, ready, waiting (to be started again) and stopped."""

    def __init__(
        self, spec: ProcessSpec, folders: Folders, back_off: BackOff, stop_timeout_s: float = STOP_TIMEOUT_S
    ) -> None:
        self.spec = spec
        self.state = "starting"
        self.pid: int | None = None
        self.restarts = 0
        self.failures = 0
        # Runs in a row that ended without having been ready.
        self.never_ready = 0
        self.last_exit: str | None = None
        self.ready = asyncio.Event()
        self._folders = folders
        self._back_off = back_off
        self._stop_timeout_s = stop_timeout_s
        self._stopping = asyncio.Event()
        self._skip_wait = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def log(self) -> Path:
        """Everything that the process prints."""
        return self._folders.logs / f"{self.spec.name}.log"

    def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.create_task(self._keep(), name=f"keep-{self.spec.name}")

    async def stop(self) -> None:
        """End the process: its stop signal, then SIGKILL after 10 s. It is not started again."""
        self._stopping.set()
        self._skip_wait.set()
        if self.pid is not None:
            await self._end(self.pid)
        if self._task is not None:
            await self._task

    async def restart(self) -> None:
        """End the process and start it again without waiting."""
        self.failures = self.never_ready = 0
        self._skip_wait.set()
        if self.pid is not None:
            self.ready.clear()
            self.state = "starting"
            await self._end(self.pid)

    def signal(self, signum: int) -> bool:
        """Send the signal to the process and all that it started; False if it does not run now."""
        if self.pid is None:
            return False
        send(self._tree(self.pid), signum)
        return True

    async def gone(self, pid: int | None) -> None:
        """Wait, for 5 s at most, until this run of the process is over and known to be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while self.pid == pid:  # noqa: ASYNC110 - rare, and an event per run would be more to read
                    await asyncio.sleep(0.01)

    def describe(self) -> dict[str, Any]:
        """What `status` shows."""
        return {
            "name": self.spec.name,
            "pid": self.pid,
            "address": self.spec.address,
            "state": self.state,
            "restarts": self.restarts,
            "failures": self.never_ready,
            "last_exit": self.last_exit,
            "log": str(self.log),
        }

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            self.state = "starting"
            self._skip_wait.clear()
            self.last_exit = await self._run_once()
            self.pid = None
            self.state = "waiting"
            was_ready = self.ready.is_set()
            self.never_ready = 0 if was_ready else self.never_ready + 1
            self.ready.clear()
            if self._stopping.is_set():
                break
            self.failures = 1 if time.monotonic() - began >= self._back_off.healthy_s else self.failures + 1
            at_once = self._skip_wait.is_set() or (was_ready and self.failures == 1)
            wait_s = 0.0 if at_once else self._back_off.after(self.failures)
            self._say(f"{self.last_exit}; starting again in {wait_s:.1f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._skip_wait.wait(), wait_s)
            self.restarts += 1
        self.state = "stopped"

    async def _run_once(self) -> str:
        """Run the process to its end; how it ended."""
        try:
            process = await self._spawn()
        except OSError as error:
            return f"could not be started: {error.strerror}: {self.spec.argv[0]}"
        self.pid = process.pid
        self._say(f"started as process {process.pid}")
        write_record(self._folders.records / f"{self.spec.name}.json", process.pid, self.spec.stop_signal)
        if self._stopping.is_set():
            # stop() came while the process was being made, and did not see it.
            await self._end(process.pid)
        watching = asyncio.create_task(self._watch_readiness())
        code = await process.wait()
        watching.cancel()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"

    async def _spawn(self) -> Process:
        user = pwd.getpwnam(self.spec.user) if self.spec.user else None
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self.spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/" if user else CLONE,
                env=child_environment(self.spec, os.environ, (MARK, str(self._folders.home))),
                # A session of its own: a Ctrl-C in the terminal is for `up`, not for what it started.
                start_new_session=True,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )

    async def _watch_readiness(self) -> None:
        while not await is_ready(self.spec):  # noqa: ASYNC110 - the fact is outside this process
            await asyncio.sleep(_PROBE_EVERY_S)
        self.state = "ready"
        self._say("ready")
        self.ready.set()

    async def _end(self, pid: int) -> None:
        """Stop this run of the process and everything it started."""
        tree = self._tree(pid)
        send(tree[:1], self.spec.stop_signal)
        # A stopped (SIGSTOP) process takes no other signal until it goes on.
        send(tree, signal.SIGCONT)
        # Looked at, not waited for: the exit code is asyncio's to collect.
        left = await asyncio.to_thread(wait_gone, tree, self._stop_timeout_s)
        if left:
            self._say(f"still there {self._stop_timeout_s:.0f} s after its stop signal: killed")
        send(left, signal.SIGKILL)

    def _tree(self, pid: int) -> list[psutil.Process]:
        try:
            return with_descendants(psutil.Process(pid))
        except psutil.NoSuchProcess:
            return []

    def _say(self, line: str) -> None:
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {self.spec.name}: {line}", flush=True)
