"""The schemas say what the models say: to the samples, to what strangers send, and to what may grow."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import jsonschema_rs
import pytest
from hypothesis import assume, given, settings

from contract.hostile import KEY, START, ask, document, raw
from contract.test_hostile_commands import CAN_BE_TOLD, NOBODY_TO_TELL
from contract.test_hostile_properties import replaced
from contract.test_samples import TOPIC_OF_COMMAND, TYPES, parse, read
from contracts import jsonguard
from contracts.envelope import Envelope
from contracts.publish import files
from contracts.publish.schemas import DIALECT, Schema, message_schemas

SCHEMAS: Final = message_schemas()
EVENTS: Final = sorted(set(TYPES) - set(TOPIC_OF_COMMAND))

#: What the ingress refuses and JSON Schema cannot say, because it is lost once the bytes are parsed, or is no matter of shape.
#: docs/contract.md tells it to those who validate before they send.
BEYOND_A_SCHEMA: Final = {
    "quantity 1.0": "to JSON Schema 1.0 is an integer",
    "quantity 1e2": "to JSON Schema 1e2 is an integer",
    "1 MB of an extension": "the size of a record",
    "a key twice below": "a key that stands twice",
    "a key twice in an extension": "a key that stands twice",
    "a key twice, once escaped": "a key that stands twice",
    "100,000 different keys and one twice": "a key that stands twice",
    "the id twice": "a key that stands twice",
    "the source twice": "a key that stands twice",
    "33 levels": "the depth of what is no part of the message",
    "NaN in an extension": "it is no JSON",
    "half a surrogate in an extension": "it is no Unicode",
    "half a surrogate in a key": "it is no Unicode",
    "half a surrogate in the source": "it is no Unicode",
    "a byte order mark": "the encoding",
    "UTF-16": "the encoding",
}
HOSTILE: Final[dict[str, bytes]] = {
    **CAN_BE_TOLD,
    **{name: value for name, (value, _) in NOBODY_TO_TELL.items() if value is not None},
}


@cache
def validator(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(SCHEMAS[name], validate_formats=True)


def accepts(name: str, value: bytes) -> bool:
    """Whether the schema accepts these bytes, read as Python reads JSON."""
    try:
        return validator(name).is_valid(json.loads(value))
    except RecursionError:
        return False
    except UnicodeEncodeError:  # half a surrogate pair: the validator cannot even take it
        return True
    except ValueError:  # no JSON
        return False


def test_the_generated_files_are_current() -> None:
    found = files.stale(files.generated())
    assert not found, "\n".join([*found.values(), "run: make schemas"])


@pytest.mark.parametrize("name", TYPES)
def test_a_schema_is_valid_and_in_one_piece(name: str) -> None:
    jsonschema_rs.meta.validate(SCHEMAS[name])
    assert SCHEMAS[name]["$schema"] == DIALECT
    assert "$ref" not in json.dumps(SCHEMAS[name])


@pytest.mark.parametrize("name", TYPES)
def test_every_sample_validates_against_its_schema_and_no_other(name: str) -> None:
    sample = json.loads(read(name))
    assert [error.message for error in validator(name).iter_errors(sample)] == []
    assert [other for other in TYPES if validator(other).is_valid(sample)] == [name]


@pytest.mark.parametrize("case", sorted(set(HOSTILE) - set(BEYOND_A_SCHEMA)))
def test_what_the_ingress_refuses_the_schema_refuses(case: str) -> None:
    assert not isinstance(ask(HOSTILE[case]), Envelope)
    assert not accepts(START, HOSTILE[case])


@pytest.mark.parametrize("case", BEYOND_A_SCHEMA)
def test_what_a_schema_cannot_say_is_listed(case: str) -> None:
    assert accepts(START, HOSTILE[case]), "the schema does say it: take it off the list"


@given(replaced())
@settings(max_examples=400)
def test_schema_and_ingress_agree_on_a_command_with_a_value_of_another_kind(value: bytes) -> None:
    parsed = jsonguard.loads(value)
    assume(parsed.flaw is None)
    assume(not _holds_a_round_float(parsed.document))
    assert accepts(START, value) == isinstance(ask(value, key=_key(parsed.document)), Envelope)


def _key(found: Any) -> bytes:
    subject = found.get("subject") if isinstance(found, dict) else None
    return subject.encode() if isinstance(subject, str) else KEY


def _holds_a_round_float(found: Any) -> bool:
    children = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return (isinstance(found, float) and found.is_integer()) or any(_holds_a_round_float(child) for child in children)


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-15T10:00:00Z",
        "2026-01-15T10:00:00.123456789+05:30",
        "2026-01-15t10:00:00z",
        "2026-02-30T10:00:00Z",
        "2026-01-15T24:00:00Z",
        "2026-01-15T10:00:00",
        "2026-01-15T10:00:00+25:00",
        "",
    ],
)
def test_schema_and_ingress_agree_on_times(time: str) -> None:
    assert accepts(START, raw(document(time=time))) == isinstance(ask(raw(document(time=time))), Envelope)


def objects(schema: Schema) -> list[Schema]:
    """Every schema of an object in this one, itself included."""
    items = [schema["items"]] if "items" in schema else []
    below = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *items]
    mine = [schema] if schema.get("type") == "object" else []
    return mine + [one for child in below for one in objects(child)]


@pytest.mark.parametrize("name", sorted(TOPIC_OF_COMMAND))
def test_a_command_is_closed_at_every_depth_and_its_envelope_open(name: str) -> None:
    envelope, *data = objects(SCHEMAS[name])
    assert "additionalProperties" not in envelope
    assert data
    assert all(one["additionalProperties"] is False for one in data)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_open_at_every_depth_for_schemas_and_readers_alike(name: str) -> None:
    assert all("additionalProperties" not in one for one in objects(SCHEMAS[name]))
    grown = _grown(json.loads(read(name)))
    assert validator(name).is_valid(grown)
    assert parse(name, json.dumps(grown).encode()) == parse(name, read(name))


def _grown(found: Any) -> Any:
    """The document with a field that nobody knows in every object."""
    if isinstance(found, list):
        return [_grown(child) for child in found]
    if isinstance(found, dict):
        return {**{name: _grown(child) for name, child in found.items()}, "a_new_field": {"of": ["any", "shape"]}}
    return found


@pytest.mark.parametrize("name", sorted(TOPIC_OF_COMMAND))
def test_a_command_may_leave_out_what_is_not_required(name: str) -> None:
    sample = json.loads(read(name))
    schema = SCHEMAS[name]
    data = schema["properties"]["data"]
    least = {key: value for key, value in sample.items() if key in schema["required"]}
    least["data"] = {key: value for key, value in sample["data"].items() if key in data["required"]}
    assert validator(name).is_valid(least)
    assert parse(name, json.dumps(least).encode()).id == sample["id"]
