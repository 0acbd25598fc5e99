"""The stack under test, from the outside: where it is, and the few things an operator does to it (`python -m devstack ...`)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.ports import HTTP_PORTS
from devstack.ports import free_offset

CLONE: Final = Path(__file__).resolve().parents[2]
SERVICES: Final = tuple(HTTP_PORTS)


class StackError(Exception):
    """devstack refused; the message is its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stack can be reached. `env` is what orderctl needs; `mails` is the sink's folder, where there is one."""

    bootstrap: str
    partitions: int
    urls: Mapping[str, str]
    mails: Path | None
    env: Mapping[str, str]


class Stack:
    """A stack of our own in a folder of its own: never the one that `make up` runs."""

    def __init__(self, name: str, **settings: str) -> None:
        self.home = Path(os.environ.get("E2E_HOME") or CLONE / ".devstack") / name
        self._env = {
            **{key: value for key, value in os.environ.items() if not _names_another_stack(key)},
            "DEVSTACK_HOME": str(self.home),
            "DEVSTACK_WATCHER": "0",
            # Beside two other suites on two cores a broker alone may take a minute to come back.
            "DEVSTACK_READY_TIMEOUT_S": "300",
            "DEVSTACK_PORT_OFFSET": os.environ.get("E2E_PORT_OFFSET") or str(free_offset()),
            **settings,
        }
        self.about = ""

    def up(self, *, only_backends: bool = False) -> Place:
        """Start on empty folders; returns when everything is ready."""
        self._devstack("down", "--wipe")
        began = time.monotonic()
        self._devstack("up", *(["--only-backends"] if only_backends else []))
        self.about = f"started in {self.home} after {time.monotonic() - began:.1f} s; {self._versions()}"
        return place_of({**self._env, **self._told()})

    def down(self, *, wipe: bool) -> None:
        """Take it down; with `wipe` nothing is left, else the logs and the data stay to be looked at."""
        self._devstack("down", *(["--wipe"] if wipe else []))

    async def kill(self, name: str) -> None:
        """`kill -9`; returns at once, and the supervisor starts it again."""
        await asyncio.to_thread(self._devstack, "kill", name)

    async def signal(self, name: str, signal_name: str) -> None:
        """Send a signal to a process, as STOP or CONT."""
        await asyncio.to_thread(self._devstack, "kill", name, "--signal", signal_name)

    async def restart(self, name: str) -> None:
        """Stop it in an orderly way and start it again; returns when everything is ready."""
        await asyncio.to_thread(self._devstack, "restart", name)

    async def wait_ready(self) -> None:
        """Wait until every process is ready (again). devstack's own `up` does that, and says what is not in time."""
        await asyncio.to_thread(self._devstack, "up")

    def log(self, name: str) -> str:
        """What a process has written."""
        return (self.home / "logs" / f"{name}.log").read_text(errors="replace")

    def logs(self) -> dict[str, str]:
        """Whatever is in the folder of logs, by the name of its file."""
        return {path.name: path.read_text(errors="replace") for path in sorted((self.home / "logs").iterdir())}

    def status(self) -> dict[str, Any]:
        """What `status --json` says, whether or not all is well."""
        done = self._run("status", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def _told(self) -> dict[str, str]:
        lines = self._devstack("env").splitlines()
        # `export NAME='value'`, as a shell would read it; our values hold no quotes.
        pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
        return {name: value.strip("'") for name, value in pairs}

    def _versions(self) -> str:
        chosen = self._env.get("DEVSTACK_POSTGRES_BIN")
        postgres = f"PostgreSQL of {chosen}" if chosen else "PostgreSQL of the wheel"
        rate = self._env.get("PAYMENT_FAILURE_RATE", "0")
        return f"{postgres}, Apache Kafka of devstack, PAYMENT_FAILURE_RATE={rate}"

    def _devstack(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode != 0:
            raise StackError(f"devstack {' '.join(arguments)}: {(done.stderr + done.stdout).strip()[-2000:]}")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "devstack", *arguments]
        return subprocess.run(argv, cwd=CLONE, env=self._env, capture_output=True, text=True, timeout=400, check=False)


def place_of(env: Mapping[str, str]) -> Place:
    """The place that environment variables tell, as `python -m devstack env` prints them."""
    offset = int(env.get("DEVSTACK_PORT_OFFSET") or 0)
    urls = {name: f"http://127.0.0.1:{port + offset}" for name, port in HTTP_PORTS.items()}
    named = {"orders-api": "ORDERS_API_URL", "inventory": "INVENTORY_API_URL", "payment": "PAYMENT_API_URL"}
    urls |= {name: env[variable] for name, variable in named.items() if env.get(variable)}
    mails = env.get("MAIL_SINK_DIR")
    return Place(
        bootstrap=env.get("KAFKA_BOOTSTRAP_SERVERS") or "localhost:9092",
        partitions=int(env.get("TOPIC_PARTITIONS") or 4),
        urls=urls,
        mails=Path(mails) if mails else None,
        env={**env, "PYTHONUNBUFFERED": "1"},
    )


def uses_running_stack() -> bool:
    """Whether the tests were pointed at a stack that runs already (`E2E_STACK=running`)."""
    return os.environ.get("E2E_STACK") == "running"


def _names_another_stack(variable: str) -> bool:
    ours = (
        "KAFKA_BOOTSTRAP_SERVERS",
        "MAIL_SINK_DIR",
        "MAIL_PAGE_URL",
        "HTTP_PORT",
        "PAYMENT_FAILURE_RATE",
        "ORDER_TASK_QUEUE",
    )
    return variable in ours or variable.endswith(("_DATABASE_URL", "_API_URL"))
