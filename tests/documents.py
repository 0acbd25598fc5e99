"""What stands in a document's blocks of code, so that tests can run it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Block:
    """A block of code. `info` is what stands behind its opening fence."""

    info: str
    text: str


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document, by its path in the tree."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [Block(info, body) for info, body in re.findall(r"^```(\S.*?)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def joined(document: str, info: str) -> str:
    """All blocks of one kind, one after another."""
    return "\n\n".join(block.text for block in blocks(document) if block.info == info)
