"""The envelope of every message: CloudEvents 1.0, JSON, structured mode; binary mode is understood on the command topics.

Reading is done in two strictnesses. Events and our own commands come from this system's outboxes and are validated against their
model in one pass over the bytes. On the command topics anybody may write: there the bytes are looked at hard first
(duplicate keys, NaN, depth, size), and what is wrong is turned into a verdict wherever the sender can be told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import to_json

from contracts import jsonguard
from contracts.registry import COMMANDS, EVENT_MODELS
from contracts.values import MAX_RECORD_BYTES, CommandData, EventData, Id, Time, is_id

CONTENT_TYPE: Final = "content-type"
STRUCTURED: Final = "application/cloudevents+json"
TYPE_HEADER: Final = "ce_type"

#: Says that the command was too large to go on to its partition and has left its data behind. Whoever sends it himself has his
#: command rejected.
TOO_LARGE_HEADER: Final = "forwarded-too-large"

Headers = Sequence[tuple[str, bytes | None]]
D = TypeVar("D")

#: As JSON has to write it. Behind a backslash that is escaped itself the same bytes mean something else.
_NUL: Final = b"\\u0000"
_NAME: Final = re.compile(r"^(?:[0-9]{1,6}|[A-Za-z_][A-Za-z_-]{0,39})$")


class Envelope(BaseModel, Generic[D]):
    """A message with its validated data. Unknown extensions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True, allow_inf_nan=False)

    specversion: Literal["1.0"]
    id: Id
    source: Id
    type: str
    subject: Id
    data: D
    time: AwareDatetime | None = None
    correlationid: str | None = None
    causationid: str | None = None
    sequence: int | None = None
    traceparent: str | None = None


class CommandEnvelope(Envelope[D], Generic[D]):
    """A command as anybody may write it. What our events carry beyond CloudEvents are unknown extensions of a command; only
    the trace is taken over, where it can be one."""

    time: Time | None = None

    @field_validator("correlationid", "causationid", "sequence", mode="before")
    @classmethod
    def _pass_over(cls, value: object) -> None:
        return None

    @field_validator("traceparent", mode="before")
    @classmethod
    def _trace_or_nothing(cls, value: object) -> object:
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class InvalidCommand:
    """A command that nobody can carry out, from a sender who can be told. `message` never repeats the input."""

    command_id: str
    source: str
    command_type: str
    subject: str
    message: str


class Unreadable(Exception):  # noqa: N818 - it is a fact about a record, named for what a reader does with it
    """The record cannot be answered, because what it is or who sent it cannot be read: it belongs to the dead letters."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def encode(
    *,
    id: str,
    source: str,
    type: str,
    subject: str,
    data: CommandData | EventData,
    time: datetime,
    correlationid: str,
    causationid: str | None = None,
    sequence: int | None = None,
    traceparent: str | None = None,
) -> bytes:
    """The message as structured JSON. Attributes that are None are left out, and so is what a command does not say: its reader
    knows the defaults, and some of them depend on more than the command."""
    attributes: dict[str, object] = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": type,
        "subject": subject,
        "time": time,
        "correlationid": correlationid,
    }
    if causationid is not None:
        attributes["causationid"] = causationid
    if sequence is not None:
        attributes["sequence"] = sequence
    if traceparent is not None:
        attributes["traceparent"] = traceparent
    attributes["datacontenttype"] = "application/json"
    # What a command does not say is left out: a default spelled out would read as a wish.
    silent = isinstance(data, CommandData) and len(data.model_fields_set) < len(data.__class__.model_fields)
    attributes["data"] = data.model_dump(exclude_unset=True) if silent else data
    return to_json(attributes)


def headers_for(message_type: str) -> list[tuple[str, bytes]]:
    """The record headers of a message of this type; the type stands there so that readers can skip without parsing."""
    return [(CONTENT_TYPE, STRUCTURED.encode()), (TYPE_HEADER, message_type.encode())]


def too_large(command: Envelope[CommandData] | InvalidCommand) -> tuple[bytes, Headers]:
    """Value and headers of what is left of a command that is too large to travel: enough to be answered."""
    if isinstance(command, InvalidCommand):
        id, named = command.command_id, command.command_type
    else:
        id, named = command.id, command.type
    left = {"specversion": "1.0", "id": id, "source": command.source, "type": named, "subject": command.subject}
    return to_json(left), [(CONTENT_TYPE, STRUCTURED.encode()), (TOO_LARGE_HEADER, b"1")]


def header(headers: Headers, name: str) -> str | None:
    """The first header of that name as text, or None. Bytes that are not UTF-8 read as replacement characters."""
    for key, value in headers:
        if key.lower() == name and value is not None:
            return value.decode("utf-8", errors="replace")
    return None


def event_type(value: bytes | None, headers: Headers) -> str:
    """What kind of event this is, from its header if there is one, else from the record. Raises `Unreadable`."""
    found = header(headers, TYPE_HEADER)
    if found is not None:
        return found
    document = _parse(value).document
    named = document.get("type") if isinstance(document, dict) else None
    if not isinstance(named, str):
        raise Unreadable("not-an-event", "The record is no CloudEvent: it has no type.")
    return named


def decode_event(message_type: str, value: bytes | None) -> Envelope[EventData]:
    """An event of one of the services. Raises `Unreadable` where it is not what its type promises."""
    if value is None:
        raise Unreadable("empty", "The record has no value.")
    # No database takes a NUL in a text: what holds one is set aside here, before it is refused with all that its batch would write.
    if _NUL in value and _NUL in value.replace(b"\\\\", b""):
        raise Unreadable("invalid-event", "A text holds the NUL character.")
    try:
        envelope: Envelope[EventData] = _event_model(message_type).validate_json(value)
    except ValidationError as error:
        raise Unreadable("invalid-event", explain(error)) from None
    if envelope.type != message_type:
        raise Unreadable("invalid-event", "The type in the header is not the type in the envelope.")
    return envelope


def decode_command(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers
) -> Envelope[CommandData] | InvalidCommand:
    """A command from anybody. Raises `Unreadable` where its sender or its id cannot be read."""
    flaw: str | None = None
    if _is_binary(headers):
        value, flaw = _structured_from_binary(value, headers)
    parsed = _parse(value)
    document = parsed.document
    if not isinstance(document, dict):
        raise Unreadable("not-an-object", "The record is JSON, but not an object.")
    command_id, source = document.get("id"), document.get("source")
    if not is_id(command_id) or not is_id(source) or parsed.repeats("id") or parsed.repeats("source"):
        raise Unreadable("unreadable-sender", "The command's id or source cannot be read: there is nobody to answer.")
    command_type = document.get("type")
    named = command_type if isinstance(command_type, str) and command_type else "unknown"
    key_text = _key_text(key)
    subject = document.get("subject")

    def invalid(message: str) -> InvalidCommand:
        return InvalidCommand(
            str(command_id), str(source), _printable(named), _answer_under(subject, key_text), message
        )

    if header(headers, TOO_LARGE_HEADER) is not None:
        return invalid("The record was too large to go on to the partition of its key.")
    problem = flaw or _problem(parsed, value, subject, key_text)
    if problem is not None:
        return invalid(problem)
    model = COMMANDS[topic].get(named)
    if model is None:
        return invalid(f"This is not a type of command that {topic} takes.")
    try:
        envelope: Envelope[CommandData] = _command_model(model).model_validate_json(value or b"")
    except ValidationError as error:
        return invalid(explain(error))
    return envelope


def explain(error: ValidationError, most: int = 5) -> str:
    """What is wrong and where, without repeating the input."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{_place(problem['loc'])}: {problem['msg']}" for problem in problems[:most]]
    if len(problems) > most:
        told.append(f"and {len(problems) - most} more")
    return _printable("; ".join(told), 900)


