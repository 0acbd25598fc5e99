"""What the broker can be asked, each question with its own short deadline: topics, ends, groups, dead letters, unread commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pydantic_core import from_json

from contracts.envelope import header
from contracts.topics import COMMAND_TOPICS, EVENT_TOPICS, SUBSCRIPTIONS, all_topics, dead_letter_topic
from messaging.clients import make_admin, make_reader
from messaging.kafka import stop_client
from orderctl.doctor.facts import DeadLetter, GroupFacts, KafkaFacts, Waiting, moment

CONNECT_TIMEOUT_S: Final = 4.0
QUESTION_TIMEOUT_S: Final = 3.0
#: How far back dead letters are looked through, and how far ahead unread commands: older and later ones are not seen.
LAST_LETTERS: Final = 500
NEXT_COMMANDS: Final = 2_000
_CLIENT_ID: Final = "orderctl-doctor"
_OUTAGES: Final = (KafkaError, OSError, TimeoutError)

#: From and to which offset to read.
Stretch = Mapping[TopicPartition, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Broker:
    """A connection for looking: no group, nothing committed."""

    bootstrap_servers: str
    admin: AIOKafkaAdminClient
    reader: AIOKafkaConsumer

    async def look(self, groups: Mapping[str, str]) -> KafkaFacts:
        """Topics with their ends, and groups (id by service)."""
        try:
            async with asyncio.timeout(QUESTION_TIMEOUT_S):
                topics = await self._topics()
                self._learn_all(topics)
                ends, told = await asyncio.gather(self._ends(topics), self._groups(groups))
        except _OUTAGES as error:
            return KafkaFacts(self.bootstrap_servers, problem=cause_of(error))
        return KafkaFacts(self.bootstrap_servers, None, topics, ends, told)

    async def _topics(self) -> dict[str, int]:
        found = await self.admin.describe_topics()
        return {topic["topic"]: len(topic["partitions"]) for topic in found if topic["error_code"] == 0}

    def _learn_all(self, topics: Mapping[str, int]) -> None:
        """Have the reader ask for the metadata of all our topics at once; else it asks topic by topic, 0.1 s each."""
        ours = [spec.name for spec in all_topics() if spec.name in topics]
        everywhere = [TopicPartition(topic, p) for topic in ours for p in range(topics[topic])]
        self.reader.assign(everywhere)
        self.reader.pause(*everywhere)

    async def _ends(self, topics: Mapping[str, int]) -> dict[tuple[str, int], int]:
        ours = [topic for topic in sorted(COMMAND_TOPICS | EVENT_TOPICS) if topic in topics]
        wanted = [TopicPartition(t, p) for t in ours for p in range(topics[t])]
        found = await self.reader.end_offsets(wanted) if wanted else {}
        return {(tp.topic, tp.partition): int(end) for tp, end in found.items()}

    async def _groups(self, groups: Mapping[str, str]) -> dict[str, GroupFacts]:
        found = await asyncio.gather(*(self._group(name) for name in groups.values()))
        return dict(zip(groups, found, strict=True))

    async def _group(self, name: str) -> GroupFacts:
        # One group to a question: aiokafka 0.14 cannot read an answer about several.
        told, offsets = await asyncio.gather(
            self.admin.describe_consumer_groups([name]), self.admin.list_consumer_group_offsets(name)
        )
        group = told[0].to_object()["groups"][0]
        stands = {(tp.topic, tp.partition): int(one.offset) for tp, one in offsets.items() if one.offset >= 0}
        return GroupFacts(str(group["state"]), len(group["members"]), stands)

    async def dead_letters(self, facts: KafkaFacts, key: str | None, only: int | None) -> list[DeadLetter]:
        """The newest dead letters of our topics: those about `key`, or all. Raises an error of `_OUTAGES`."""
        owners = {dead_letter_topic(t, service): service for service, topics in SUBSCRIPTIONS.items() for t in topics}
        there = [
            TopicPartition(t, p) for t in owners for p in range(facts.topics.get(t, 0)) if only is None or p == only
        ]
        async with asyncio.timeout(QUESTION_TIMEOUT_S):
            if not there:
                return []
            begins = await self.reader.beginning_offsets(there)
            ends = await self.reader.end_offsets(there)
            stretch = {
                tp: (max(begins[tp], ends[tp] - LAST_LETTERS), ends[tp]) for tp in there if ends[tp] > begins[tp]
            }
            records = await self._read(stretch)
        letters = (_letter(record, owners[record.topic]) for record in records)
        return [letter for letter in letters if letter is not None and key in (None, letter.key)]

    async def waiting(self, offsets: Mapping[tuple[str, int], int], facts: KafkaFacts, key: str) -> list[Waiting]:
        """The commands about `key` that stand behind these offsets. Raises an error of `_OUTAGES`."""
        stretch: dict[TopicPartition, tuple[int, int]] = {}
        for (topic, partition), stands in offsets.items():
            end = facts.ends.get((topic, partition), 0)
            if topic in COMMAND_TOPICS and end > stands:
                stretch[TopicPartition(topic, partition)] = (stands, min(end, stands + NEXT_COMMANDS))
        async with asyncio.timeout(QUESTION_TIMEOUT_S):
            records = await self._read(stretch)
        found = []
        for record in records:
            if _text(record.key) == key:
                told = _told(record.value)
                named = str(told.get("type") or ""), str(told.get("id") or "")
                found.append(Waiting(record.topic, record.partition, record.offset, *named))
        return found

    async def _read(self, stretch: Stretch) -> list[Any]:
        """The records in these stretches, as far as they still are there."""
        if not stretch:
            return []
        found: list[Any] = []
        left = {tp: end for tp, (_, end) in stretch.items()}
        self.reader.assign(list(left))
        for tp, (begin, _) in stretch.items():
            self.reader.seek(tp, begin)
        while left:
            for tp, records in (await self.reader.getmany(*left, timeout_ms=200)).items():
                found += [record for record in records if record.offset < left[tp]]
            # By the position, not by the last record: a transaction's marker takes an offset and is no record.
            done = [tp for tp, end in left.items() if await self.reader.position(tp) >= end]
            for tp in done:
                del left[tp]
        return found


@asynccontextmanager
async def open_broker(bootstrap_servers: str) -> AsyncIterator[Broker | str]:
    """A connection, or why there is none."""
    admin, reader = make_admin(bootstrap_servers, _CLIENT_ID), make_reader(bootstrap_servers, _CLIENT_ID)
    try:
        problem = ""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.gather(admin.start(), reader.start())
        except _OUTAGES as error:
            problem = cause_of(error)
        yield problem or Broker(bootstrap_servers, admin, reader)
    finally:
        await asyncio.gather(_close(admin), stop_client(reader))


async def _close(admin: AIOKafkaAdminClient) -> None:
    await asyncio.wait({asyncio.create_task(admin.close())}, timeout=1)


def cause_of(error: BaseException) -> str:
    """The error in a few words."""
    if isinstance(error, TimeoutError) or not str(error):
        return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    return " ".join(str(error).split())[:200]


def _letter(record: Any, service: str) -> DeadLetter | None:
    """A dead letter, where it is one of ours."""
    said = {
        name: header(record.headers, f"dlq-{name}")
        for name in ("topic", "partition", "offset", "reason", "error", "time")
    }
    place = [said["partition"] or "", said["offset"] or ""]
    if said["topic"] is None or not all(text.isdigit() for text in place):
        return None
    return DeadLetter(
        service=service,
        topic=said["topic"],
        partition=int(place[0]),
        offset=int(place[1]),
        letter_topic=record.topic,
        letter_offset=record.offset,
        key=_text(record.key),
        type=str(_told(record.value).get("type") or ""),
        reason=said["reason"] or "",
        error=said["error"] or "",
        at=moment(said["time"]) or datetime.fromtimestamp(record.timestamp / 1000, UTC),
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="backslashreplace")


def _told(value: bytes | None) -> dict[str, Any]:
    """The envelope, where the record is JSON; a dead letter may be anything."""
    try:
        found = from_json(value or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def offsets_of(groups: Mapping[str, GroupFacts], services: Sequence[str]) -> dict[tuple[str, int], int]:
    """Where these groups stand, as they told the broker last."""
    return {place: offset for name in services if name in groups for place, offset in groups[name].offsets.items()}
