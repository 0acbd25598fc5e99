"""The fast ones of the hand-made bugs (see `tests/mutants`) are found by the tests, each within seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT
from mutants.catalogue import FAST

DEADLINE_S = 300

#: A change that changes nothing, and a test that fails whatever it is run on: neither may count as a kill.
HONEST = """
from mutants.lab import Lab
from mutants.mutant import Mutant
file, old, new = "services/customer/tiers.py", "completed_orders >= from_orders", "from_orders <= completed_orders"
harmless = Mutant("harmless", "none", file, old, new)
lab = Lab()
print(lab.try_to_kill(harmless, ("tests/unit/test_customer_domain.py",)).status)
always = f"{folder}/test_always.py::test_it_fails"
print(lab.try_to_kill(harmless, (always,)).status, len(lab.fail_anyway([always], [harmless.module])))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """How each of them ended. They are run together: what takes long is to load the product once."""
    path = tmp_path_factory.mktemp("mutants") / "fast.json"
    run = python("-m", "mutants", "--fast", "--json", str(path))
    assert path.exists(), run.stderr
    return {result["name"]: result for result in json.loads(path.read_text(encoding="utf-8"))["results"]}


@pytest.mark.parametrize("name", sorted(FAST))
def test_the_bug_is_found(results: dict[str, dict[str, Any]], name: str) -> None:
    assert results[name]["status"] == "killed", results[name]


def test_a_change_that_changes_nothing_survives_and_a_test_that_always_fails_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_always.py").write_text(
        "def test_it_fails() -> None:\n    raise AssertionError\n", encoding="utf-8"
    )
    run = python("-c", f"folder = {str(tmp_path)!r}\n{HONEST}")
    assert run.stdout.split() == ["survived", "killed", "1"], run.stderr
