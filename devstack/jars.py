"""The broker's jars: fetched once, each one pinned by version and SHA-256.

A jar that is not on the list, or is another than the list says, is refused; so is a set that lacks one.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError, JarsError
from devstack.java import install_java_requirements
from devstack.progress import Report
from devstack.settings import CLONE

PINS: Final = Path(__file__).with_name("jars.sha256")
CACHE: Final = CLONE / ".cache" / "kafka-jars"

#: Resolved one by one: together, jgo picks kafka-clients 3.9 beside a 4.3 server.
COORDINATES: Final = ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")

_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_TIMEOUT_S: Final = 600
_POM: Final = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>devstack</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
  </dependency></dependencies>
</project>
"""


def ensure_jars(report: Report, cache: Path = CACHE, pins: Path = PINS) -> Path:
    """The folder with exactly the pinned jars, fetched if it is not there. Raises `JarsError`."""
    pinned = read_pins(pins)
    # The folder's name follows from the list, so that a new list never meets an old folder.
    folder = cache / hashlib.sha256(pins.read_bytes()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with only_one(cache / "lock"):
        if folder.is_dir():
            problem = difference(folder, pinned)
            if problem is None:
                return folder
            report(f"The cached jars are damaged ({problem}): fetching them again")
            shutil.rmtree(folder)
        with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as temporary:
            fetched = Path(temporary) / "jars"
            fetched.mkdir()
            _fetch(fetched, report)
            problem = difference(fetched, pinned)
            if problem is not None:
                raise JarsError(
                    f"The fetched jars are refused: {problem}. The list of {pins.name} is right; "
                    "look at what your Maven repository or mirror delivers."
                )
            fetched.rename(folder)
    return folder


def read_pins(pins: Path) -> dict[str, str]:
    """File name to SHA-256, from a list as `sha256sum` writes it."""
    pairs = (line.split() for line in pins.read_text().splitlines() if line.strip())
    return {name: digest for digest, name in pairs}


def difference(folder: Path, pinned: Mapping[str, str]) -> str | None:
    """How the folder's content differs from the list, in words; None if it does not."""
    found = {path.name for path in folder.iterdir()}
    if foreign := sorted(found - pinned.keys()):
        return f"{', '.join(foreign)} not on the list"
    if lacking := sorted(pinned.keys() - found):
        return f"{', '.join(lacking)} missing"
    changed = [name for name in sorted(found) if _sha256(folder / name) != pinned[name]]
    return f"{', '.join(changed)} with another SHA-256" if changed else None


def _fetch(into: Path, report: Report) -> None:
    mvn = shutil.which("mvn")
    report(f"Fetching the broker's jars with {'mvn' if mvn else 'jgo'} (once, 44 MB)")
    try:
        for coordinate in COORDINATES:
            if mvn:
                _with_maven(mvn, coordinate, into)
            else:
                _with_jgo(coordinate, into)
    except (subprocess.TimeoutExpired, DevstackError) as error:
        raise JarsError(
            f"The broker's jars could not be fetched: {error} "
            "Is the network there (and, behind a proxy, is Maven's settings.xml or pip's configuration right)? Then try again."
        ) from None


def _with_maven(mvn: str, coordinate: str, into: Path) -> None:
    group, artifact, version = coordinate.split(":")
    with tempfile.TemporaryDirectory() as project:
        pom = Path(project) / "pom.xml"
        pom.write_text(_POM.format(group=group, artifact=artifact, version=version))
        _run(
            [
                mvn,
                "-B",
                "-q",
                "-Dstyle.color=never",
                "-f",
                str(pom),
                _COPY,
                "-DincludeScope=runtime",
                f"-DoutputDirectory={into}",
            ],
            "mvn",
        )


def _with_jgo(coordinate: str, into: Path) -> None:
    if importlib.util.find_spec("jgo") is None:
        install_java_requirements()
    # A process of its own: jgo may just have been installed, and its progress and its failures stay apart from ours.
    _run([sys.executable, "-m", "devstack.jgo_fetch", coordinate, str(into)], "jgo")


def _run(argv: list[str], what: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False, cwd=CLONE)
    if done.returncode != 0:
        raise DevstackError(f"{what} failed: {_reason(done.stdout + done.stderr)}")


def _reason(output: str) -> str:
    """The line that tells most: Maven's first error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    chosen = re.findall(r"\[ERROR\] +(\S.*)", output)[:1] or lines[-1:] or ["no message"]
    return chosen[0][:400].rstrip(".") + "."


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """One process at a time; the others wait and then find what the first one made."""
    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
