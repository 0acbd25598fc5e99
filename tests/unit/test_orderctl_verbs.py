"""What holds for every verb of the client, whoever adds one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from orderctl.exits import IN_WORDS, Exit
from orderctl.main import app

DOCUMENT = (Path(__file__).parents[2] / "docs" / "orderctl.md").read_text()


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb with its words, those of the groups too."""
    for name, found in getattr(command, "commands", {}).items():
        yield from verbs(found, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


VERBS = dict(verbs(get_command(app)))


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_verb_has_help_with_exit_codes_and_json_and_stands_in_the_document(path: tuple[str, ...]) -> None:
    told = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert told.exit_code == 0
    assert "--json" in told.output
    assert IN_WORDS in " ".join(told.output.split())
    assert f"`{path[0]}" in DOCUMENT
    assert path[-1] in DOCUMENT


def test_every_exit_code_is_told_in_words_and_in_the_document() -> None:
    assert [int(code) for code in Exit] == [int(word) for word in IN_WORDS.replace(",", "").split() if word.isdigit()]
    assert all(f"| {int(code)} |" in DOCUMENT for code in Exit)
