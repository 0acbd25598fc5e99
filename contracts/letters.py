"""Dead letters: what names one, the headers with which an operator's word about it travels, and what is told of it.

A word about a letter is the letter's record again, on its own topic and partition, with its key, its value and its headers, and the
headers below beside them. The service that is named acts on it; every other reader of the topic passes it over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import Field

from contracts.values import EventData, Text

Headers = Sequence[tuple[str, bytes | None]]
Act = Literal["replay", "discard"]
#: handled: decided at last. failed: it failed again, and stays the same open letter. set-aside: it failed again and became a
#: new letter. discarded: it will not be handled.
Outcome = Literal["handled", "failed", "set-aside", "discarded"]

#: What a dead letter's headers begin with, and those of a word about one; neither is a header of the record itself.
DEAD_PREFIX: Final = "dlq-"
WORD_PREFIX: Final = "letter-"

LETTER: Final = "letter-name"
ACT: Final = "letter-act"
OPERATOR: Final = "letter-operator"
REASON: Final = "letter-reason"
#: A record with fewer headers than this holds no word about a letter.
FEWEST_HEADERS: Final = 3

_NAME: Final = re.compile(r"([a-z-]{1,50})/([a-z0-9.-]{1,200})/([0-9]{1,6})/([0-9]{1,18})")
_MOST_TEXT: Final = 1000


@dataclass(frozen=True, slots=True, order=True)
class Letter:
    """A dead letter's name: which service could not handle which record."""

    service: str
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.service}/{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The letter of this name; None where it is no letter's name."""
        found = _NAME.fullmatch(text)
        return cls(found[1], found[2], int(found[3]), int(found[4])) if found else None


@dataclass(frozen=True, slots=True)
class Word:
    """What an operator wants done with a letter."""

    letter: Letter
    act: Act
    operator: str
    reason: str


def word_headers(word: Word) -> list[tuple[str, bytes]]:
    """The headers that carry the word."""
    facts = {LETTER: str(word.letter), ACT: word.act, OPERATOR: word.operator, REASON: word.reason}
    return [(name, text.encode()) for name, text in facts.items()]


def word_of(headers: Headers) -> Word | None:
    """The word that a record's headers carry, if they do."""
    facts = {name: value for name, value in headers if value is not None and name.startswith(WORD_PREFIX)}
    letter, act = Letter.parse(_text(facts.get(LETTER, b""))), _text(facts.get(ACT, b""))
    if letter is None or act not in ("replay", "discard"):
        return None
    named: Act = "replay" if act == "replay" else "discard"
    return Word(
        letter, named, _text(facts.get(OPERATOR, b"")) or "unknown", _text(facts.get(REASON, b"")) or "none given"
    )


def bare_headers(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The headers that the record had before it became a letter."""
    return [(name, value) for name, value in without_facts(headers) if not name.startswith(WORD_PREFIX)]


def without_facts(headers: Headers) -> list[tuple[str, bytes | None]]:
    """The headers without those that tell of a letter, however they are written."""
    return [(name, value) for name, value in headers if not name.lower().startswith(DEAD_PREFIX)]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace").replace("\x00", "\ufffd")[:_MOST_TEXT]


class _AboutLetter(EventData):
    """Which letter, and who wanted what."""

    service: Annotated[str, Field(min_length=1, max_length=50)]
    topic: Annotated[str, Field(min_length=1, max_length=200)]
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    act: Act
    operator: Text
    reason: Text

    @property
    def letter(self) -> Letter:
        """The letter's name."""
        return Letter(self.service, self.topic, self.partition, self.offset)


class LetterAsked(_AboutLetter):
    """An operator's client has sent the word about a letter. It is the client that tells this, beside the word."""


class LetterAnswered(_AboutLetter):
    """What became of a letter after a word about it. `waiting`: how many of its key's messages wait behind it still. The
    service tells it; only of letters that block nobody it is the operator's client that tells they are discarded."""

    outcome: Outcome
    error: str | None
    waiting: Annotated[int, Field(ge=0)]


EVENTS: Final[dict[str, type[EventData]]] = {
    "letters.letter-asked.v1": LetterAsked,
    "letters.letter-answered.v1": LetterAnswered,
}
