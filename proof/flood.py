"""`python -m proof.flood`: hostile messages in bulk through Kafka into every consumer of a stack of its own.

    python -m proof.flood --count 1000000 --seed 1        # goes on where it was interrupted
    python -m proof.flood --count 10000 --seed 1 --fresh  # from the beginning

In rounds: send, wait until all have their fate, compare. What was sent is what was accepted, rejected or set aside, exactly, as
counted from the topics, and each record's fate is the one that the decoder gives it in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts.topics import DEFAULT_PARTITIONS, EVENT_TOPICS, SUBSCRIPTIONS, dead_letter_topic
from devstack.ports import free_offset
from devstack.stack import Stack
from proof import results
from proof.hostile.book import MARK, Book
from proof.hostile.maker import Hostile, Maker
from proof.hostile.readers import TOPICS
from proof.hostile.standing import Standing

ROUND: Final = 10_000
#: No partition may stand for longer.
MOST_STANDING_S: Final = 5.0
#: A fate that is not told after so long without any news will not be told.
NO_NEWS_S: Final = 60.0
#: A stack that is slow to come up proves nothing, one way or the other.
START_S: Final = 300.0
_AT_ONCE: Final = 500
_HEARD: Final = (
    *sorted(EVENT_TOPICS),
    *sorted(dead_letter_topic(topic, service) for service, topics in SUBSCRIPTIONS.items() for topic in topics),
)


class Flood:
    """Clients of a stack for as long as it floods it."""

    def __init__(self, bootstrap: str, standing: Standing) -> None:
        self._standing = standing
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=512 * 1024,
            max_request_size=8 * 1024 * 1024,
        )
        self._reader = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=100
        )

    async def __aenter__(self) -> Flood:
        await self._producer.start()
        await self._reader.start()
        self._reader.assign([TopicPartition(topic, p) for topic in _HEARD for p in range(DEFAULT_PARTITIONS)])
        await self._reader.seek_to_end()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.stop()
        await self._producer.stop()

    async def round(self, records: Iterable[Hostile], prefix: str) -> Book:
        """Send them all, and listen until every one has its fate, and nothing else comes."""
        book = Book()
        pending = iter(records)
        while some := list(islice(pending, _AT_ONCE)):
            for record in some:
                book.put(record, f"{prefix}.{record.number}")
            await asyncio.gather(*[await self._send(record, f"{prefix}.{record.number}") for record in some])
            await self._listen(book, 0.0)
        heard_at, missing = time.monotonic(), book.missing
        while book.missing or any(self._standing.waiting.values()):
            await self._listen(book, 0.25)
            if book.missing != missing or any(self._standing.waiting.values()):
                heard_at, missing = time.monotonic(), book.missing
            elif time.monotonic() - heard_at > NO_NEWS_S:
                break
        await self._to_the_end(book)
        return book

    async def _send(self, record: Hostile, mark: str) -> Any:
        headers = [*record.headers, (MARK, mark.encode())]
        if record.key is None and record.value is None:
            # Kafka takes it, the client's usual call does not.
            batch = self._producer.create_batch()
            batch.append(timestamp=None, key=None, value=None, headers=headers)
            return await self._producer.send_batch(batch, record.topic, partition=record.partition)
        return await self._producer.send(
            record.topic, record.value, key=record.key, headers=headers, partition=record.partition
        )

    async def _listen(self, book: Book, patience_s: float) -> bool:
        found = await self._reader.getmany(timeout_ms=int(patience_s * 1000))
        for place, records in found.items():
            for record in records:
                book.hear(place.topic, record.value, record.headers)
        return bool(found)

    async def _to_the_end(self, book: Book) -> None:
        """Hear what stands on the topics by now: a fate that is told twice is as wrong as one that is not told."""
        ends = await self._reader.end_offsets(list(self._reader.assignment()))
        while any([await self._reader.position(place) < end for place, end in ends.items()]):
            await self._listen(book, 0.5)


async def flood(stack: Stack, seed: int, count: int, for_s: float, result: dict[str, Any], folder: Path) -> None:
    """Rounds until `count` records were sent, or the time is over. The result grows round by round and is kept after each."""
    ports = stack.settings
    standing = Standing({name: ports.http_url(name) for name in SUBSCRIPTIONS})
    began, prefix = time.monotonic(), f"p{seed}"
    maker = Maker(seed, TOPICS, DEFAULT_PARTITIONS, prefix, words=False)
    with standing.watching():
        async with Flood(ports.bootstrap, standing) as client:
            while result["records"] < count and not result["wrong"] and time.monotonic() - began < for_s:
                first, round_began = result["records"], time.monotonic()
                last = min(count, first + ROUND)
                book = await client.round((maker.make(number) for number in range(first, last)), prefix)
                _add(result, book, last, standing, time.monotonic() - round_began)
                path = results.write("flood", seed, result, folder)
                print(
                    f"{last:,} of {count:,}, {(last - first) / (time.monotonic() - round_began):,.0f}/s, "
                    f"{result['wrong_count']} wrong, stood {result['longest_standing_s']:.1f} s at most, "
                    f"looked at least every {result['blind_s']:.1f} s, {path.name}",
                    flush=True,
                )


def _add(result: dict[str, Any], book: Book, records: int, standing: Standing, took_s: float) -> None:
    wrong = book.wrong()
    for place, sums in book.sums().items():
        if sums["sent"] != sums["accepted"] + sums["rejected"] + sums["dead"]:
            wrong.append(f"{place} does not add up: {sums}")
        known = result["sums"].setdefault(place, dict.fromkeys(sums, 0))
        for name, number in sums.items():
            known[name] += number
    result["records"] = records
    result["took_s"] = round(result["took_s"] + took_s, 1)
    result["wrong_count"] += len(wrong)
    result["wrong"] = [*result["wrong"], *wrong][:100]
    if standing.longest_s > result["longest_standing_s"]:
        result["longest_standing_s"], result["stood"] = round(standing.longest_s, 2), standing.where
    result["blind_s"] = round(max(result["blind_s"], standing.blind_s), 2)
    result["looks"] += standing.looks
    standing.looks = 0


def fresh() -> dict[str, Any]:
    """A result before the first round."""
    return {
        "records": 0,
        "took_s": 0.0,
        "sums": {},
        "wrong": [],
        "wrong_count": 0,
        "longest_standing_s": 0.0,
        "stood": "",
        "blind_s": 0.0,
        "looks": 0,
    }


def run(seed: int, count: int, for_s: float, home: Path, folder: Path, again: bool) -> dict[str, Any]:
    """Flood a stack of its own in `home`; nothing is left of it but the result in `folder`."""
    result = {**fresh(), **((None if again else results.read("flood", seed, folder)) or {})}
    stack = Stack(home, free_offset())
    stack.down(wipe=True)
    try:
        stack.up(report=lambda line: print(line, flush=True), timeout_s=START_S)
        asyncio.run(flood(stack, seed, count, for_s, result, folder))
    finally:
        # Where something is wrong, the logs and the databases stay to be looked at.
        stack.down(wipe=bool(result["records"]) and not result["wrong"])
    return result


def main(arguments: list[str]) -> int:
    """0: everything adds up. 1: something does not, or stood too long. 3: not finished within `--for-s`; call it again."""
    parser = argparse.ArgumentParser(prog="python -m proof.flood", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--for-s", type=float, default=float("inf"), help="stop after so long; the next call goes on")
    parser.add_argument("--fresh", action="store_true", help="from the beginning, whatever ran before")
    asked = parser.parse_args(arguments)
    home = results.CLONE / ".devstack" / "flood"
    result = run(asked.seed, asked.count, asked.for_s, home, results.FOLDER, asked.fresh)
    for line in result["wrong"][:20]:
        print(f"wrong: {line}")
    if result["wrong"] or result["longest_standing_s"] > MOST_STANDING_S:
        return 1
    return 0 if result["records"] >= asked.count else 3


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
