"""The hand-made bugs as patches: each fits the code, each a bug of its own. That they are found, `make mutants` shows."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace

import pytest
from documents import ROOT
from mutants.catalogue import FAST, PARTS
from mutants.mutant import Mutant, RottenError

MUTANTS = [mutant for part in PARTS for mutant in part.mutants]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_changes_what_the_code_means_in_one_place(mutant: Mutant) -> None:
    before = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert ast.dump(ast.parse(mutant.source())) != ast.dump(ast.parse(before))


def test_there_are_a_hundred_each_with_a_name_and_a_bug_of_its_own() -> None:
    assert len(MUTANTS) == 105
    for values in ([m.name for m in MUTANTS], [m.bug for m in MUTANTS], [(m.file, m.old, m.new) for m in MUTANTS]):
        assert [value for value, count in Counter(values).items() if count > 1] == []


def test_twenty_five_fast_ones_stand_for_every_part() -> None:
    assert len(FAST) == 25
    assert {mutant.name for mutant in MUTANTS} >= FAST
    assert all(any(mutant.name in FAST for mutant in part.mutants) for part in PARTS)


@pytest.mark.parametrize("old", ["no such text", "return"], ids=["gone", "there-more-than-once"])
def test_a_patch_that_the_code_has_moved_away_from_is_told_loudly(old: str) -> None:
    with pytest.raises(RottenError, match=MUTANTS[0].name):
        replace(MUTANTS[0], old=old).source()


def test_every_test_that_is_asked_is_there() -> None:
    asked = {word for part in PARTS for one in part.killers for word in one.split() if word.startswith("tests/")}
    asked |= {f"tests/{mutant.likely.split()[0]}" for mutant in MUTANTS if mutant.likely}
    for path, _, name in (one.partition("::") for one in sorted(asked)):
        assert not name or f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{name}"
        assert (ROOT / path).is_file(), path
