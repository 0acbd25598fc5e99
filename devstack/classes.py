"""The broker's classes, read and verified once and kept in a file that Java maps into memory, so that a broker starts in about half
the time (class data sharing, JEP 350; Kafka's own container image does the same).

The file is only a shortcut: where it cannot be made, or where Java finds that it fits no longer, the broker starts without it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError
from devstack.jars import only_one
from devstack.kafka import kafka_process
from devstack.ports import free_offset
from devstack.probes import is_ready
from devstack.processes import ProcessSpec
from devstack.progress import Report, silent
from devstack.records import MARK
from devstack.settings import CLONE, Settings

CACHE: Final = CLONE / ".cache" / "kafka-classes"
_SUFFIX: Final = ".jsa"
_MAKING: Final = "making-"
_START_S: Final = 120.0
#: The file is written when the broker stops.
_WRITE_S: Final = 120.0
_POLL_S: Final = 0.05


def ensure_classes(settings: Settings, java: str, jars: Path, report: Report, cache: Path = CACHE) -> Path | None:
    """The file for this Java and these jars, made by a broker that is started and stopped if it is not there; None where this Java
    cannot make one, or where it did not work out this time."""
    cache.mkdir(parents=True, exist_ok=True)
    wanted = cache / f"{_fingerprint(java, jars)}{_SUFFIX}"
    with only_one(cache / "lock"):
        if not wanted.exists():
            report("Preparing the broker's classes, so that it starts faster (once, some 15 s)")
            try:
                _make(settings, java, jars, wanted)
            except (OSError, DevstackError) as error:
                report(f"The broker's classes could not be prepared ({error}); it starts without")
                return None
    # An empty file: this Java writes none.
    return wanted if wanted.stat().st_size else None


def _fingerprint(java: str, jars: Path) -> str:
    """Java refuses a file that another Java made, or whose jars have another path, size or time."""
    version = subprocess.run([java, "-version"], capture_output=True, timeout=30, check=False)
    digest = hashlib.sha256(os.fsencode(Path(java).resolve()) + version.stdout + version.stderr)
    for jar in sorted(jars.iterdir()):
        found = jar.stat()
        digest.update(f"{jar} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _make(settings: Settings, java: str, jars: Path, wanted: Path) -> None:
    for unfinished in wanted.parent.glob(f"{_MAKING}*"):
        shutil.rmtree(unfinished)
    with tempfile.TemporaryDirectory(dir=wanted.parent, prefix=_MAKING) as temporary:
        home, made = Path(temporary), Path(temporary) / wanted.name
        spec = kafka_process(Settings(home=home, offset=free_offset()), java, jars, None, silent)
        with _started(spec, made, home / "kafka.log", mark=settings.home) as broker:
            _wait_until_it_listens(broker, spec, home / "kafka.log")
            broker.terminate()
            broker.wait(_WRITE_S)
        made.touch()
        for old in wanted.parent.glob(f"*{_SUFFIX}"):
            old.unlink()
        made.rename(wanted)


@contextmanager
def _started(spec: ProcessSpec, made: Path, log: Path, mark: Path) -> Iterator[subprocess.Popen[bytes]]:
    java, *arguments = spec.argv
    # The mark: should we be killed meanwhile, the stack's `down` finds the broker.
    env = {**os.environ, **spec.env, MARK: str(mark)}
    with log.open("wb") as output:
        broker = subprocess.Popen(
            [java, f"-XX:ArchiveClassesAtExit={made}", *arguments], stdout=output, stderr=output, env=env
        )
    try:
        yield broker
    except subprocess.TimeoutExpired:
        raise DevstackError(f"it did not stop within {_WRITE_S:.0f} s") from None
    finally:
        broker.kill()
        broker.wait()


def _wait_until_it_listens(broker: subprocess.Popen[bytes], spec: ProcessSpec, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not asyncio.run(is_ready(spec)):
        if broker.poll() is not None:
            raise DevstackError(f"it ended with {broker.returncode}: {log.read_text(errors='replace').strip()[-300:]}")
        if time.monotonic() > deadline:
            raise DevstackError(f"it did not start within {_START_S:.0f} s")
        time.sleep(_POLL_S)
