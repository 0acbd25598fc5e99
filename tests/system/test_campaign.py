"""Campaigns: worlds made from seeds, in which everything goes wrong that can. What they found once is played again for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulation.campaign.kinds import KINDS, planned
from simulation.campaign.make import make
from simulation.campaign.run import play
from simulation.campaign.script import dump, parse, read

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.json"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_campaign_found_once_does_not_come_back(path: Path) -> None:
    result = play(read(path))
    assert result.broken == ()
    never = planned(read(path)) - result.happened.keys()
    assert not never, "the script no longer does what it was kept for"


def test_a_script_survives_being_written_down() -> None:
    assert parse(dump(make(7))) == make(7)


def test_a_seed_makes_the_same_world_whatever_the_hashes_of_the_interpreter_are() -> None:
    command = [sys.executable, "-m", "simulation", "hash", "--seeds", "40:44", "--orders", "12"]
    found = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert len(found.pop().splitlines()) == 4


def test_every_kind_of_fault_is_planned_by_some_seed() -> None:
    plans: Counter[str] = Counter()
    for seed in range(100):
        plans.update(planned(make(seed)))
    assert set(KINDS) == plans.keys()
