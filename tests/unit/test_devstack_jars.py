"""No jar runs that is not the pinned one."""

import hashlib
from pathlib import Path

import pytest

from devstack import jars
from devstack.errors import JarsError
from devstack.java import java_version
from devstack.progress import silent


def test_every_pin_names_a_jar_with_its_version() -> None:
    pinned = jars.read_pins(jars.PINS)
    assert "kafka_2.13-4.3.1.jar" in pinned
    assert "kafka-clients-4.3.1.jar" in pinned
    assert all(name.endswith(".jar") and len(digest) == 64 for name, digest in pinned.items())


def test_what_differs_is_named(tmp_path: Path) -> None:
    (tmp_path / "a-1.jar").write_bytes(b"a")
    pinned = {"a-1.jar": hashlib.sha256(b"a").hexdigest()}
    assert jars.difference(tmp_path, pinned) is None
    assert jars.difference(tmp_path, {**pinned, "b-1.jar": ""}) == "b-1.jar missing"
    (tmp_path / "c-1.jar").write_bytes(b"c")
    assert jars.difference(tmp_path, pinned) == "c-1.jar not on the list"
    (tmp_path / "c-1.jar").unlink()
    (tmp_path / "a-1.jar").write_bytes(b"A")
    assert jars.difference(tmp_path, pinned) == "a-1.jar with another SHA-256"


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    path = tmp_path / "pins"
    path.write_text(f"{hashlib.sha256(b'genuine').hexdigest()}  a-1.jar\n")
    return path


def put_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program called mvn stands first on the PATH; in it, $OUT is the folder that the jars go to."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    find_out = 'for arg in "$@"; do case "$arg" in -DoutputDirectory=*) OUT="${arg#-DoutputDirectory=}";; esac; done\n'
    program = folder / "mvn"
    program.write_text(f"#!/bin/sh\n{find_out}{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_fetched_jars_are_kept_and_a_damaged_cache_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pins: Path
) -> None:
    put_maven(tmp_path, monkeypatch, f'echo >> {tmp_path}/calls; printf genuine > "$OUT/a-1.jar"')
    folder = jars.ensure_jars(silent, tmp_path / "cache", pins)
    assert jars.ensure_jars(silent, tmp_path / "cache", pins) == folder
    calls = (tmp_path / "calls").read_text()
    assert len(calls) == len(jars.COORDINATES)
    (folder / "a-1.jar").write_bytes(b"damaged")
    assert jars.ensure_jars(silent, tmp_path / "cache", pins) == folder
    assert (folder / "a-1.jar").read_bytes() == b"genuine"


def test_a_foreign_jar_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pins: Path
) -> None:
    put_maven(tmp_path, monkeypatch, 'printf forged > "$OUT/a-1.jar"')
    with pytest.raises(JarsError, match=r"refused: a-1\.jar with another SHA-256"):
        jars.ensure_jars(silent, tmp_path / "cache", pins)
    assert not list((tmp_path / "cache").glob("*/"))


def test_without_a_network_the_message_says_what_failed_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pins: Path
) -> None:
    put_maven(tmp_path, monkeypatch, 'echo "[ERROR] Network is unreachable"; exit 1')
    with pytest.raises(JarsError, match=r"mvn failed: Network is unreachable\. Is the network there"):
        jars.ensure_jars(silent, tmp_path / "cache", pins)


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "25" x', 25),
        ("", None),
    ],
)
def test_javas_version_is_read_from_what_it_says(tmp_path: Path, told: str, version: int | None) -> None:
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\necho '{told}' >&2\n")
    java.chmod(0o755)
    assert java_version(str(java)) == version


def test_a_java_that_is_not_there_has_no_version() -> None:
    assert java_version("/nowhere/java") is None
