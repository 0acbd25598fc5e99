"""Every published message keeps a sample that parses for ever: what was once written to a topic can still be read.

A type whose data has grown keeps its old sample and gets another one, `TYPE+WHAT.json`, that shows what is new."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import AwareDatetime, BaseModel, TypeAdapter

from contracts.envelope import Envelope, decode_command, decode_event, encode, headers_for
from contracts.registry import COMMANDS, EVENTS
from contracts.values import CommandData, EventData

SAMPLES = Path(__file__).parent / "samples"
SUMS = Path(__file__).parent / "samples.sha256"
TOPIC_OF_COMMAND = {name: topic for topic, commands in COMMANDS.items() for name in commands}
TYPES = sorted([*TOPIC_OF_COMMAND, *(name for events in EVENTS.values() for name in events)])
NAMES = sorted(path.stem for path in SAMPLES.glob("*.json"))


def type_of(name: str) -> str:
    """The message type that the sample is of."""
    return name.partition("+")[0]


def read(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def parse(name: str, value: bytes) -> Envelope[Any]:
    """As the reader of this type's topic does."""
    topic = TOPIC_OF_COMMAND.get(type_of(name))
    if topic is None:
        return decode_event(type_of(name), value)
    found = decode_command(topic, json.loads(value)["subject"].encode(), value, headers_for(type_of(name)))
    assert isinstance(found, Envelope), found
    return found


def test_every_published_type_has_a_sample_and_no_sample_is_an_orphan() -> None:
    assert {name for name in NAMES if "+" not in name} == set(TYPES)
    assert {type_of(name) for name in NAMES} == set(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_the_samples_of_a_type_show_every_field(name: str) -> None:
    samples = [sample for sample in NAMES if type_of(sample) == name]
    shown = {field for sample in samples for field in json.loads(read(sample))["data"]}
    assert shown == set(type(parse(name, read(name)).data).model_fields)


def test_no_sample_was_changed() -> None:
    """A sample is a fact about the past: a changed message is a new version, with a sample of its own."""
    found = {f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in SAMPLES.glob("*.json")}
    assert found == set(SUMS.read_text().splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_parses_to_all_that_it_says(name: str) -> None:
    document = json.loads(read(name))
    envelope = parse(name, read(name))
    assert (envelope.id, envelope.source, envelope.type, envelope.subject) == tuple(
        document[field] for field in ("id", "source", "type", "subject")
    )
    assert envelope.time == TypeAdapter(AwareDatetime).validate_python(document["time"])
    assert json.loads(envelope.data.model_dump_json(exclude_unset=True)) == document["data"]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_re_encodes_to_the_same_message(name: str) -> None:
    document = json.loads(read(name))
    envelope = parse(name, read(name))
    data: CommandData | EventData = envelope.data
    assert envelope.time is not None
    again = encode(
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        subject=envelope.subject,
        data=data,
        time=envelope.time,
        correlationid=document["correlationid"],
        causationid=document.get("causationid"),
        sequence=document.get("sequence"),
        traceparent=document.get("traceparent"),
    )
    assert parse(name, again) == envelope
    written = json.loads(again)
    assert TypeAdapter(AwareDatetime).validate_python(written.pop("time")) == envelope.time
    del document["time"]
    assert written == document


@pytest.mark.parametrize("name", sorted(name for events in EVENTS.values() for name in events))
def test_an_event_may_grow_and_its_old_readers_do_not_mind(name: str) -> None:
    document = json.loads(read(name))
    grown = {**document, "someextension": 7, "data": {**document["data"], "a_new_field": {"of": ["any", "shape"]}}}
    assert parse(name, json.dumps(grown).encode()) == parse(name, read(name))


@pytest.mark.parametrize("name", TYPES)
def test_what_a_message_has_grown_by_may_be_missing(name: str) -> None:
    document = json.loads(read(name))
    fields = type(parse(name, read(name)).data).model_fields
    document["data"] = {field: value for field, value in document["data"].items() if fields[field].is_required()}
    assert parse(name, json.dumps(document).encode()).type == name


@pytest.mark.parametrize("name", sorted(TOPIC_OF_COMMAND))
def test_a_command_with_an_unknown_field_is_invalid(name: str) -> None:
    document = json.loads(read(name))
    document["data"]["an_unknown_field"] = 1
    found = decode_command(TOPIC_OF_COMMAND[name], document["subject"].encode(), json.dumps(document).encode(), [])
    assert not isinstance(found, Envelope)
    assert found.message == "data.an_unknown_field: Extra inputs are not permitted"


def test_all_published_models_are_frozen_and_strict() -> None:
    models: list[type[BaseModel]] = [
        m for group in (COMMANDS, EVENTS) for models in group.values() for m in models.values()
    ]
    assert all(m.model_config.get("frozen") and m.model_config.get("strict") for m in models)
