"""Hostile records, one after the other: number `i` of a seed is always the same record, whichever were made before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from contracts.envelope import CONTENT_TYPE, STRUCTURED, TYPE_HEADER
from contracts.publish.schemas import message_schemas
from contracts.registry import COMMANDS, EVENTS
from messaging.partitioner import partition_of
from messaging.ports import Headers
from proof.hostile import palette
from proof.hostile.grammar import Grow, grower

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hostile:
    """A record for a topic, and in one word how it was made."""

    number: int
    how: str
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Maker:
    """Makes records for `topics`. Names are taken from few, so that messages meet each other; `prefix` keeps them from meeting
    anybody else's. `words`: also what only operators say about letters."""

    def __init__(
        self, seed: int, topics: Sequence[str], partitions: int, prefix: str = "h", names: int = 40, words: bool = True
    ) -> None:
        self._seed = seed
        self._prefix = prefix
        self._partitions = partitions
        self._words = words
        self._names = [f"{prefix}-{number}" for number in range(names)]
        schemas = message_schemas()
        self._topics = tuple(topics)
        self._types = {topic: tuple({**COMMANDS.get(topic, {}), **EVENTS.get(topic, {})}) for topic in topics}
        self._every = tuple(schemas)
        ours = [name for types in self._types.values() for name in types]
        self._grow: dict[str, Grow] = {name: grower(schemas[name], self._name) for name in ours}

    def _name(self, random: Random) -> str:
        return self._names[int(random.random() * len(self._names))]

    def make(self, number: int) -> Hostile:
        """Record number `number` of this seed."""
        random = Random((self._seed << 40) | number)  # noqa: S311 - it must repeat, that is all
        topic = random.choice(self._topics)
        name = random.choice(self._types[topic])
        document: Document = self._grow[name](random)
        document["id"] = f"{self._prefix}.{number}"
        how, bend = random.choices(BENDS, WEIGHTS)[0]
        key: bytes | None = document["subject"].encode()
        headers: Headers = [(CONTENT_TYPE, STRUCTURED.encode()), (TYPE_HEADER, name.encode())]
        value, more = bend(self, random, document)
        if more is not None:
            headers = more
        if how != "valid":
            if random.random() < 0.06:
                key = random.choice(palette.KEYS)
            if random.random() < 0.12:
                headers = self._bent_headers(random, headers)
        partition = partition_of((key or b"").decode(errors="backslashreplace"), self._partitions)
        if random.random() < 0.1:
            partition = random.randrange(self._partitions)
        return Hostile(number, how, topic, partition, key, value, headers)

    def _bent_headers(self, random: Random, headers: Headers) -> Headers:
        bent = [] if random.random() < 0.2 else list(headers)
        pool = palette.HEADERS + palette.WORDS if self._words else palette.HEADERS
        for _ in range(random.randrange(1, 6)):
            bent.insert(random.randrange(len(bent) + 1), random.choice(pool))
        return bent

    # --- ways to bend a document: the record's value, and its headers where they are not the usual ones -----------------

    def valid(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """As it should be."""
        return _dumped(document), None

    def replaced(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """Some values are others, are gone, or have company."""
        for _ in range(1 if random.random() < 0.7 else 3):
            self._replace_one(random, document)
        value = _dumped(document)
        if random.random() < 0.02:
            # A line, a name or whatever else comes first in the data, very often.
            value = value.replace(b"[", b"[" + b'"x",' * random.choice((40, 1_100)), 1)
        return value, None

    def _replace_one(self, random: Random, document: Document) -> None:
        place: Any = document
        while True:
            step = random.choice(list(place)) if isinstance(place, dict) else random.randrange(len(place))
            inner = place[step]
            if not isinstance(inner, dict | list) or not inner or random.random() < 0.2:
                break
            place = inner
        act = random.random()
        if act < 0.65:
            place[step] = deepcopy(random.choice(palette.VALUES))
        elif act < 0.75:
            del place[step]
        elif act < 0.85 and isinstance(place, dict):
            place[random.choice(("surprise", "", "id ", "\x00", "\ud800", "__proto__", "x" * 300))] = deepcopy(inner)
        elif act < 0.92:
            place[step] = [deepcopy(inner), deepcopy(inner)]
        else:
            document["type"] = random.choice(self._every)

    def retyped(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """Another message's type over this one's data, in the envelope, in the header or in both."""
        other = random.choice(self._every)
        named, told = random.choice(((other, document["type"]), (document["type"], other), (other, other)))
        document["type"] = named
        return _dumped(document), [
            (CONTENT_TYPE, STRUCTURED.encode()),
            (TYPE_HEADER, told.encode(errors="surrogatepass")),
        ]

    def mutated(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """Bytes are taken out, put in, turned over, moved."""
        value = bytearray(_dumped(document))
        for _ in range(random.randrange(1, 6)):
            at = random.randrange(len(value) + 1)
            act = random.randrange(5)
            if act == 0:
                value[at : at + random.randrange(8)] = b""
            elif act == 1:
                value[at:at] = random.choice(palette.PIECES)
            elif act == 2 and at < len(value):
                value[at] ^= 1 << random.randrange(8)
            elif act == 3:
                value[at:at] = value[at : at + random.randrange(40)]
            else:
                value[at : at + random.randrange(8)] = random.choice(palette.PIECES)
        return bytes(value), None

    def cut(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """The beginning of it, its end, or it twice."""
        value = _dumped(document)
        at = random.randrange(len(value) + 1)
        return random.choice((value[:at], value[at:], value + value[:at])), None

    def doubled(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """A key stands twice."""
        name = random.choice(list(document))
        other = random.choice((document[name], *palette.VALUES[:4], "other"))
        escaped = json.dumps(name) if random.random() < 0.7 else f'"\\u{ord(name[0]):04x}{name[1:]}"'
        return _dumped(document)[:-1] + f",{escaped}:{json.dumps(other)}}}".encode(), None

    def nested(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """Deep, in an extension or in the data."""
        depth = random.choice((5, 31, 32, 33, 200, 990, 1_000, 1_010, 5_000))
        opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}")))
        tower = opening * depth + b"1" + closing * depth
        name = random.choice((b"x", b"data"))
        return _dumped(document)[:-1] + b',"' + name + b'":' + tower + b"}", None

    def binary(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """CloudEvents' binary mode, some of it wrong."""
        data = document.pop("data")
        headers: list[tuple[str, bytes | None]] = [
            (f"ce_{name}", str(text).encode(errors="surrogatepass")) for name, text in document.items()
        ]
        if random.random() < 0.5:
            headers[random.randrange(len(headers))] = random.choice(palette.HEADERS)
        bodies = (_dumped(data), _dumped(random.choice(palette.VALUES)), random.choice(palette.RECORDS))
        return random.choices(bodies, (6, 2, 2))[0], headers

    def large(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """Around the limit of a record's size, and far beyond it."""
        room = 256 * 1024 - len(_dumped({**document, "note": ""}))
        size = max(0, room + random.choice((-1, 0, 1, 2, 40_000)))
        return _dumped({**document, "note": "x" * size}), None

    def garbage(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """No message at all."""
        if random.random() < 0.5:
            return random.choice(palette.RECORDS), None
        return random.randbytes(random.randrange(200)), None

    def loose(self, random: Random, document: Document) -> tuple[bytes | None, Headers | None]:
        """Tokens of JSON in no order."""
        return b"".join(random.choice(palette.PIECES) for _ in range(random.randrange(1, 30))), None


def _dumped(document: object) -> bytes:
    return json.dumps(document).encode()


Bend = Callable[[Maker, Random, Document], tuple[bytes | None, Headers | None]]
_SHARES: Final[dict[str, tuple[Bend, int]]] = {
    "valid": (Maker.valid, 140),
    "replaced": (Maker.replaced, 340),
    "retyped": (Maker.retyped, 50),
    "mutated": (Maker.mutated, 220),
    "cut": (Maker.cut, 40),
    "doubled": (Maker.doubled, 40),
    "nested": (Maker.nested, 15),
    "binary": (Maker.binary, 80),
    "large": (Maker.large, 1),
    "garbage": (Maker.garbage, 50),
    "loose": (Maker.loose, 24),
}
#: Ways to bend a document that has the envelope's fields, by name; each returns the value, and headers that are not the usual ones.
BENDS: Final = tuple((how, bend) for how, (bend, _) in _SHARES.items())
WEIGHTS: Final = tuple(share for _, share in _SHARES.values())
