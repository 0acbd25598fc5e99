"""The process in the background that keeps a stack running: `python -m devstack.supervisor HOME`.

It starts the backends, gives them topics and databases, then starts the services; it starts again what dies, and answers
on a Unix socket (one JSON line in, one out) what runs and how.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from devstack.errors import DevstackError
from devstack.keeper import BackOff, Folders, Keeper
from devstack.postgres import ensure_databases
from devstack.processes import Plan
from devstack.records import write_record
from devstack.settings import Settings, read_settings
from devstack.topics import ensure_topics

CONTROL: Final = "control.sock"
PLAN: Final = "plan.json"
RECORD: Final = "supervisor.json"
LOCK: Final = "supervisor.lock"


def folders_of(settings: Settings) -> Folders:
    """Where this stack's processes are remembered."""
    return Folders(home=settings.home, logs=settings.logs, records=settings.home / "processes")


class Supervisor:
    """Keeps a plan running until it is told to stop."""

    def __init__(self, settings: Settings, plan: Plan, back_off: BackOff | None = None) -> None:
        self._settings = settings
        self._plan = plan
        self._folders = folders_of(settings)
        self._back_off = back_off or BackOff()
        self._keepers: dict[str, Keeper] = {}
        self._phase = "starting"
        self._problem: str | None = None
        self._stop = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Run until `stop` is asked for or SIGTERM comes; nothing of the plan runs after that."""
        self._folders.records.mkdir(parents=True, exist_ok=True)
        self._folders.logs.mkdir(parents=True, exist_ok=True)
        control = self._settings.sockets / CONTROL
        control.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._answer, control)
        control.chmod(0o600)
        self._begin()
        try:
            await self._stop.wait()
        finally:
            self._phase = "stopping"
            if self._starting is not None:
                self._starting.cancel()
                await asyncio.wait([self._starting])
            await self._take_down()
            server.close()
            control.unlink(missing_ok=True)
        if self._starting is not None and not self._starting.cancelled():
            self._starting.result()  # a fault of ours ends the supervisor, and stands in its log

    def ask_to_stop(self) -> None:
        """Let `run` come to its end."""
        self._stop.set()

    def _begin(self) -> None:
        self._phase, self._problem = "starting", None
        self._starting = asyncio.create_task(self._bring_up())
        self._starting.add_done_callback(self._stop_on_fault)

    def _stop_on_fault(self, done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            self.ask_to_stop()

    async def _bring_up(self) -> None:
        """Start what of the plan does not run yet, backends first."""
        try:
            backends = [self._started(spec.name) for spec in self._plan.backends]
            await asyncio.gather(*(keeper.ready.wait() for keeper in backends))
            self._phase = "creating topics and databases"
            await self._provision()
            self._phase = "starting services"
            services = [self._started(spec.name) for spec in self._plan.services]
            await asyncio.gather(*(keeper.ready.wait() for keeper in services))
            self._phase = "running"
        except DevstackError as error:
            self._phase, self._problem = "failed", str(error)
            print(f"failed: {error}", flush=True)

    async def _provision(self) -> None:
        work: list[Awaitable[None]] = []
        if self._plan.topics is not None:
            work.append(ensure_topics(*self._plan.topics))
        if self._plan.postgres is not None:
            work.append(ensure_databases(self._plan.postgres, self._plan.databases))
        await asyncio.gather(*work)

    def _started(self, name: str) -> Keeper:
        keeper = self._keepers.get(name)
        if keeper is None:
            spec = next(spec for spec in (*self._plan.backends, *self._plan.services) if spec.name == name)
            keeper = self._keepers[name] = Keeper(spec, self._folders, self._back_off)
            keeper.start()
        return keeper

    async def _take_down(self) -> None:
        """Services first: they want to tell broker and database about their end."""
        backends = {spec.name for spec in self._plan.backends}
        services = [keeper for name, keeper in self._keepers.items() if name not in backends]
        await asyncio.gather(*(keeper.stop() for keeper in services))
        await asyncio.gather(*(self._keepers[name].stop() for name in backends if name in self._keepers))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request: dict[str, Any] = json.loads(await reader.readline())
            answer = await self._handle(request)
        except (ValueError, KeyError, TypeError) as error:
            answer = {"error": f"This request is not understood: {error!r}"}
        with contextlib.suppress(ConnectionError):  # whoever asked may have left
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        handlers: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "status": self._status,
            "extend": self._extend,
            "signal": self._signal,
            "restart": self._restart,
        }
        return await handlers[request["do"]](request)

    async def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        order = [spec.name for spec in (*self._plan.backends, *self._plan.services)]
        shown = [self._keepers[name].describe() for name in order if name in self._keepers]
        return {"phase": self._phase, "problem": self._problem, "pid": os.getpid(), "processes": shown}

    async def _extend(self, request: dict[str, Any]) -> dict[str, Any]:
        """A plan with more in it; what runs already goes on as it is."""
        self._plan = Plan.model_validate(request["plan"])
        if self._phase in {"running", "failed"}:
            self._begin()
        return {}

    async def _signal(self, request: dict[str, Any]) -> dict[str, Any]:
        keeper = self._keepers.get(request["name"])
        if keeper is None:
            return self._unknown(request["name"])
        pid = keeper.pid
        if not keeper.signal(int(request["signal"])):
            return {"error": f"{request['name']} does not run now: {keeper.last_exit}"}
        if request["signal"] == signal.SIGKILL:
            # Whoever asks next shall not hear that it is ready.
            await keeper.gone(pid)
        return {"pid": pid}

    async def _restart(self, request: dict[str, Any]) -> dict[str, Any]:
        keeper = self._keepers.get(request["name"])
        if keeper is None:
            return self._unknown(request["name"])
        await keeper.restart()
        return {}

    def _unknown(self, name: str) -> dict[str, Any]:
        return {"error": f"There is no process {name!r}; there are {', '.join(sorted(self._keepers))}."}


async def supervise(settings: Settings) -> None:
    """Keep the plan in the home running until SIGTERM."""
    plan = Plan.model_validate_json((settings.home / PLAN).read_bytes())
    supervisor = Supervisor(settings, plan, BackOff(healthy_s=settings.healthy_s))
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, supervisor.ask_to_stop)
    await supervisor.run()


def main() -> None:
    """The command line. Only one supervisor runs per home."""
    settings = read_settings(home=Path(sys.argv[1]), offset=int(sys.argv[2]))
    lock = os.open(settings.home / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another supervisor runs in this home")
    write_record(settings.home / RECORD, os.getpid())
    asyncio.run(supervise(settings))


if __name__ == "__main__":
    main()
