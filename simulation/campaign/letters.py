"""What operators do about dead letters: they have those handled again that others wait behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.envelope import header
from contracts.letters import Letter, Word, bare_headers, word_headers
from messaging.ports import Record
from simulation.system import System

if TYPE_CHECKING:
    from simulation.campaign.faults import Faults


class Letters:
    """The dead letters of a system."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._read = 0
        self._known: dict[Letter, Record] = {}
        self._asked: dict[Letter, int] = {}

    def redrive(self, faults: Faults, most: int, blocking: bool = False) -> bool:
        """Have letters handled again, the first `most` of them: those that hold others up, however often it takes, and (unless only
        the `blocking` ones are asked for) every other letter once. Returns whether there was any."""
        self._look()
        held = {
            (row.record.topic, row.record.partition, row.record.offset, service)
            for service, part in self._system.parts.of.items()
            for row in part.database.parked.values()
            if row.state == "failed"
        }
        asked = 0
        for letter, record in self._known.items():
            blocks = (letter.topic, letter.partition, letter.offset, letter.service) in held
            if asked == most or not (blocks or (not blocking and letter not in self._asked)):
                continue
            word = Word(letter, "replay", "op", "the mistake is mended")
            headers = [*bare_headers(record.headers), *word_headers(word)]
            self._system.raw(letter.topic, record.key, record.value, headers, letter.partition)
            self._asked[letter] = self._asked.get(letter, 0) + 1
            faults.happened("redrive")
            asked += 1
        return asked > 0

    def _look(self) -> None:
        journal = self._system.broker.journal
        for record in journal[self._read :]:
            if record.topic.endswith(".dlq"):
                topic = header(record.headers, "dlq-topic") or ""
                service = record.topic.removeprefix(f"{topic}.").removesuffix(".dlq")
                place = (
                    int(header(record.headers, "dlq-partition") or 0),
                    int(header(record.headers, "dlq-offset") or 0),
                )
                if header(record.headers, "dlq-truncated") is None:
                    self._known.setdefault(Letter(service, topic, *place), record)
        self._read = len(journal)
