"""Other people's programs as clients: orderctl, kcat, and the Java console producer of the broker's own jars."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from devstack.jars import CACHE, PINS
from devstack.java import find_java
from e2e.stack import CLONE, Place
from e2e.warm import Warm

TOOLS_JAR: Final = "kafka-tools-4.3.1"
TOOLS_SHA256: Final = "62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c"


class NoConsoleProducerError(Exception):
    """Kafka's console producer cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Everything it printed."""
        return self.stdout + self.stderr


async def orderctl(place: Place, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 180) -> Done:
    """The command-line client against this stack."""
    return await asyncio.to_thread(_orderctl, arguments, {**place.env, **(env or {})}, timeout_s)


@cache
def _warm() -> Warm:
    found = Warm()
    atexit.register(found.close)
    return found


def _orderctl(arguments: Sequence[str], env: Mapping[str, str], timeout_s: float) -> Done:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            code = _warm().call(arguments, env, out, err, timeout_s)
        except TimeoutError:
            raise AssertionError(f"orderctl {arguments[:2]} did not end within {timeout_s:.0f} s") from None
        for file in (out, err):
            file.seek(0)
        return Done(code, out.read().decode(errors="replace"), err.read().decode(errors="replace"))


async def run(
    argv: list[str], *, env: Mapping[str, str] | None = None, stdin: str | None = None, timeout_s: float = 180
) -> Done:
    """A program to its end."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=CLONE,
        env=env,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(None if stdin is None else stdin.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"{argv[:4]} did not end within {timeout_s:.0f} s") from None
    return Done(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


def kcat() -> str | None:
    """kcat, where it is installed (Debian: `apt-get install kcat`)."""
    return shutil.which("kcat") or shutil.which("kafkacat")


def console_producer() -> tuple[str, ...]:
    """Kafka's own console producer, with the broker's jars and one more that only this needs. Raises `NoConsoleProducerError`."""
    jars = CACHE / hashlib.sha256(PINS.read_bytes()).hexdigest()[:16]
    if not jars.is_dir():
        raise NoConsoleProducerError("devstack's Kafka jars are not here (`make up` fetches them)")
    class_path = f"{_tools_jar()}{os.pathsep}{jars / '*'}"
    java = find_java(lambda _: None)
    return (
        java,
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        class_path,
        "org.apache.kafka.tools.ConsoleProducer",
    )


def _tools_jar() -> Path:
    """The one jar that the broker does not need, pinned like the broker's; fetched once."""
    jar = CACHE.parent / "kafka-tools" / f"{TOOLS_JAR}.jar"
    if not jar.exists():
        with tempfile.TemporaryDirectory() as folder:
            _fetch_tools(Path(folder))
            fetched = Path(folder) / jar.name
            if not fetched.exists() or hashlib.sha256(fetched.read_bytes()).hexdigest() != TOOLS_SHA256:
                raise NoConsoleProducerError(f"what was fetched is not the {jar.name} that is pinned")
            jar.parent.mkdir(parents=True, exist_ok=True)
            # First beside it, then renamed: whoever looks meanwhile finds nothing or all of it.
            beside = jar.with_suffix(f".{os.getpid()}")
            shutil.copyfile(fetched, beside)
            beside.replace(jar)
    return jar


def _fetch_tools(folder: Path) -> None:
    mvn, version = shutil.which("mvn"), TOOLS_JAR.removeprefix("kafka-tools-")
    if mvn:
        copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        artifact = f"-Dartifact=org.apache.kafka:kafka-tools:{version}"
        argv = [mvn, "-B", "-q", copy, artifact, f"-DoutputDirectory={folder}"]
    else:
        argv = [sys.executable, "-m", "devstack.jgo_fetch", f"org.apache.kafka:kafka-tools:{version}", str(folder)]
    try:
        done = subprocess.run(
            argv, cwd=folder if mvn else CLONE, capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoConsoleProducerError(f"{TOOLS_JAR}.jar was not fetched within 180 s") from None
    if done.returncode != 0:
        raise NoConsoleProducerError(
            f"{TOOLS_JAR}.jar could not be fetched: {(done.stdout + done.stderr).strip()[-300:]}"
        )
