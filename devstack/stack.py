"""A stack as an object: bring it up, look at it, take it down. What the command line and the tests use."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devstack.classes import ensure_classes
from devstack.cleanup import DATA, end_leftovers, forget, tidy
from devstack.control import StackStatus, ask, ask_status
from devstack.environment import environment_of
from devstack.errors import DevstackError, NotReadyError
from devstack.jars import ensure_jars
from devstack.java import find_java
from devstack.kafka import kafka_process
from devstack.keeper import STOP_TIMEOUT_S
from devstack.ports import require_free_ports
from devstack.postgres import SUPERUSER, postgres_process
from devstack.processes import SERVICES, Plan, ProcessSpec, Service, service_processes, smtp_sink, write_private
from devstack.progress import Report, silent
from devstack.records import MARK, recorded_process, runs, send, wait_gone
from devstack.settings import CLONE, DATABASES, Listener, Settings, make_home, read_settings
from devstack.supervisor import CONTROL, PLAN, RECORD
from devstack.topics import ensure_topics

READY_TIMEOUT_S: Final = 90.0
_POLL_S: Final = 0.05
#: A process that ended so often without ever having been ready is not going to work.
_HOPELESS: Final = 4


class Stack:
    """The stack of one home.

    As a context manager it runs the backends (broker, database, SMTP sink) and ends them after; if the home was new, their
    data is forgotten then, and only the logs stay.
    """

    def __init__(
        self,
        home: Path | None = None,
        offset: int | None = None,
        *,
        services: tuple[Service, ...] = SERVICES,
        postgres_bin: Path | None = None,
        listeners: tuple[Listener, ...] = (),
    ) -> None:
        settings = read_settings(home=home, offset=offset)
        self.settings: Settings = replace(
            settings, postgres_bin=postgres_bin or settings.postgres_bin, listeners=listeners
        )
        self._services = services
        self._daemon: subprocess.Popen[bytes] | None = None
        self._forget_after = False

    def __enter__(self) -> Self:
        self._forget_after = not (self.settings.home / PLAN).exists()
        try:
            self.up(only_backends=True)
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
        if self._forget_after:
            forget(self.settings, DATA)

    def up(
        self, *, only_backends: bool = False, report: Report = silent, timeout_s: float = READY_TIMEOUT_S
    ) -> StackStatus:
        """Bring the stack up and return when all of it is ready. What runs already goes on. Raises `DevstackError`."""
        make_home(self.settings)
        with self._one_at_a_time():
            before = self._settled_status()
            names = {process.name for process in before.processes}
            wanted = () if only_backends else service_processes(self.settings, self._services)
            if before.phase == "down":
                self._launch(self._plan(wanted, report), report)
            else:
                self._refuse_other_settings()
                missing = tuple(spec for spec in wanted if spec.name not in names)
                if missing:
                    self.extend(missing, report)
            try:
                return self._wait_until_ready(report, timeout_s)
            except NotReadyError:
                raise
            except DevstackError:
                if before.phase == "down":
                    self.down()
                raise

    def start(self, plan: Plan, *, report: Report = silent, timeout_s: float = READY_TIMEOUT_S) -> StackStatus:
        """Run this plan instead of the usual one; the stack has to be down. Raises `DevstackError`."""
        make_home(self.settings)
        with self._one_at_a_time():
            self._launch(plan, report)
            return self._wait_until_ready(report, timeout_s)

    def extend(self, services: tuple[ProcessSpec, ...], report: Report = silent) -> None:
        """Run these services too; what runs already goes on. Raises `DevstackError`."""
        path = self.settings.home / PLAN
        plan = Plan.model_validate_json(path.read_bytes())
        require_free_ports(self.settings, services)
        plan = plan.model_copy(update={"services": (*plan.services, *services)})
        write_private(path, plan.model_dump_json())
        report("Starting " + ", ".join(spec.name for spec in services))
        self._ask({"do": "extend", "plan": plan.model_dump(mode="json")})

    def down(self, *, wipe: bool = False, report: Report = silent) -> None:
        """End everything that belongs to this home, also what a killed supervisor left; `wipe`: forget all data too."""
        supervisor = recorded_process(self.settings.home / RECORD)
        if supervisor is not None:
            report("Stopping")
            send([supervisor], signal.SIGTERM)
            # It gives the services and then the backends their time, one after the other.
            wait_gone([supervisor], 2 * STOP_TIMEOUT_S + 5)
            if runs(supervisor):
                send([supervisor], signal.SIGKILL)
                wait_gone([supervisor], STOP_TIMEOUT_S)
        if self._daemon is not None:
            self._daemon.wait()
            self._daemon = None
        end_leftovers(self.settings, report)
        if wipe:
            report("Forgetting all data")
            forget(self.settings, (*DATA, "logs"))
        else:
            tidy(self.settings)

    def status(self) -> StackStatus:
        """What runs now."""
        return ask_status(self._control)

    def environment(self) -> dict[str, str]:
        """What a client of this stack needs, as environment variables."""
        return environment_of(self.settings)

    def kill(self, name: str, signum: int = signal.SIGKILL) -> None:
        """Send the signal to the process and to all that it started. The supervisor starts it again if it dies."""
        self._ask({"do": "signal", "name": name, "signal": int(signum)})

    def restart(self, name: str) -> None:
        """Stop the process as `down` would, and have it started again at once; returns when it has stopped."""
        self._ask({"do": "restart", "name": name})

    def ensure_topics(self) -> None:
        """Create the topics that are missing. Raises `DevstackError`."""
        asyncio.run(ensure_topics(self.settings.bootstrap, self.settings.partitions))

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> StackStatus:
        """Wait until everything runs (again). Raises `NotReadyError`."""
        return self._wait_until_ready(silent, timeout_s)

    @property
    def _control(self) -> Path:
        return self.settings.sockets / CONTROL

    def _ask(self, request: dict[str, object]) -> None:
        if ask(self._control, request) is None:
            raise DevstackError("The stack is down; `python -m devstack up` starts it.")

    def _plan(self, services: tuple[ProcessSpec, ...], report: Report) -> Plan:
        """Everything the supervisor needs to know; what has to be fetched or made for it is, broker and database at once."""
        settings = self.settings
        with ThreadPoolExecutor() as pool:
            making: list[Future[ProcessSpec]] = []
            if settings.runs_kafka:
                making.append(pool.submit(self._prepare_kafka, report))
            if settings.runs_postgres:
                making.append(pool.submit(postgres_process, settings, report))
            backends = tuple(future.result() for future in making)
        return Plan(
            backends=(*backends, smtp_sink(settings)),
            services=services,
            topics=(settings.bootstrap, settings.partitions),
            postgres=settings.own_dsn(SUPERUSER, SUPERUSER) if settings.runs_postgres else None,
            databases=tuple(name for name in DATABASES if name not in settings.external_databases),
        )

    def _prepare_kafka(self, report: Report) -> ProcessSpec:
        java = find_java(report)
        jars = ensure_jars(report)
        return kafka_process(self.settings, java, jars, ensure_classes(self.settings, java, jars, report), report)

    def _launch(self, plan: Plan, report: Report) -> None:
        end_leftovers(self.settings, report)
        require_free_ports(self.settings, (*plan.backends, *plan.services))
        write_private(self.settings.home / PLAN, plan.model_dump_json())
        report("Starting " + ", ".join(spec.name for spec in (*plan.backends, *plan.services)))
        with (self.settings.logs / "supervisor.log").open("ab") as log:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "devstack.supervisor", str(self.settings.home), str(self.settings.offset)],
                cwd=CLONE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # The mark: a `down` that comes before the supervisor has recorded itself finds it all the same.
                env={**os.environ, "PYTHONUNBUFFERED": "1", MARK: str(self.settings.home)},
            )

    def _settled_status(self) -> StackStatus:
        """The status, after a `down` that is under way has come to its end."""
        deadline = time.monotonic() + 2 * STOP_TIMEOUT_S + 5
        while (status := self.status()).phase == "stopping" and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        supervisor = recorded_process(self.settings.home / RECORD)
        if status.phase == "down" and supervisor is not None:
            # It answers no more, but its lock has to be free before the next one starts.
            wait_gone([supervisor], STOP_TIMEOUT_S)
        return status

    def _refuse_other_settings(self) -> None:
        running = Plan.model_validate_json((self.settings.home / PLAN).read_bytes()).topics
        wanted = (self.settings.bootstrap, self.settings.partitions)
        if running is not None and running != wanted:
            raise DevstackError(
                f"The stack runs already, with the broker at {running[0]} and {running[1]} partitions, not at {wanted[0]} "
                f"and {wanted[1]}. Take it down first, or use another DEVSTACK_HOME."
            )

    def _wait_until_ready(self, report: Report, timeout_s: float) -> StackStatus:
        deadline = time.monotonic() + timeout_s
        seen: set[str] = set()
        while True:
            status = self.status()
            if status.all_run:
                return status
            if status.phase == "failed":
                raise DevstackError(status.problem or "The stack failed.")
            if status.phase == "down" and self._daemon is not None and self._daemon.poll() is not None:
                raise DevstackError(f"The supervisor ended; {self.settings.logs / 'supervisor.log'} tells why.")
            for process in status.processes:
                if process.state == "ready" and process.name not in seen:
                    seen.add(process.name)
                    report(f"{process.name} is ready at {process.address}")
            self._raise_if_hopeless(status, late=time.monotonic() > deadline)
            time.sleep(_POLL_S)

    def _raise_if_hopeless(self, status: StackStatus, *, late: bool) -> None:
        waited_for = [process for process in status.processes if process.state != "ready"]
        for process in waited_for:
            if process.failures >= _HOPELESS or late:
                how = process.last_exit or "runs, but is not ready"
                raise NotReadyError(
                    f"{process.name} does not come up ({how}): {_last_words(process.log)} See {process.log}."
                )
        if late:
            raise NotReadyError(f"The stack is not ready in time ({status.phase}); see {self.settings.logs}.")

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Two `up`s at once: the second one waits and then finds everything there."""
        handle = os.open(self.settings.home / "up.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _last_words(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(errors="replace")[-4000:].splitlines() if line.strip()]
    except OSError:
        return "it printed nothing."
    return lines[-1][-300:] if lines else "it printed nothing."
