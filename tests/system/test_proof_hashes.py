"""The run that compares seeds' hashes finds one that differs, and goes on only with what the same code and interpreters found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proof import results
from proof.hashes import Tally, resumed


def an_interpreter(folder: Path, then: str) -> str:
    """A Python that plays, and whose lines then go through a `sed` script."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\n"{sys.executable}" "$@" | sed "{then}"\n')
    path.chmod(0o755)
    return str(path)


def test_seeds_that_two_interpreters_play_alike_are_the_same() -> None:
    tally = Tally()
    tally.take([sys.executable] * 2, 2, 2)
    tally.take([sys.executable] * 2, 3, 2)
    assert (tally.seeds, tally.different) == (3, [])


def test_a_seed_that_is_played_otherwise_is_told_with_both_hashes(tmp_path: Path) -> None:
    tally = Tally()
    tally.take([sys.executable, an_interpreter(tmp_path, "s/^1 ./1 x/")], 3, 2)
    [(one, other)] = tally.different
    assert one.startswith("1 ")
    assert other == "1 x" + one[3:]


def test_a_seed_that_was_not_played_is_no_equal_one(tmp_path: Path) -> None:
    python = an_interpreter(tmp_path, "2d")
    with pytest.raises((RuntimeError, ValueError)):
        Tally().take([python, python], 3, 2)


def test_a_run_goes_on_only_with_what_the_same_code_and_interpreters_found() -> None:
    left = {"seeds": 7, "different": [], "pythons": ["a", "b"], "orders_each": 10, "commit": results.commit()}
    assert resumed(left, ["a", "b"], 10).seeds == 7
    assert resumed(left, ["a", "c"], 10).seeds == 0
    assert resumed(left, ["a", "b"], 20).seeds == 0
    assert resumed({**left, "commit": "another"}, ["a", "b"], 10).seeds == 0
