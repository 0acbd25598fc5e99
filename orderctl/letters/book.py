"""The dead letters and their state, put together from what stands on the topics. Pure: records in, letters out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from contracts.envelope import TYPE_HEADER, Unreadable, decode_event, event_type, header
from contracts.letters import DEAD_PREFIX, Letter, LetterAnswered, LetterAsked
from contracts.topics import LETTERS_EVENTS, SUBSCRIPTIONS, dead_letter_topic, dead_letter_topics
from orderctl.events import RawRecord

_SERVICE_OF: Final = dict(dead_letter_topics())
_FIRST_FACT: Final = f"{DEAD_PREFIX}reason"


class State(StrEnum):
    """Where a letter stands."""

    OPEN = "open"  # nobody has asked for anything, or it failed again
    ASKED = "asked"  # somebody has sent a word about it, and it is not answered
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Told:
    """Something that was said about a letter."""

    at: datetime | None
    what: LetterAsked | LetterAnswered


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A letter as it stands on its topic. `lane`: the key whose messages wait behind it until it is settled."""

    letter: Letter
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    reason: str
    error: str
    at: str
    lane: str | None
    truncated: str | None
    dead_topic: str
    dead_partition: int
    dead_offset: int
    told: tuple[Told, ...] = ()
    #: So many bytes of the value are not held here, but on the topic.
    left_out: int = 0

    @property
    def key_text(self) -> str:
        """The record's key, for people."""
        return "" if self.key is None else self.key.decode(errors="backslashreplace")

    @property
    def state(self) -> State:
        """Where it stands. What was answered for good is done, whoever asks afterwards."""
        for told in self.told:
            if isinstance(told.what, LetterAnswered) and told.what.outcome != "failed":
                return State.DISCARDED if told.what.outcome == "discarded" else State.REPLAYED
        last = self.told[-1].what if self.told else None
        if not isinstance(last, LetterAsked):
            return State.OPEN
        # What is no service of the runtime answers to nobody.
        return State.ASKED if self.letter.service in SUBSCRIPTIONS else State.REPLAYED


@dataclass(frozen=True, slots=True)
class Shortened:
    """See `RawRecord`: of the value only the beginning."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    left_out: int


def shortened(record: RawRecord, most: int, whole: Collection[Letter] = ()) -> RawRecord:
    """The record with at most so many bytes of its value; whole, where it is one of these letters."""
    value = record.value
    if value is None or len(value) <= most or _name(record) in whole:
        return record
    place = record.topic, record.partition, record.offset
    return Shortened(*place, record.key, value[:most], record.headers, len(value) - most)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant. What is None or empty does not matter. `since`: set aside at or after."""

    names: frozenset[Letter] = frozenset()
    service: str | None = None
    topic: str | None = None
    reason: str | None = None
    key: str | None = None
    since: datetime | None = None

    @property
    def all(self) -> bool:
        """Whether every letter is meant."""
        return self == Wanted()

    def matches(self, letter: DeadLetter) -> bool:
        """Whether this one is meant."""
        name, at = letter.letter, _moment(letter.at)
        return (
            (not self.names or name in self.names)
            and self.service in {None, name.service}
            and self.topic in {None, name.topic}
            and self.reason in {None, letter.reason}
            and self.key in {None, letter.key_text}
            and (self.since is None or at is None or at >= self.since)
        )


def topics_for(wanted: Wanted) -> tuple[str, ...]:
    """The topics that have to be read to know the letters that are meant: each takes what one service could not handle of one
    topic, so that nobody reads all letters there ever were for the sake of one."""
    named = {dead_letter_topic(one.topic, one.service) for one in wanted.names}
    dead = (
        topic
        for topic, service in _SERVICE_OF.items()
        if (not named or topic in named)
        and wanted.service in {None, service}
        and (wanted.topic is None or topic == dead_letter_topic(wanted.topic, service))
    )
    return (*dead, LETTERS_EVENTS)


