"""Other people's programs as clients: orderctl, kcat, and the Java console producer of the broker's own jars."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from devstack.jars import CACHE, PINS
from devstack.java import find_java
from e2e.stack import CLONE, Place


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


async def orderctl(place: Place, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> Done:
    """The command-line client against this stack."""
    argv = [sys.executable, "-m", "orderctl", *arguments]
    return await run(argv, env={**place.env, **(env or {})}, timeout_s=timeout_s)


async def run(
    argv: list[str], *, env: Mapping[str, str] | None = None, stdin: str | None = None, timeout_s: float = 60
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


@cache
def console_producer() -> tuple[str, ...] | None:
    """The broker's own console producer, where devstack has its jars; None for a stack that devstack did not make."""
    jars: Path = CACHE / hashlib.sha256(PINS.read_bytes()).hexdigest()[:16]
    if not jars.is_dir():
        return None
    java = find_java(lambda _: None)
    return (
        java,
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        f"{jars}/*",
        "org.apache.kafka.tools.ConsoleProducer",
    )
