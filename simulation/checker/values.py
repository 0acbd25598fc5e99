"""Values as numbers. What is equal has one number, so a world is a handful of small integers, and what was worked out about a value
once is looked up ever after."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from simulation.clock import START

#: The moment at which every decision is made. Time passes by everything else moving into the past, so that worlds which differ in
#: the date alone are the same world.
NOW: Final = START


class Numbers:
    """The number of each value, and the value of each number."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def __call__(self, value: Any) -> int:
        """The value's number."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def __len__(self) -> int:
        return len(self.values)


def moved(value: Any, passed: timedelta) -> Any:
    """The same value, `passed` later: every moment in it has come so much nearer, or lies further back."""
    if isinstance(value, datetime):
        return value - passed
    if isinstance(value, tuple):
        items = tuple(moved(item, passed) for item in value)
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    changed = {}
    for name in _field_names(value.__class__):
        before = getattr(value, name)
        after = moved(before, passed)
        if after is not before:
            changed[name] = after
    if not changed:
        return value
    return value.model_copy(update=changed) if isinstance(value, BaseModel) else replace(value, **changed)


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return tuple(kind.model_fields) if issubclass(kind, BaseModel) else ()
