"""The commands of a document, as a reader types them: blocks of shell, each with what it prints where the document says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """Commands, and the lines that they print; None where the document does not say."""

    commands: str
    prints: str | None


def blocks(path: Path) -> list[Block]:
    """The document's blocks in their order; a block of text belongs to the commands right above it."""
    found: list[Block] = []
    end = -1
    for match in _BLOCK.finditer(path.read_text()):
        kind, body = match.groups()
        if kind == "sh":
            found.append(Block(body, None))
        else:
            assert match.start() == end + 1, f"a block of text without commands above it: {body}"
            found[-1] = Block(found[-1].commands, body)
        end = match.end()
    return found
