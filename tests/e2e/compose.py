"""The stack in containers, behind the verbs of devstack's: what `docker-compose.yml` describes, as a project of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from container_backends import KAFKA_IMAGE, POSTGRES_IMAGE, docker_answers, missing_image, until_both_answer
from waiting import until

from contracts.ports import HTTP_PORTS, WATCHER_PORT
from devstack.ports import free_offset
from devstack.probes import is_ready
from devstack.processes import ProcessSpec
from devstack.settings import DATABASES, KAFKA_PORT, LOOPBACK, MAIL_PAGE_PORT, SMTP_PORT, database_variable
from e2e.stack import CLONE, Place, StackError, place_of

POSTGRES_PORT: Final = 5432
PROMETHEUS_PORT: Final = 9090
PASSWORD: Final = "order-processing"
#: What answers with `/readyz`.
PORTS: Final = {**HTTP_PORTS, "watcher": WATCHER_PORT}
READY_S: Final = 180.0
UP_S: Final = 580
BASE_IMAGE: Final = os.environ.get("BASE_IMAGE", "python:3.11-slim-bookworm")


def compose_command() -> list[str]:
    """`docker compose`, or docker-compose 1.29 where that plugin is not installed; `COMPOSE` chooses."""
    if chosen := os.environ.get("COMPOSE"):
        return chosen.split()
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, timeout=30)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


def images_there() -> bool:
    """Whether an engine answers and what our images are built on and beside is there or to be had."""
    return docker_answers() and missing_image(BASE_IMAGE, KAFKA_IMAGE, POSTGRES_IMAGE) is None


class ComposeStack:
    """A project with volumes and ports of its own, beside whatever else runs in containers here."""

    def __init__(self, name: str, **settings: str) -> None:
        self.home = Path(os.environ.get("E2E_HOME") or CLONE / ".devstack") / f"{name}-compose"
        self._offset = int(os.environ.get("E2E_PORT_OFFSET") or free_offset())
        self._project = f"orders-{name}-{self._offset}"
        self._command = compose_command()
        self._env = {
            "BASE_IMAGE": BASE_IMAGE,
            **os.environ,
            **self._ports(),
            **settings,
            "COMPOSE_PROJECT_NAME": self._project,
        }
        self.about = ""

    def up(self) -> Place:
        """Build the images and start on empty volumes; returns when everything is ready."""
        self._make_mails()
        self._compose("--profile", "observability", "down", "--volumes", "--remove-orphans")
        began = time.monotonic()
        self._compose("build", "--quiet")
        built = time.monotonic()
        self._compose("up", "--detach")
        version = self._run(*self._command, "version", "--short").stdout.strip()
        self.about = (
            f"containers by {' '.join(self._command)} {version}: images built in {built - began:.1f} s, "
            f"all ready {time.monotonic() - built:.1f} s later; project {self._project}"
        )
        return place_of(self._told())

    def down(self, *, wipe: bool) -> None:
        """Take it down. Without `wipe` the volumes and the containers' logs stay to be looked at."""
        if not wipe:
            self.home.mkdir(parents=True, exist_ok=True)
            (self.home / "containers.log").write_text(self._compose("logs", "--no-color", "--timestamps"))
        self._compose("--profile", "observability", "down", "--remove-orphans", *(["--volumes"] if wipe else []))

    async def kill(self, name: str) -> None:
        """`kill -9`, and started again. (An engine does not restart by itself what it was asked to kill.)"""
        container = await asyncio.to_thread(self._container, name)
        await asyncio.to_thread(self._docker, "kill", "--signal", "KILL", container)
        await asyncio.to_thread(self._docker, "start", container)

    async def restart(self, name: str) -> None:
        """Stop it in an orderly way and start it again; returns when everything is ready."""
        await asyncio.to_thread(self._compose, "restart", name)
        await self.wait_ready()

    async def stop(self, name: str) -> tuple[int, float]:
        """SIGTERM, as `docker stop` sends it; the exit code, and after how many seconds."""
        container = await asyncio.to_thread(self._container, name)
        began = time.monotonic()
        await asyncio.to_thread(self._docker, "stop", "--time", "30", container)
        took_s = time.monotonic() - began
        return int(
            await asyncio.to_thread(self._docker, "inspect", "--format", "{{.State.ExitCode}}", container)
        ), took_s

    async def start(self, name: str) -> None:
        """Start it again; returns at once."""
        await asyncio.to_thread(self._docker, "start", await asyncio.to_thread(self._container, name))

    async def start_prometheus(self) -> str:
        """Prometheus of the profile `observability`; where it answers."""
        await asyncio.to_thread(
            self._compose, "--profile", "observability", "up", "--detach", "--no-deps", "prometheus"
        )
        url = f"http://{LOOPBACK}:{PROMETHEUS_PORT + self._offset}"
        spec = ProcessSpec(name="prometheus", argv=(), address=url, probe="http", target=f"{url}/-/ready")
        async with asyncio.timeout(READY_S):
            while not await is_ready(spec):  # noqa: ASYNC110 - the fact is outside this process
                await asyncio.sleep(0.5)
        return url

    def run_in(self, name: str, *argv: str) -> str:
        """What a program in the container prints."""
        return self._docker("exec", self._container(name), *argv)

    async def wait_ready(self) -> None:
        """Wait until everything answers (again). Of broker and database an open port proves nothing: the engine's proxy has it."""
        told = self._told()
        await until_both_answer(told["KAFKA_BOOTSTRAP_SERVERS"], told["ORDERS_DATABASE_URL"], READY_S)
        specs = [self._spec(name) for name in PORTS]

        async def all_ready() -> bool:
            return all(await asyncio.gather(*(is_ready(spec) for spec in specs)))

        await until(all_ready, "every container is ready", READY_S, every_s=0.5)

    def _spec(self, name: str) -> ProcessSpec:
        url = f"http://{LOOPBACK}:{PORTS[name] + self._offset}"
        return ProcessSpec(name=name, argv=(), address=url, probe="http", target=f"{url}/readyz")

    def log(self, name: str) -> str:
        """What a container has written, stdout and stderr, over all of its starts."""
        container = self._container(name)
        done = subprocess.run(
            ["docker", "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=True
        )
        return done.stdout.decode(errors="replace")

    def logs(self) -> dict[str, str]:
        """All of them, by service."""
        return {name: self.log(name) for name in self.status()}

    def status(self) -> dict[str, Any]:
        """Each container's state and health, by its service."""
        listed = self._docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self._project}")
        found = json.loads(self._docker("inspect", *listed.split()))
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one["State"] for one in found}

    def _container(self, name: str) -> str:
        """Names differ between the versions of Compose, labels do not."""
        labels = (f"label=com.docker.compose.project={self._project}", f"label=com.docker.compose.service={name}")
        found = self._docker("ps", "--all", "--quiet", *(part for label in labels for part in ("--filter", label)))
        return found.split()[0]

    def _make_mails(self) -> None:
        """A folder into which the sink, another user, writes what the tests read."""
        mails = self.home / "mails"
        shutil.rmtree(mails, ignore_errors=True)
        mails.mkdir(parents=True)
        mails.chmod(0o777)

    def _ports(self) -> dict[str, str]:
        http = {f"{name.upper().replace('-', '_')}_PORT": port for name, port in PORTS.items()}
        backends = {
            "KAFKA_HOST_PORT": KAFKA_PORT,
            "POSTGRES_HOST_PORT": POSTGRES_PORT,
            "SMTP_HOST_PORT": SMTP_PORT,
            "MAIL_PAGE_PORT": MAIL_PAGE_PORT,
            "PROMETHEUS_PORT": PROMETHEUS_PORT,
        }
        ports = {name: str(port + self._offset) for name, port in {**http, **backends}.items()}
        return {**ports, "MAIL_SINK_DIR": str(self.home / "mails")}

    def _told(self) -> dict[str, str]:
        """What a client on this machine has to know, under devstack's names."""

        def url(name: str) -> str:
            return f"http://{LOOPBACK}:{HTTP_PORTS[name] + self._offset}"

        postgres = f"{LOOPBACK}:{POSTGRES_PORT + self._offset}"
        password = self._env.get("DATABASE_PASSWORD", PASSWORD)
        return {
            **{key: value for key, value in os.environ.items() if not key.endswith(("_API_URL", "_DATABASE_URL"))},
            "DEVSTACK_PORT_OFFSET": str(self._offset),
            "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{KAFKA_PORT + self._offset}",
            "TOPIC_PARTITIONS": self._env.get("TOPIC_PARTITIONS", "4"),
            **{database_variable(name): f"postgresql://{name}:{password}@{postgres}/{name}" for name in DATABASES},
            "ORDERS_API_URL": url("orders-api"),
            **{f"{name.upper()}_API_URL": url(name) for name in ("inventory", "payment", "notification")},
            **{f"{name.upper()}_PROCESS_URLS": url(name) for name in HTTP_PORTS if "-" not in name},
            "MAIL_SINK_DIR": str(self.home / "mails"),
            "MAIL_PAGE_URL": f"http://{LOOPBACK}:{MAIL_PAGE_PORT + self._offset}",
        }

    def _compose(self, *arguments: str) -> str:
        return self._checked(*self._command, *arguments)

    def _docker(self, *arguments: str) -> str:
        return self._checked("docker", *arguments)

    def _checked(self, *argv: str) -> str:
        done = self._run(*argv)
        if done.returncode != 0:
            raise StackError(f"{' '.join(argv)}: {(done.stdout + done.stderr).strip()[-3000:]}")
        return done.stdout

    def _run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, cwd=CLONE, env=self._env, capture_output=True, text=True, timeout=UP_S, check=False)
