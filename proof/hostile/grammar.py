"""Valid documents, grown from the published schemas: the grammar that all hostile messages are bent from."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from contracts.publish.schemas import Schema

_TIME: Final = "2026-01-15T10:00:00Z"
_MOST_LINES: Final = 3
Grow = Callable[[Random], Any]


def grower(schema: Schema, name: Callable[[Random], str]) -> Grow:
    """A function that grows documents the schema accepts. `name` gives what ids and texts are called."""
    if "const" in schema:
        return lambda _, value=schema["const"]: value  # type: ignore[misc]
    if "enum" in schema:
        return lambda random, values=tuple(schema["enum"]): random.choice(values)  # type: ignore[misc]
    if "anyOf" in schema:
        choices = [grower(one, name) for one in schema["anyOf"]]
        return lambda random: random.choice(choices)(random)
    return _GROWERS[schema.get("type", "null")](schema, name)


def _object(schema: Schema, name: Callable[[Random], str]) -> Grow:
    required = frozenset(schema.get("required", ()))
    members = [(field, field in required, grower(one, name)) for field, one in schema.get("properties", {}).items()]

    def grow(random: Random) -> dict[str, Any]:
        return {field: one(random) for field, always, one in members if always or random.random() < 0.3}

    return grow


def _array(schema: Schema, name: Callable[[Random], str]) -> Grow:
    item, fewest = grower(schema["items"], name), schema.get("minItems", 0)
    return lambda random: [item(random) for _ in range(max(fewest, random.randrange(_MOST_LINES + 1)))]


def _integer(schema: Schema, _: Callable[[Random], str]) -> Grow:
    low, high = schema.get("minimum", 0), schema.get("maximum", 2**31)
    edges = (low, min(low + 1, high), min(low + 7, high), high)
    return lambda random: random.choice(edges)


def _string(schema: Schema, name: Callable[[Random], str]) -> Grow:
    pattern = schema.get("pattern", "")
    if schema.get("format") == "date-time":
        return lambda _: _TIME
    if "[A-Z]{3}" in pattern:
        return lambda random: random.choice(("GBP", "EUR", "JPY"))
    if "@" in pattern:
        return lambda random: f"{name(random)}@example.com"
    return name


_GROWERS: Final[dict[str, Callable[[Schema, Callable[[Random], str]], Grow]]] = {
    "object": _object,
    "array": _array,
    "integer": _integer,
    "number": _integer,
    "string": _string,
    "boolean": lambda schema, name: lambda random: random.random() < 0.5,
    "null": lambda schema, name: lambda random: None,
}
