"""What stands in a document's blocks of code, so that tests can run it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```(\S.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code. `info` is what stands behind its opening fence; `shows` the block of text right below it, if there is
    one: what it prints."""

    info: str
    text: str
    shows: str | None = None


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document, by its path in the tree. What a block shows is no block of its own."""
    found: list[Block] = []
    end = None
    for match in _BLOCK.finditer((ROOT / document).read_text(encoding="utf-8")):
        info, text = match.groups()
        if info == "text" and end is not None and match.start() == end + 1:
            found[-1] = Block(found[-1].info, found[-1].text, shows=text)
        else:
            found.append(Block(info, text))
        end = match.end()
    return found


def joined(document: str, info: str) -> str:
    """All blocks of one kind, one after another."""
    return "\n\n".join(block.text for block in blocks(document) if block.info == info)
