"""Reading JSON from strangers: what Python's parser lets pass in silence is noticed here."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

MAX_DEPTH: Final = 32
#: Python refuses to read numbers beyond 4,300 digits; nothing here needs that many.
MAX_DIGITS: Final = 100


class NotJsonError(Exception):
    """The bytes are not JSON. `reason` is one of empty, not-utf8, not-json, too-deep."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed document with what was wrong with it, and the names that stood twice in its outermost object."""

    document: Any
    flaw: str | None
    repeated: frozenset[str]

    def repeats(self, name: str) -> bool:
        """Whether the outermost object has this key more than once, so that its value is anybody's guess."""
        return name in self.repeated


def loads(value: bytes | None) -> Parsed:
    """Parse UTF-8 JSON. Raises `NotJsonError`; duplicate keys, NaN and lone surrogates are told as a flaw instead."""
    if not value:
        raise NotJsonError("empty", "The record has no value.")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise NotJsonError("not-utf8", "The record is not UTF-8.") from None
    flaws: list[str] = []
    repeated: frozenset[str] = frozenset()

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        result = dict(found)
        # Objects close from the inside out: what the last call leaves behind belongs to the outermost one.
        repeated = frozenset()
        if len(result) != len(found):
            times = Counter(name for name, _ in found)
            repeated = frozenset(name for name, count in times.items() if count > 1)
            flaws.append("A key stands twice in the same object.")
        return result

    def constant(_: str) -> None:
        flaws.append("NaN and Infinity are not JSON.")

    def integer(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            flaws.append(f"A number has more than {MAX_DIGITS} digits.")
            return 0
        return int(digits)

    try:
        document = json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_int=integer)
        if "\\u" in text and _has_lone_surrogate(document):
            flaws.append("A text holds half of a surrogate pair.")
    except RecursionError:
        raise NotJsonError("too-deep", f"The record is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError:
        raise NotJsonError("not-json", "The record is not JSON.") from None
    if isinstance(document, (dict, list)) and _too_deep(document):
        flaws.append(f"The record is nested deeper than {MAX_DEPTH} levels.")
    return Parsed(document, flaws[0] if flaws else None, repeated)


def _has_lone_surrogate(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _too_deep(document: Any) -> bool:
    """Whether containers nest deeper than allowed, level by level, so that hostile depth costs no recursion."""
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
