"""Whether what was published still holds: two schemas of one message, and what breaks between them.

A command is written by others: whatever a published schema lets them send, we must go on accepting. An event is written by us
and read by others and, because topics are kept, again by us: it must hold both ways. Documents are taken as their writer
makes them, with the fields of its schema and no others (closed): a field that nobody wrote yet cannot clash with a new one.
Only the schemas that `schemas` makes are understood; what is not, is told as a break rather than passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from contracts.publish.schemas import Schema

#: Which documents the reader refuses.
Harm = Literal["published senders are refused", "published readers cannot read it", "we cannot read what was written"]

_NOTES: Final = frozenset({"$schema", "$id", "title", "description", "default", "examples", "x-kind", "x-topic"})
_LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_EQUAL_ONLY: Final = ("pattern", "format", "not", "multipleOf", "uniqueItems")
_UNDERSTOOD: Final = frozenset(
    {"type", "anyOf", "enum", "const", "properties", "required", "additionalProperties", "items"}
    | {*_LOWER_BOUNDS, *_UPPER_BOUNDS, *_EQUAL_ONLY}
)


@dataclass(frozen=True, slots=True)
class Break:
    """One place in which a published message does not hold any longer."""

    type: str
    path: str
    what: str
    harm: Harm

    def __str__(self) -> str:
        return f"{self.type}: {self.path}: {self.what}; {self.harm}"


def breaks(published: Mapping[str, Schema], current: Mapping[str, Schema]) -> list[Break]:
    """Everything that breaks, message by message. A type that is new breaks nothing."""
    found: list[Break] = []
    for name, old in published.items():
        new = current.get(name)
        if new is None:
            found.append(Break(name, "(message)", "the published type is gone", _harm_to_others(old)))
            continue
        found += [
            Break(name, "(message)", f"{note[2:]} was {old[note]} and is {new[note]}", _harm_to_others(old))
            for note in ("x-kind", "x-topic")
            if old[note] != new[note]
        ]
        found += _between(name, old, new)
    return found


def _harm_to_others(schema: Schema) -> Harm:
    return "published senders are refused" if schema["x-kind"] == "command" else "published readers cannot read it"


def _between(name: str, old: Schema, new: Schema) -> Iterator[Break]:
    is_event = old["x-kind"] == "event"
    harm: Harm = "we cannot read what was written" if is_event else "published senders are refused"
    for path, what in _refused(old, new, ""):
        yield Break(name, path, what, harm)
    for path, what in _changed_meaning(old, new, ""):
        yield Break(name, path, what, harm)
    if is_event:
        for path, what in _refused(new, old, ""):
            yield Break(name, path, what, "published readers cannot read it")
        for path, what in _gone(old, new, ""):
            yield Break(name, path, what, "published readers cannot read it")


# --- is every document of this writer accepted by that reader? ------------------------------------------------------------

Found = Iterator[tuple[str, str]]


def _refused(writer: Schema, reader: Schema, path: str) -> Found:
    """Why a document that the writer's schema allows could be refused by the reader's."""
    strange = sorted(_strange(writer) | _strange(reader))
    if strange and _without_notes(writer) != _without_notes(reader):
        yield path or "(message)", f"{', '.join(strange)} cannot be compared"
        return
    readers = _variants(reader)
    for variant in _variants(writer):
        if any(not list(_refused_by_one(variant, one, path)) for one in readers):
            continue
        alike = [one for one in readers if _type_fits(variant, one)]
        if alike:
            yield from _refused_by_one(variant, alike[0], path)
        else:
            yield path or "(message)", f"{_named(variant)} is not accepted"


def _refused_by_one(writer: Schema, reader: Schema, path: str) -> Found:
    place = path or "(message)"
    if not _type_fits(writer, reader):
        yield place, f"{_named(writer)} is not accepted, {_named(reader)} is"
        return
    written, known = _values(writer), _values(reader)
    if known is not None:
        if written is None:
            yield place, f"only {_listed(known)} is accepted"
        elif unknown := [value for value in written if value not in known]:
            yield place, f"{_listed(unknown)} is not accepted"
        return
    yield from ((place, what) for what in _narrower(writer, reader))
    yield from _refused_fields(writer, reader, path)
    if "items" in reader:
        yield from _refused(writer.get("items", {}), reader["items"], f"{path}[]")


def _narrower(writer: Schema, reader: Schema) -> Iterator[str]:
    exceeds: tuple[tuple[tuple[str, ...], Callable[[Any, Any], bool]], ...] = (
        (_LOWER_BOUNDS, lambda allowed, bound: allowed < bound),
        (_UPPER_BOUNDS, lambda allowed, bound: allowed > bound),
    )
    for keywords, beyond in exceeds:
        for keyword in keywords:
            bound, allowed = reader.get(keyword), writer.get(keyword)
            if bound is not None and (allowed is None or beyond(allowed, bound)):
                yield f"{keyword} {bound} is narrower than {'no limit' if allowed is None else allowed}"
    for keyword in _EQUAL_ONLY:
        if reader.get(keyword) is not None and reader[keyword] != writer.get(keyword):
            yield f"{keyword} is {reader[keyword]!r} and was {writer.get(keyword)!r}"


def _refused_fields(writer: Schema, reader: Schema, path: str) -> Found:
    written, known = writer.get("properties", {}), reader.get("properties", {})
    others = reader.get("additionalProperties", True)
    for field in sorted(set(reader.get("required", ())) - set(writer.get("required", ()))):
        yield _below(path, field), "is required, and may be missing"
    for field, schema in written.items():
        if field in known:
            yield from _refused(schema, known[field], _below(path, field))
        elif others is False:
            yield _below(path, field), "is not known any longer"
        elif isinstance(others, dict):
            yield from _refused(schema, others, _below(path, field))
    free = writer.get("additionalProperties")
    if isinstance(free, dict):
        if others is False:
            yield _below(path, "*"), "is not accepted"
        elif isinstance(others, dict):
            yield from _refused(free, others, _below(path, "*"))


# --- what no reader refuses, but what it takes to mean something else -----------------------------------------------------


def _changed_meaning(old: Schema, new: Schema, path: str) -> Found:
    """What a field that is left out means."""
    if "default" in old and "default" in new and old["default"] != new["default"]:
        yield path, f"the default was {old['default']!r} and is {new['default']!r}"
    for field, before, after in _common_children(old, new, path):
        yield from _changed_meaning(before, after, field)


def _gone(old: Schema, new: Schema, path: str) -> Found:
    """Optional fields that nobody writes any longer: those who used them would find nothing."""
    lost = set(old.get("properties", {})) - set(new.get("properties", {})) - set(old.get("required", ()))
    for field in sorted(lost if "properties" in new else ()):
        yield _below(path, field), "is not written any longer"
    for field, before, after in _common_children(old, new, path):
        yield from _gone(before, after, field)


def _common_children(old: Schema, new: Schema, path: str) -> Iterator[tuple[str, Schema, Schema]]:
    for field, before in old.get("properties", {}).items():
        if field in new.get("properties", {}):
            yield _below(path, field), before, new["properties"][field]
    if "items" in old and "items" in new:
        yield f"{path}[]", old["items"], new["items"]
    for before in old.get("anyOf", ()):
        for after in new.get("anyOf", ()):
            if before.get("type") == after.get("type"):
                yield path, before, after


# --- reading a schema -----------------------------------------------------------------------------------------------------


def _strange(schema: Schema) -> set[str]:
    """The keywords that are not understood here; beside alternatives, or values in so many words, that is every limit."""
    if "anyOf" in schema:
        return set(schema) - _NOTES - {"anyOf"}
    return set(schema) - _NOTES - (_UNDERSTOOD if _values(schema) is None else {"type", "enum", "const"})


def _variants(schema: Schema) -> list[Schema]:
    """The schema as alternatives of one type each."""
    if "anyOf" in schema:
        return [one for variant in schema["anyOf"] for one in _variants(variant)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": one} for one in schema["type"]]
    return [schema]


def _type_fits(writer: Schema, reader: Schema) -> bool:
    written, read = _type(writer), _type(reader)
    return read is None or written == read or (written, read) == ("integer", "number")


def _type(schema: Schema) -> str | None:
    found = schema.get("type")
    if found is None and (values := _values(schema)) is not None:
        kinds = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
        return kinds.get(type(values[0]))
    return found


def _values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _named(schema: Schema) -> str:
    return _type(schema) or "any value"


def _listed(values: list[Any]) -> str:
    return ", ".join(repr(value) for value in values)


def _below(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _without_notes(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name not in _NOTES}
