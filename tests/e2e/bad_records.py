"""Records that no service can carry out, and what becomes of each: a verdict where its sender can be told, else a dead letter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from e2e.shop import STRUCTURED, Headers, envelope

VERDICT: Final = "verdict"
DEAD: Final = "dead letter"
#: Where the record may go on to another partition, a large one cannot: either is right, as long as it is told.
EITHER: Final = "either"
HUGE: Final = 2**63


@dataclass(frozen=True, slots=True)
class Bad:
    """A record. `command_id` is what its verdict would name."""

    name: str
    command_id: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    fate: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A command that would be accepted: what is bent. `count` is a whole number in its data, `text` a text or an id."""

    type: str
    data: Callable[[str], dict[str, Any]]
    count: tuple[str, ...]
    text: tuple[str, ...]


def bad_records(sample: Sample, new_id: Callable[[str], str]) -> Iterator[Bad]:
    """All of them, each with ids of its own."""
    for name, bend, fate in (*_ENVELOPES, *_VALUES):
        key, command_id = new_id("bad"), new_id("badcmd")
        document = envelope(sample.type, key, sample.data(key), command_id)
        yield Bad(name, command_id, *_record(bend(document, sample), key), fate)
    yield from _raw(sample, new_id)


Bend = Callable[[dict[str, Any], Sample], Any]


def _record(bent: Any, key: str) -> tuple[bytes | None, bytes | None, Headers]:
    """A bent document stays as it is, or names another key, or is text already."""
    found: bytes | None = key.encode()
    if isinstance(bent, tuple):
        bent, found = bent
    text = bent if isinstance(bent, str) else json.dumps(bent)
    return found, text.encode("utf-8", errors="surrogatepass"), STRUCTURED


def _with(**changes: Any) -> Bend:
    return lambda document, _: {**document, **changes}


def _without(name: str) -> Bend:
    return lambda document, _: {key: value for key, value in document.items() if key != name}


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The document with another value somewhere in its data; a list's first element is where a path goes on."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    place: Any = copy["data"]
    for step in path[:-1]:
        place = place[step]
        place = place[0] if isinstance(place, list) else place
    place[path[-1]] = value
    return copy


def _count(value: Any) -> Bend:
    return lambda document, sample: _put(document, sample.count, value)


def _text(value: Any) -> Bend:
    return lambda document, sample: _put(document, sample.text, value)


def _literal(text: str) -> Bend:
    """A number as it is typed, which Python would not write."""
    return lambda document, sample: json.dumps(_put(document, sample.count, "@@")).replace('"@@"', text)


def _nested(depth: int) -> Bend:
    def bend(document: dict[str, Any], _: Sample) -> str:
        return json.dumps({**document, "data": "@@"}).replace('"@@"', "[" * depth + "]" * depth)

    return bend


def _twice(name: str) -> Bend:
    def bend(document: dict[str, Any], _: Sample) -> str:
        text = json.dumps(document)
        return f'{text[:-1]}, "{name}": {json.dumps(document[name])}}}'

    return bend


def _padded(size: int) -> Bend:
    def bend(document: dict[str, Any], _: Sample) -> dict[str, Any]:
        return {**document, "padding": "x" * (size - len(json.dumps(document)) - 20)}

    return bend


def _subject(subject: str) -> Bend:
    return lambda document, _: ({**document, "subject": subject}, subject.encode("utf-8", errors="surrogatepass"))


