"""Changes to files as a document shows them: `diff` blocks without line numbers, which say by their context where they belong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class DoesNotFitError(AssertionError):
    """The lines that a change stands between are not in its file, or are there more than once."""


@dataclass(frozen=True)
class Hunk:
    """Lines that become other lines; what they have in common says where."""

    before: str
    after: str


def hunks(diff: str) -> list[Hunk]:
    """The changes of a `diff` block; `@@` stands between them."""
    found = []
    for part in f"{diff}\n".split("\n@@\n"):
        lines = part.strip("\n").split("\n")
        assert all(line[:1] in {" ", "+", "-", ""} for line in lines), (
            f"a line of a diff begins with ' ', '+' or '-': {part}"
        )
        found.append(Hunk(_side(lines, "-"), _side(lines, "+")))
    return found


def _side(lines: list[str], sign: str) -> str:
    return "".join(f"{line[1:]}\n" for line in lines if line[:1] in {" ", sign, ""})


def apply(path: Path, diff: str) -> None:
    """Make the change. Raises `DoesNotFitError`."""
    for hunk in hunks(diff):
        _replace(path, hunk.before, hunk.after)


def take_back(path: Path, diff: str) -> None:
    """Undo the change. Raises `DoesNotFitError`."""
    for hunk in hunks(diff):
        _replace(path, hunk.after, hunk.before)


def _replace(path: Path, old: str, new: str) -> None:
    text = "\n" + path.read_text(encoding="utf-8")
    places = text.count(f"\n{old}")
    if places != 1:
        raise DoesNotFitError(f"{path}: these lines stand there {places} times instead of once:\n{old}")
    path.write_text(text.replace(f"\n{old}", f"\n{new}")[1:], encoding="utf-8")
