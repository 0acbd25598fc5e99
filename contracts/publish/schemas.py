"""A JSON Schema (draft 7) for every message, made from the models: the whole envelope in structured mode, in one piece."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from contracts.envelope import CommandEnvelope, Envelope
from contracts.registry import COMMANDS, EVENTS
from contracts.values import RFC_3339

Schema = dict[str, Any]

DIALECT: Final = "http://json-schema.org/draft-07/schema#"

#: What a command's envelope says; everything else there is an extension that is passed over, whatever it holds.
_OF_A_COMMAND: Final = ("specversion", "id", "source", "type", "subject", "time", "data")


@cache
def message_schemas() -> dict[str, Schema]:
    """The schema of every message by its type, not to be changed. The same models give the same schemas, key for key."""
    commands = {
        name: _schema(name, topic, "command", CommandEnvelope[model], model)  # type: ignore[valid-type]
        for topic, models in COMMANDS.items()
        for name, model in models.items()
    }
    events = {
        name: _schema(name, topic, "event", Envelope[model], model)  # type: ignore[valid-type]
        for topic, models in EVENTS.items()
        for name, model in models.items()
    }
    return dict(sorted({**commands, **events}.items()))


def _schema(name: str, topic: str, kind: str, envelope: type[BaseModel], data: type[BaseModel]) -> Schema:
    generated = envelope.model_json_schema()
    whole = _plain(generated, generated.get("$defs", {}), opened=kind == "event")
    properties = whole["properties"]
    properties["type"] = {"const": name}
    properties["specversion"] = {"const": "1.0"}
    if kind == "command":
        properties = {field: properties[field] for field in _OF_A_COMMAND}
    return {
        "$schema": DIALECT,
        "$id": f"urn:order-processing:{name}",
        "title": name,
        "description": _described(data),
        "x-kind": kind,
        "x-topic": topic,
        "type": "object",
        "required": whole["required"],
        "properties": properties,
    }


def _plain(node: Any, definitions: Schema, *, opened: bool) -> Any:
    """The schema in one piece: references are filled in, and pydantic's made-up titles left out. `opened`: our readers of events
    pass unknown fields over at every depth, so that no object is closed."""
    if isinstance(node, list):
        return [_plain(child, definitions, opened=opened) for child in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        aside = {name: value for name, value in node.items() if name != "$ref"}
        return _plain({**definitions[node["$ref"].rpartition("/")[2]], **aside}, definitions, opened=opened)
    plain: Schema = {}
    for name, value in node.items():
        if name == "properties":
            plain[name] = {field: _plain(child, definitions, opened=opened) for field, child in value.items()}
        elif name not in ("$defs", "title") and not (opened and name == "additionalProperties"):
            plain[name] = _plain(value, definitions, opened=opened)
    if plain.get("format") == "date-time":
        # `format` is only a note to many validators; a pattern is checked by all of them.
        plain["pattern"] = RFC_3339
    if "description" in plain:
        plain["description"] = " ".join(plain["description"].split())
    return plain


def _described(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())
