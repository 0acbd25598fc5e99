"""The processes that are measured, started and stopped by the benchmark itself: only who is measured runs meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from devstack.errors import NotReadyError
from devstack.probes import is_ready
from devstack.processes import ProcessSpec, child_environment
from devstack.records import MARK, send, wait_gone, with_descendants
from devstack.settings import CLONE

_READY_WITHIN_S: Final = 60.0
_STOPPED_WITHIN_S: Final = 15.0
_PROBE_EVERY_S: Final = 0.01


class Fleet:
    """Processes of one contender beside a stack's backends. They carry the stack's mark: its `down` ends what is left of them."""

    def __init__(self, specs: Sequence[ProcessSpec], home: Path) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self._home = home
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Who runs."""
        return {name: process.pid for name, process in self._running.items()}

    @property
    def urls(self) -> dict[str, str]:
        """Where those who run serve HTTP."""
        specs = (self.specs[name] for name in self._running)
        return {spec.name: spec.address for spec in specs if spec.probe == "http"}

    async def start(self, *names: str) -> None:
        """Start these (default: all) at once and return when all are ready. Raises `NotReadyError`."""
        chosen = names or tuple(self.specs)
        for name in chosen:
            self._spawn(self.specs[name])
        await asyncio.gather(*(self._ready(self.specs[name]) for name in chosen))

    async def start_alone(self, name: str) -> float:
        """Start one and return the seconds from there until it was ready. Raises `NotReadyError`."""
        began = time.monotonic()
        self._spawn(self.specs[name])
        await self._ready(self.specs[name])
        return time.monotonic() - began

    def stop(self, *names: str) -> None:
        """End these (default: all), as an operator would; who does not end is killed."""
        chosen = names or tuple(self._running)
        trees = {name: with_descendants(psutil.Process(self._running[name].pid)) for name in chosen}
        for name, tree in trees.items():
            send(tree[:1], self.specs[name].stop_signal)
        send(wait_gone([process for tree in trees.values() for process in tree], _STOPPED_WITHIN_S), 9)
        for name in chosen:
            self._running.pop(name).wait()

    def _spawn(self, spec: ProcessSpec) -> None:
        with (self._home / "logs" / f"{spec.name}.log").open("ab") as log:
            self._running[spec.name] = subprocess.Popen(  # noqa: S603 - our own table of processes
                spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CLONE,
                env=child_environment(spec, os.environ, (MARK, str(self._home))),
                start_new_session=True,
            )

    async def _ready(self, spec: ProcessSpec) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        process = self._running[spec.name]
        while not await is_ready(spec):
            if process.poll() is not None or time.monotonic() > deadline:
                how = "runs, but is not ready" if process.returncode is None else f"exited with {process.returncode}"
                raise NotReadyError(f"{spec.name} {how}; see {self._home / 'logs' / f'{spec.name}.log'}.")
            await asyncio.sleep(_PROBE_EVERY_S)
