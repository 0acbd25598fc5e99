"""The list of failures at the end of `make test`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from failures import failures, main

TESTS = """
import pytest

def test_right(): ...

def test_wrong():
    assert list(range(100)) == [], "not empty"

@pytest.fixture
def broken(): raise RuntimeError("no broker")

def test_without_a_broker(broken): ...
"""


def _report(tmp_path: Path) -> Path:
    (tmp_path / "test_some.py").write_text(TESTS)
    report = tmp_path / "some.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
        f"--junitxml={report}",
    ]
    assert subprocess.run([*command, "test_some.py"], cwd=tmp_path, capture_output=True, check=False).returncode == 1
    return report


def test_what_failed_is_told_with_its_message_and_no_more(tmp_path: Path) -> None:
    wrong, broken = failures(_report(tmp_path))
    assert wrong.startswith("test_some::test_wrong")
    assert "AssertionError: not empty" in wrong
    assert len(wrong.splitlines()) < 30
    assert broken.startswith("test_some::test_without_a_broker")
    assert "no broker" in broken


def test_a_suite_that_did_not_come_to_its_end_is_a_failure(tmp_path: Path) -> None:
    (cut := tmp_path / "cut.xml").write_text("<testsuites><testsuite>")
    for report in (cut, tmp_path / "none.xml"):
        assert ["its tests did not come to their end" in one for one in failures(report)] == [True]
        assert main([report]) == 1


def test_where_nothing_failed_nothing_is_told(tmp_path: Path) -> None:
    (report := tmp_path / "well.xml").write_text("<testsuites><testsuite><testcase name='a'/></testsuite></testsuites>")
    assert main([report]) == 0
