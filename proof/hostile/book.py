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
from messaging.ports import Record
from proof.hostile.judge import record_of
from proof.hostile.maker import Hostile
from proof.hostile.readers import INTERESTS, readers_of

MARK: Final = "proof-mark"
#: Only the orchestrator writes to these: a command that is wrong there is a dead letter, for nobody else could be told.
_TELLS_NOBODY: Final = frozenset({"payment", "recommendation"})
#: What is taken in silence: nothing hangs on an extension but the hold itself, and a call of the gateway is answered when it ends.
_IN_SILENCE: Final = frozenset({"inventory.extend-reservation.v1"})
_VERDICTS: Final = ("orders.command-accepted.v1", "orders.command-rejected.v1")

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
    answers_due: Counter[Answer] = field(default_factory=Counter)
    answers: dict[Answer, dict[str, bool]] = field(default_factory=dict)
    asked: dict[Answer, str] = field(default_factory=dict)

    def put(self, hostile: Hostile, mark: str) -> None:
        """The record is sent: write down what its readers owe."""
        record = record_of(hostile)
        for service in readers_of(hostile.topic):
            place = hostile.topic, service
            self.sent[place] += 1
            found = decode(record, DEFAULT_PARTITIONS, INTERESTS[service])
            if isinstance(found, Forward):
                self.forwarded[place] += 1
                moved = Record(
                    record.topic, found.partition, 0, record.key, record.value, record.headers, record.timestamp
                )
                found = decode(moved, DEFAULT_PARTITIONS, INTERESTS[service])
            rejected = isinstance(found, Message) and isinstance(found.data, InvalidCommand)
            if isinstance(found, DeadLetter) or (rejected and service in _TELLS_NOBODY):
                self.dead_due.add((dead_letter_topic(*place), mark))
            elif not isinstance(found, Message) or hostile.topic not in COMMAND_TOPICS or _silent(service, found):
                self.silent[place] += 1
            else:
                answer = service, found.id
                self.answers_due[answer] += 1
                self.asked[answer] = hostile.topic

    # --- what is heard -------------------------------------------------------------------------------------------------

    def hear(self, topic: str, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> None:
        """A record of an event topic or of a dead-letter topic."""
        if topic.endswith(".dlq"):
            marks = [content.decode() for name, content in headers if name == MARK]
            if marks:
                self.dead[topic, marks[-1]] += 1
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
        found = [f"never a dead letter: {place}" for place in sorted(self.dead_due - self.dead.keys())]
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
        """For each reader of each topic: sent = accepted + rejected + dead. What an event's reader takes, and what is taken in
        silence, is what was sent to it and is neither on a dead-letter topic nor answered; that it was read its offset says."""
        accepted: Counter[tuple[str, str]] = Counter()
        rejected: Counter[tuple[str, str]] = Counter()
        for (service, command_id), told in self.answers.items():
            place = self.asked[service, command_id], service
            rejected[place] += sum(told.values())
            accepted[place] += len(told) - sum(told.values())
        dead = Counter(topic for topic, _ in self.dead)
        return {
            f"{topic} -> {service}": {
                "sent": count,
                "accepted": accepted[topic, service] + self.silent[topic, service],
                "rejected": rejected[topic, service],
                "dead": dead[dead_letter_topic(topic, service)],
                "forwarded": self.forwarded[topic, service],
            }
            for (topic, service), count in sorted(self.sent.items())
        }


def _silent(service: str, message: Message) -> bool:
    return message.type in _IN_SILENCE or service == "payment"


def _told(value: bytes | None) -> tuple[str, str, str, str] | None:
    """Service, id and type of an event, and the command that it answers; None for what the flood itself has put there."""
    try:
        document: Any = json.loads(value or b"")
        source, kind = document["source"], document["type"]
        data, cause = document["data"], document.get("causationid")
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if source not in SUBSCRIPTIONS or not isinstance(data, dict) or not kind.startswith(source):
        return None
    return source, str(document.get("id")), kind, str(data.get("command_id") or cause)