_ENVELOPES: Final[tuple[tuple[str, Bend, str], ...]] = (
    ("no key", lambda document, _: (document, None), VERDICT),
    ("key unlike the subject", lambda document, _: (document, b"another"), VERDICT),
    ("key that is not UTF-8", lambda document, _: (document, b"\xff\xfe\x00"), VERDICT),
    ("no subject", _without("subject"), VERDICT),
    ("subject with NUL", _subject("a\x00b"), VERDICT),
    ("subject with bidi", _subject("abc\u202edef"), VERDICT),
    ("subject of 65", _subject("x" * 65), VERDICT),
    ("empty subject", _with(subject=""), VERDICT),
    ("no type", _without("type"), VERDICT),
    ("unknown type", _with(type="orders.explode.v1"), VERDICT),
    ("type that is a number", _with(type=7), VERDICT),
    ("an event's type", _with(type="orders.order-completed.v1"), VERDICT),
    ("another topic's type", _with(type="greetings.hello.v1"), VERDICT),
    ("no specversion", _without("specversion"), VERDICT),
    ("old specversion", _with(specversion="0.3"), VERDICT),
    ("no data", _without("data"), VERDICT),
    ("data null", _with(data=None), VERDICT),
    ("data a list", _with(data=[1, 2, 3]), VERDICT),
    ("data in text", _with(data="{}"), VERDICT),
    ("unknown field", lambda document, _: _put(document, ("surprise",), 1), VERDICT),
    ("data twice", _twice("data"), VERDICT),
    ("subject twice", _twice("subject"), VERDICT),
    ("nested 40 deep", _nested(40), VERDICT),
    ("300 KiB", _padded(300 * 1024), VERDICT),
    ("1 MB", _padded(1_000_000), VERDICT),
    ("as much as the broker takes", _padded(1_048_000), VERDICT),
    ("nested 100,000 deep", _nested(100_000), DEAD),
    ("no id", _without("id"), DEAD),
    ("id that is a number", _with(id=5), DEAD),
    ("empty id", _with(id=""), DEAD),
    ("id with NUL", _with(id="a\x00b"), DEAD),
    ("id with bidi", _with(id="abc\u202edef"), DEAD),
    ("id with half a surrogate", _with(id="a\ud800"), DEAD),
    ("id of 65", _with(id="x" * 65), DEAD),
    ("id twice", _twice("id"), DEAD),
    ("no source", _without("source"), DEAD),
    ("source that is null", _with(source=None), DEAD),
)

_VALUES: Final[tuple[tuple[str, Bend, str], ...]] = (
    ("float", _count(1.5), VERDICT),
    ("whole float", _count(1.0), VERDICT),
    ("number in text", _count("1"), VERDICT),
    ("zero", _count(0), VERDICT),
    ("2^63", _count(HUGE), VERDICT),
    ("minus 2^63", _count(-HUGE), VERDICT),
    ("true", _count(True), VERDICT),
    ("null", _count(None), VERDICT),
    ("a list", _count([1]), VERDICT),
    ("NaN", _count(float("nan")), VERDICT),
    ("Infinity", _count(float("inf")), VERDICT),
    ("1e400", _literal("1e400"), VERDICT),
    ("5,000 digits", _literal("9" * 5000), EITHER),
    ("text with NUL", _text("a\x00b"), VERDICT),
    ("empty text", _text(""), VERDICT),
    ("text of 1,001", _text("x" * 1001), VERDICT),
    ("half a surrogate", _text("a\ud800"), VERDICT),
    ("text that is a number", _text(5), VERDICT),
)


def _raw(sample: Sample, new_id: Callable[[str], str]) -> Iterator[Bad]:
    """What is no envelope at all, and binary mode."""
    values: tuple[tuple[str, bytes | None], ...] = (
        ("null", None),
        ("empty", b""),
        ("not JSON", b"{not json"),
        ("not UTF-8", b'{"id": "\xff\xfe"}'),
        ("UTF-16", json.dumps({"id": "a"}).encode("utf-16")),
        ("a list", b"[]"),
        ("a number", b"42"),
        ("a text", b'"start-order"'),
        ("zeros", bytes(1000)),
        ("brackets", b"[" * 200_000),
        ("1 MB of nothing", b"\x01" * 1_000_000),
        ("as much nothing as the broker takes", b"\x02" * 1_048_000),
    )
    for name, value in values:
        yield Bad(name, new_id("badcmd"), new_id("bad").encode(), value, STRUCTURED, DEAD)
        yield Bad(f"{name}, without key and headers", new_id("badcmd"), None, value, (), DEAD)
    bodies: tuple[tuple[str, bytes | None], ...] = (
        ("binary: no body", None),
        ("binary: empty body", b""),
        ("binary: body that is not JSON", b"{not json"),
        ("binary: body that is not UTF-8", b'{"reason": "\xff"}'),
        ("binary: null body", b"null"),
        ("binary: a body that breaks out", b'{}, "id": "other"'),
    )
    for name, body in bodies:
        key, command_id = new_id("bad"), new_id("badcmd")
        yield Bad(name, command_id, key.encode(), body, binary_headers(sample.type, key, command_id), VERDICT)
    key = new_id("bad")
    yield Bad("binary: no id", new_id("badcmd"), key.encode(), b"{}", binary_headers(sample.type, key, None), DEAD)


def binary_headers(type_: str, key: str, command_id: str | None) -> list[tuple[str, bytes]]:
    """CloudEvents' binary mode: the attributes as headers."""
    attributes = {"specversion": "1.0", "type": type_, "source": "e2e", "subject": key, "id": command_id}
    return [(f"ce_{name}", text.encode()) for name, text in attributes.items() if text is not None]
