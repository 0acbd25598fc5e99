"""What may become of a record, and whether it is right: the decoder's answer against the published schemas and against what broker
and database can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Final, Literal

import jsonschema_rs
from pydantic import BaseModel

from contracts import inventory, orders
from contracts.envelope import InvalidCommand, decode_event, encode
from contracts.letters import word_of
from contracts.publish.schemas import message_schemas
from contracts.registry import TYPE_OF
from contracts.topics import COMMAND_TOPICS, MAX_DEAD_LETTER_BYTES
from contracts.values import MAX_RECORD_BYTES, is_id
from messaging.decision import Message
from messaging.decoding import MAX_PUBLISHED_BYTES, DeadLetter, Forward, dead_letter_wire, decode, forward_wire
from messaging.ports import Headers, Record, size_of, wire_headers
from messaging.postgres_lanes import headers_json, headers_of
from proof.hostile.maker import Hostile

Fate = Literal["accepted", "rejected", "set-aside", "forwarded", "passed-over"]
Interests = Mapping[str, frozenset[str]]
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


class WrongError(Exception):
    """The decoder did what it must not do. The message says what."""


def record_of(hostile: Hostile, offset: int = 0) -> Record:
    """The record as a reader would get it."""
    return Record(hostile.topic, hostile.partition, offset, hostile.key, hostile.value, hostile.headers, NOW)


def judge(record: Record, partitions: int, interests: Interests) -> Fate:
    """What becomes of the record. Raises `WrongError`; whatever else is raised is the decoder's fault as well."""
    word = word_of(record.headers)
    if word is not None:
        _storable("a word about a letter", word.operator, word.reason, str(word.letter))
    if len(record.headers) > 2:
        _sound(headers_of(headers_json(record.headers)) == list(record.headers), "headers do not survive their row")
    found = decode(record, partitions, interests)
    match found:
        case Message():
            return _message(record, found)
        case DeadLetter():
            return _dead(found)
        case Forward():
            return _forward(record, found, partitions, interests)
        case None:
            _sound(record.topic not in COMMAND_TOPICS, "a command was passed over")
            return "passed-over"


def _sound(holds: bool, otherwise: str) -> None:
    if not holds:
        raise WrongError(otherwise)


def _message(record: Record, message: Message) -> Fate:
    _sound(is_id(message.id) and is_id(message.source), "a message's sender cannot be told")
    _storable("a message", message.type, message.key, message.answers or "")
    if isinstance(message.data, InvalidCommand):
        _rejected(message.data)
        return "rejected"
    _sound(is_id(message.key), "a message's key is no id")
    data = message.data
    _sound(isinstance(data, BaseModel), "a message has no validated data")
    _storable_json("the data of a message", data.model_dump_json())
    _sound(TYPE_OF[type(data)] == (record.topic, message.type), "a message's data are another type's")
    if record.topic in COMMAND_TOPICS:
        _sound(record.key == message.key.encode(), "an accepted command stands under another key")
        _sound(len(record.value or b"") <= MAX_RECORD_BYTES, "an accepted command is too large")
    _by_the_schema(record, message)
    return "accepted"


@cache
def _validator(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(message_schemas()[name], validate_formats=False)


def _by_the_schema(record: Record, message: Message) -> None:
    """What the decoder accepts the published schema accepts: they are two readings of one contract."""
    try:
        document = json.loads(record.value or b"")
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("id") != message.id:
        return  # binary mode: the envelope stands in the headers, and no schema speaks of those
    if record.topic not in COMMAND_TOPICS:
        document.pop("time", None)  # nobody reads when an event was told; the broker says when it was appended
    _sound(_validator(message.type).is_valid(document), f"{message.type} was accepted, but its schema refuses it")


def _rejected(invalid: InvalidCommand) -> None:
    """The verdict can be told: by each service that tells verdicts, to anybody who reads events."""
    for text, most in ((invalid.message, 1000), (invalid.command_type, 128), (invalid.subject, 64)):
        _sound(0 < len(text) <= most and text.isprintable(), "a verdict cannot be printed")
    for model in (orders.CommandRejected, inventory.CommandRejected):
        verdict = model(
            command_id=invalid.command_id,
            command_type=invalid.command_type,
            reason="invalid",
            message=invalid.message,
            duplicate=False,
        )
        named = TYPE_OF[model][1]
        told = encode(
            id="e",
            source="s",
            type=named,
            subject=invalid.subject,
            data=verdict,
            time=NOW,
            correlationid=invalid.subject,
            causationid=invalid.command_id,
        )
        _storable_json("a verdict", told.decode())
        _sound(decode_event(named, told).data == verdict, "a verdict reads otherwise than it was told")


def _dead(dead: DeadLetter) -> Fate:
    _sound(bool(dead.reason) and bool(dead.error) and dead.error.isprintable(), "a dead letter has no reason")
    wire = dead_letter_wire(1, "somebody", dead, NOW)
    size = size_of(wire.key, wire.value, wire_headers(wire))
    _sound(size <= MAX_DEAD_LETTER_BYTES, "a dead letter does not fit on its topic")
    return "set-aside"


def _forward(record: Record, forward: Forward, partitions: int, interests: Interests) -> Fate:
    """A forwarded command arrives, unchanged unless it is too large, and does not travel for ever."""
    wire = forward_wire(1, forward)
    large = size_of(record.key, record.value, record.headers) > MAX_PUBLISHED_BYTES
    _sound(large or (wire.key, wire.value) == (record.key, record.value), "a forwarded command was changed")
    _sound(
        size_of(wire.key, wire.value, wire_headers(wire)) <= MAX_PUBLISHED_BYTES, "a forwarded command cannot travel"
    )
    there = Record(
        record.topic, wire.partition, 0, wire.key, wire.value, _headers(wire_headers(wire)), record.timestamp
    )
    found = decode(there, partitions, interests)
    _sound(isinstance(found, Message), "a command is forwarded for ever, or arrives as nothing that can be answered")
    return "forwarded"


def _headers(headers: Headers) -> Headers:
    return list(headers)


def _storable(what: str, *texts: str) -> None:
    """PostgreSQL takes it as text, and Kafka as UTF-8."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise WrongError(f"{what} holds half a surrogate pair") from None
        _sound("\x00" not in text, f"{what} holds a NUL")


def _storable_json(what: str, document: str) -> None:
    """PostgreSQL takes it as `jsonb`."""
    _storable(what, document)
    # A backslash that is escaped itself begins nothing.
    _sound("\\u0000" not in document.replace("\\\\", ""), f"{what} holds a NUL")
