"""The Makefile: each target once, and each told by `make help`."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Parts of `make test` and `make check`, which tell of them.
PARTS = {
    *(
        "test-sim",
        "test-e2e",
        "test-integration",
        "test-integration-1",
        "test-integration-2",
        "test-others",
        "test-inputs",
    ),
    *("check-1", "check-2", "check-3"),
}


def test_every_target_is_there_once_and_help_tells_what_it_is_for() -> None:
    text = (ROOT / "Makefile").read_text()
    found = re.search(r"^\.PHONY:(.*)$", text, re.MULTILINE)
    assert found is not None
    targets = set(found[1].split())
    recipes = Counter(re.findall(r"^([a-z0-9-]+):(?!=)", text, re.MULTILINE))
    assert [name for name, count in recipes.items() if count > 1] == []
    assert targets - PARTS <= recipes.keys()
    # `make test` runs this test: its flags are not for the `make` asked here.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    told = subprocess.run(["make", "help"], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert told.stderr == ""
    assert {line.split()[0] for line in told.stdout.splitlines()} == targets - PARTS


def test_the_parts_of_check_are_every_unit_test_and_each_once() -> None:
    parts = paths_of("CHECKED")
    assert sorted(parts) == sorted([ROOT / "tests" / "contract", *(ROOT / "tests" / "unit").glob("test_*.py")])


def test_the_parts_of_test_are_every_integration_test_and_each_once() -> None:
    assert sorted(paths_of("INTEGRATION")) == sorted((ROOT / "tests" / "integration").glob("test_*.py"))


def test_every_part_of_test_runs_and_every_report_is_read() -> None:
    text = (ROOT / "Makefile").read_text()
    parts, reports = (
        set(found[1].split())
        for name in ("PARTS_OF_TEST", "REPORTS")
        if (found := re.search(rf"^{name} := (.*)$", text, re.MULTILINE))
    )
    assert parts == {part for part in PARTS if part.startswith("test-")} - {"test-integration"}
    assert {Path(path).stem for path in reports} == {
        part.removeprefix("test-") for part in parts - {"test-sim", "test-inputs"}
    }


def paths_of(name: str) -> list[Path]:
    """What the patterns of the parts find, as often as they find it."""
    patterns = re.findall(rf"^{name}_\d := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return [path for line in patterns for pattern in line.split() for path in ROOT.glob(pattern)]
