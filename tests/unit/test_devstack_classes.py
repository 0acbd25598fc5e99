"""The broker's prepared classes: made once for a Java and its jars, and never in the way of a start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from devstack.classes import ensure_classes
from devstack.settings import Settings

#: Speaks of its version, formats nothing, and as a broker listens until it is told to stop; then it writes what it was asked to.
JAVA = """#!{python}
import os, signal, socket, sys
arguments, calls = sys.argv[1:], {calls!r}
open(calls, "a").write(arguments[-1] + "\\n") if "kafka.Kafka" in arguments else None
if arguments == ["-version"]:
    print("fake {version}")
elif "kafka.Kafka" in arguments:
    if {fails!r}:
        sys.exit("no such luck")
    asked = [one.split("=", 1)[1] for one in arguments if one.startswith("-XX:ArchiveClassesAtExit=")]
    def stop(*_):
        if {writes!r}:
            open(asked[0], "w").write("classes")
        os._exit(143)
    signal.signal(signal.SIGTERM, stop)
    config = dict(line.strip().split("=", 1) for line in open(arguments[-1]))
    port = int(config["listeners"].split(",")[0].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        while True:
            signal.pause()
"""


class Workshop:
    """A fake Java, two jars, and what was started and told."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.jars = home / "jars"
        self.jars.mkdir()
        for name in ("a.jar", "b.jar"):
            (self.jars / name).write_text(name)
        self.calls = home / "calls"
        self.calls.touch()
        self.cache = home / "cache"
        self.told: list[str] = []
        self.java(version="17")

    def java(self, *, version: str, writes: bool = True, fails: bool = False) -> None:
        path = self.home / "java"
        path.write_text(
            JAVA.format(python=sys.executable, calls=str(self.calls), version=version, writes=writes, fails=fails)
        )
        path.chmod(0o755)

    def ensure(self) -> Path | None:
        settings = Settings(home=self.home / "stack")
        return ensure_classes(settings, str(self.home / "java"), self.jars, self.told.append, self.cache)

    @property
    def brokers(self) -> int:
        return len(self.calls.read_text().splitlines())


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_they_are_prepared_once(workshop: Workshop) -> None:
    made = workshop.ensure()
    assert made is not None
    assert made.read_text() == "classes"
    assert workshop.ensure() == made
    assert workshop.brokers == 1
    assert len(workshop.told) == 1


def test_another_java_or_another_jar_has_them_prepared_anew_and_the_old_file_is_gone(workshop: Workshop) -> None:
    first = workshop.ensure()
    workshop.java(version="21")
    second = workshop.ensure()
    os.utime(workshop.jars / "a.jar", (1, 1))
    third = workshop.ensure()
    assert len({first, second, third}) == 3
    assert [path for path in workshop.cache.iterdir() if path.suffix == ".jsa"] == [third]


def test_a_java_that_writes_none_is_not_asked_again(workshop: Workshop) -> None:
    workshop.java(version="17", writes=False)
    assert workshop.ensure() is None
    assert workshop.ensure() is None
    assert workshop.brokers == 1


def test_a_broker_that_does_not_start_is_told_with_its_reason_and_tried_again(workshop: Workshop) -> None:
    workshop.java(version="17", fails=True)
    assert workshop.ensure() is None
    assert "no such luck" in workshop.told[-1]
    workshop.java(version="17")
    assert workshop.ensure() is not None
    assert not list(workshop.cache.glob("making-*"))