def _place(location: tuple[int | str, ...]) -> str:
    """Where the problem is. An unknown field is the input's own word: it is told only if it reads like a field's name."""
    parts = (str(part) for part in location)
    return ".".join(part if _NAME.match(part) else "(unknown)" for part in parts) or "message"


def _parse(value: bytes | None) -> jsonguard.Parsed:
    try:
        return jsonguard.loads(value)
    except jsonguard.NotJsonError as error:
        raise Unreadable(error.reason, str(error)) from None


def _problem(parsed: jsonguard.Parsed, value: bytes | None, subject: object, key: str | None) -> str | None:
    """The first thing that is wrong with the envelope beyond what its model checks."""
    if value is not None and len(value) > MAX_RECORD_BYTES:
        return f"The record is larger than {MAX_RECORD_BYTES} bytes."
    if parsed.flaw is not None:
        return parsed.flaw
    if not is_id(subject):
        return "subject: must be 1 to 64 printable characters without spaces at the ends"
    if key is None:
        return "The record has no key; it must be the subject."
    if key != subject:
        return "The record's key is not the subject."
    return None


def _answer_under(subject: object, key: str | None) -> str:
    """Where the verdict stands: under the subject, else under the key, else under what of either can be printed."""
    if is_id(subject):
        return str(subject)
    if is_id(key):
        return str(key)
    fallback = subject if isinstance(subject, str) and subject else key
    return _printable(fallback or "unknown", 64).strip() or "unknown"


def _key_text(key: bytes | None) -> str | None:
    if key is None:
        return None
    return key.decode("utf-8", errors="backslashreplace")


def _printable(text: str, most: int = 128) -> str:
    """`text` with everything that does not print escaped, cut to `most` characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:most])[:most]


def _is_binary(headers: Headers) -> bool:
    content_type = header(headers, CONTENT_TYPE) or ""
    return not content_type.lower().startswith(STRUCTURED) and header(headers, "ce_specversion") is not None


def _structured_from_binary(value: bytes | None, headers: Headers) -> tuple[bytes, str | None]:
    """CloudEvents' binary mode: the attributes are headers, the value is the data. A value that is no JSON is told as a flaw:
    who sent it stands in the headers all the same."""
    body, flaw = value if value else b"null", None
    try:
        _parse(body)
    except Unreadable as error:
        body, flaw = b"null", str(error)
    # One member per header, so that an attribute that stands twice is found like any key that does.
    members = [
        to_json(name[3:].lower()) + b":" + to_json(raw.decode("utf-8", errors="backslashreplace"))
        for name, raw in headers
        if name.lower().startswith("ce_") and raw is not None
    ]
    return b"{" + b",".join([*members, b'"data":' + body]) + b"}", flaw


@cache
def _command_model(model: type[CommandData]) -> type[Envelope[CommandData]]:
    return CommandEnvelope[model]  # type: ignore[valid-type]


@cache
def _event_model(message_type: str) -> _EventReader:
    return _EventReader(message_type)


class _EventReader:
    """Validates the events of one type; a type that no contract knows is unreadable."""

    def __init__(self, message_type: str) -> None:
        model = EVENT_MODELS.get(message_type)
        if model is None:
            raise Unreadable("unknown-type", "No contract knows this type of event.")
        self._model: type[Envelope[EventData]] = Envelope[model]  # type: ignore[valid-type]

    def validate_json(self, value: bytes) -> Envelope[EventData]:
        # An event may grow at every depth, also where it holds lines that are strict in a command.
        return self._model.model_validate_json(value, extra="ignore")
