"""The list of long runs is one that `make proof` understands."""

from __future__ import annotations

import sys

import pytest

from chaos.proof import LIST, commands


def test_every_line_of_the_list_is_a_name_and_a_command() -> None:
    found = list(commands(LIST.read_text()))
    assert len({name for name, _ in found}) == len(found)
    assert all(argv[0] in (sys.executable, "make") for _, argv in found), "the clone's own Python"


def test_a_line_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="name: command"):
        list(commands("python -m chaos"))
