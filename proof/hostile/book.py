"""The account of a flood: what was sent must have become of it, by the decoder's word, and what the topics tell became of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.envelope import InvalidCommand
from contracts.topics import COMMAND_TOPICS, DEFAULT_PARTITIONS, SUBSCRIPTIONS, dead_letter_topic
from contracts.topics import ORDERS_EVENTS as ORDERS_TELL
from messaging.decision import Message
from messaging.decoding import DeadLetter, Forward, decode
from proof.hostile.judge import record_of
from proof.hostile.maker import Hostile
from proof.hostile.readers import INTERESTS, readers_of

MARK: Final = "proof-mark"
#: Only the orchestrator writes to these: a command that is wrong there is a dead letter, for nobody else could be told.
_TELLS_NOBODY: Final = frozenset({"payment", "recommendation"})
#: A call of the gateway is answered when it ends, under an id of its own.
_TELLS_LATER: Final = frozenset({"payment"})
#: What is taken in silence: nothing hangs on an extension but the hold itself.
_IN_SILENCE: Final = frozenset({"inventory.extend-reservation.v1"})
_VERDICTS: Final = ("orders.command-accepted.v1", "orders.command-rejected.v1")

_SUMS: Final = ("sent", "accepted", "rejected", "dead", "forwarded")

#: Which service said something, about which command.
Answer = tuple[str, str]


@dataclass
class Book:
    """One round. A mark is a header that each record carries, also as a dead letter; a command's answer names its id."""

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    forwarded: Counter[tuple[str, str]] = field(default_factory=Counter)
    silent: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_due: set[tuple[str, str]] = field(default_factory=set)
    dead: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    answers_due: Counter[Answer] = field(default_factory=Counter)
    answers: dict[Answer, dict[str, bool]] = field(default_factory=dict)

    def put(self, hostile: Hostile, mark: str) -> None:
        """The record is sent: write down what its readers owe."""
        record = record_of(hostile)
        for service in readers_of(hostile.topic):
            place = hostile.topic, service
            self.sent[place] += 1
            found = decode(record, DEFAULT_PARTITIONS, INTERESTS[service])
            if isinstance(found, Forward):
                self.forwarded[place] += 1
                moved = found.record._replace(partition=found.partition, offset=0)
                found = decode(moved, DEFAULT_PARTITIONS, INTERESTS[service])
            rejected = isinstance(found, Message) and isinstance(found.data, InvalidCommand)
            if isinstance(found, DeadLetter) or (rejected and service in _TELLS_NOBODY):
                self.dead_due.add((dead_letter_topic(*place), mark))
            elif not isinstance(found, Message) or not _is_answered(service, hostile.topic, found):
                self.silent[place] += 1
            else:
                self.answers_due[service, found.id] += 1

    # --- what is heard -------------------------------------------------------------------------------------------------

    def hear(self, topic: str, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> None:
        """A record of an event topic or of a dead-letter topic."""
        if topic.endswith(".dlq"):
            facts = dict(headers)
            if MARK in facts:
                self.dead[topic, facts[MARK].decode()] += 1
            if facts["dlq-reason"] == b"handler-error":
                self.failed.append(f"{topic}: {facts['dlq-error'].decode()} over {(value or b'')[:600]!r}")
            return
        told = _told(value)
        if told is None:
            return
        service, event_id, kind, command_id = told
        if topic == ORDERS_TELL and kind not in _VERDICTS:
            return
        answer = service, command_id
        if answer in self.answers_due:
            self.answers.setdefault(answer, {})[event_id] = "rejected" in kind

    @property
    def missing(self) -> int:
        """How many fates are not told yet."""
        dead = len(self.dead_due) - len(self.dead_due & self.dead.keys())
        return dead + sum(max(0, due - len(self.answers.get(a, ()))) for a, due in self.answers_due.items())

    def wrong(self) -> list[str]:
        """Every fate that was not told, was told twice, or is another than was due."""
        found = [f"a handler failed, {told}" for told in self.failed]
        found += [f"never a dead letter: {place}" for place in sorted(self.dead_due - self.dead.keys())]
        found += [f"a dead letter {count} times: {place}" for place, count in self.dead.items() if count > 1]
        found += [
            f"a dead letter, against the decoder's word: {place}" for place in sorted(self.dead.keys() - self.dead_due)
        ]
        for answer, due in self.answers_due.items():
            told = len(self.answers.get(answer, ()))
            if told != due:
                found.append(f"{due} answers due to {answer}, {told} told")
        return found

    def sums(self) -> dict[str, dict[str, int]]:
        """For each reader of an event topic, and of its command topics together (an answer names a command, not a topic): sent =
        accepted + rejected + dead. What an event's reader takes, and what is taken in silence, is what was sent to it and is
        neither on a dead-letter topic nor answered; that it was read its offset says."""
        told: dict[str, Counter[str]] = {}
        dead = Counter(topic for topic, _ in self.dead)
        for (topic, service), count in sorted(self.sent.items()):
            sums = told.setdefault(_name(topic, service), Counter(dict.fromkeys(_SUMS, 0)))
            sums["sent"] += count
            sums["accepted"] += self.silent[topic, service]
            sums["dead"] += dead[dead_letter_topic(topic, service)]
            sums["forwarded"] += self.forwarded[topic, service]
        for (service, _), answers in self.answers.items():
            sums = told[f"commands -> {service}"]
            sums["rejected"] += sum(answers.values())
            sums["accepted"] += len(answers) - sum(answers.values())
        return {name: dict(sums) for name, sums in told.items()}


def _is_answered(service: str, topic: str, message: Message) -> bool:
    if topic not in COMMAND_TOPICS:
        return False
    refused = isinstance(message.data, InvalidCommand)
    return refused or (message.type not in _IN_SILENCE and service not in _TELLS_LATER)


def _name(topic: str, service: str) -> str:
    return f"{'commands' if topic in COMMAND_TOPICS else topic} -> {service}"


def _told(value: bytes | None) -> tuple[str, str, str, str] | None:
    """Service, id and type of an event, and the command that it answers; None for what the flood itself has put there."""
    try:
        document: Any = json.loads(value or b"")
        source, kind = document["source"], document["type"]
        data, cause = document["data"], document.get("causationid")
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not (isinstance(source, str) and isinstance(kind, str) and isinstance(data, dict)):
        return None
    if source not in SUBSCRIPTIONS or not kind.startswith(source):
        return None
    return source, str(document.get("id")), kind, str(data.get("command_id") or cause)