@dataclass(slots=True)
class Group:
    """Letters of one service, topic and reason."""

    service: str
    topic: str
    reason: str
    states: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    waiting: int = 0
    oldest: str = ""
    newest: str = ""

    def as_json(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        counts = {state.value: count for state, count in self.states.items()}
        named = {"service": self.service, "topic": self.topic, "reason": self.reason}
        return {**named, **counts, "waiting": self.waiting, "oldest": self.oldest, "newest": self.newest}


def read_letters(records: Iterable[RawRecord]) -> list[DeadLetter]:
    """The letters among these records, each once, in the order in which their keys have to be handled."""
    told: dict[Letter, list[Told]] = {}
    found: dict[Letter, dict[str, Any]] = {}
    since: dict[Letter, datetime | None] = {}
    for record in records:
        if record.topic == LETTERS_EVENTS:
            _hear(record, told)
        elif (letter := _name(record)) is not None:
            facts = _facts(record)
            # The same letter twice is a repeat. One of its name that was written later is another: the broker lost the record of
            # the first, or the topic was read again, and what was said before is not about it.
            if letter in found and facts["at"] > found[letter]["at"]:
                found[letter], since[letter] = facts, _moment(facts["at"])
            found.setdefault(letter, facts)
    letters = [
        DeadLetter(letter, **facts, told=_told_since(since.get(letter), told.get(letter, ())))
        for letter, facts in found.items()
    ]
    return sorted(letters, key=lambda one: (one.at, one.dead_topic, one.dead_partition, one.dead_offset))


def _told_since(since: datetime | None, told: Sequence[Told]) -> tuple[Told, ...]:
    return tuple(one for one in told if since is None or one.at is None or one.at >= since)


def _hear(record: RawRecord, told: dict[Letter, list[Told]]) -> None:
    try:
        envelope = decode_event(event_type(record.value, record.headers), record.value)
    except Unreadable:
        return  # a newer system may tell more than this client knows
    if isinstance(envelope.data, LetterAsked | LetterAnswered):
        told.setdefault(envelope.data.letter, []).append(Told(envelope.time, envelope.data))


def _name(record: RawRecord) -> Letter | None:
    topic, partition, offset = (
        header(_own(record), f"{DEAD_PREFIX}{name}") for name in ("topic", "partition", "offset")
    )
    service = _SERVICE_OF.get(record.topic)
    return None if service is None else Letter.parse(f"{service}/{topic}/{partition}/{offset}")


def _own(record: RawRecord) -> list[tuple[str, bytes | None]]:
    """The letter's own facts. They stand last, from the reason on: what was sent may have had headers of the same names."""
    names = [name for name, _ in record.headers]
    return list(record.headers[len(names) - 1 - names[::-1].index(_FIRST_FACT) :]) if _FIRST_FACT in names else []


def _facts(record: RawRecord) -> dict[str, Any]:
    own = _own(record)
    return {
        "key": record.key,
        "value": record.value,
        "headers": list(record.headers),
        "reason": header(own, "dlq-reason") or "unknown",
        "error": header(own, "dlq-error") or "",
        "at": header(own, "dlq-time") or "",
        "lane": header(own, "dlq-lane"),
        "truncated": header(own, "dlq-truncated"),
        "dead_topic": record.topic,
        "dead_partition": record.partition,
        "dead_offset": record.offset,
        "left_out": record.left_out if isinstance(record, Shortened) else 0,
    }


def grouped(letters: Iterable[DeadLetter], waiting: Mapping[tuple[str, str], int]) -> list[Group]:
    """The letters by service, topic and reason; `waiting`: how many messages wait behind a key, by service and key."""
    groups: dict[tuple[str, str, str], Group] = {}
    for one in letters:
        name = (one.letter.service, one.letter.topic, one.reason)
        group = groups.setdefault(name, Group(*name, oldest=one.at))
        group.states[one.state] += 1
        group.newest = one.at
        if one.lane is not None and one.state in (State.OPEN, State.ASKED):
            group.waiting += waiting.get((one.letter.service, one.lane), 0)
    return [groups[name] for name in sorted(groups)]


def type_of(letter: DeadLetter) -> str | None:
    """The message's type, where a header says it."""
    return header(letter.headers, TYPE_HEADER)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
