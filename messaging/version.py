"""Which code runs here."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[1]
_LETTERS: Final = 7


@cache
def code_version(service: str) -> str:
    """A few letters that are the same in two processes of a service where their code is the same: in a rolling deployment the
    old and the new one can be told apart."""
    digest = sha256()
    for folder in ("contracts", "messaging", f"services/{service}"):
        for path in sorted((_ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".sql"}:
                digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:_LETTERS]
