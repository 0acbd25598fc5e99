"""`python -m proof.decoder`: hostile messages in bulk on the decoder, in this process.

python -m proof.decoder --count 10000000 --seed 1     # goes on where it was interrupted
python -m proof.decoder --seed 1 --only 4711          # one record again, as it is
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.topics import COMMAND_TOPICS, DEFAULT_PARTITIONS
from messaging.partitioner import partition_of
from proof import results
from proof.hostile.judge import Fate, judge, record_of
from proof.hostile.maker import Hostile, Maker
from proof.hostile.readers import INTERESTS, TOPICS, readers_of

#: So long may one record take.
MOST_S: Final = 0.5
CHUNK: Final = 20_000


@dataclass
class Tally:
    """What became of the records: by reader's fate, and by how they were made."""

    records: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    wrong: list[dict[str, Any]] = field(default_factory=list)

    def take(self, hostile: Hostile) -> None:
        """Judge one record as each of its readers gets it."""
        began = time.perf_counter()
        self._judge(hostile)
        took_s = time.perf_counter() - began
        if took_s > self.slowest_s:
            # The machine may have been busy with others: how long it takes is how long it takes at best.
            took_s = min(took_s, *(_time_to_judge(hostile) for _ in range(3)))
            self.slowest_s = max(self.slowest_s, took_s)
            if took_s > MOST_S:
                self.wrong.append({"number": hostile.number, "reader": "", "why": f"it takes {took_s:.1f} s"})
        self.records += 1
        self.made[hostile.how] += 1
        self.topics[hostile.topic] += 1

    def _judge(self, hostile: Hostile) -> None:
        for service in readers_of(hostile.topic):
            fate: str = "wrong"
            try:
                fate = judge(record_of(hostile, hostile.number), DEFAULT_PARTITIONS, INTERESTS[service])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                self.wrong.append(
                    {"number": hostile.number, "reader": service, "why": f"{type(error).__name__}: {error}"}
                )
            self.fates[fate] += 1
            # What is made as it should be must be taken: else everything could be refused and nobody would notice.
            if hostile.how == "valid" and fate not in _fates_of_the_valid(hostile):
                self.wrong.append({"number": hostile.number, "reader": service, "why": f"it is valid, and was {fate}"})

    def as_json(self) -> dict[str, Any]:
        """For the result."""
        return {
            "records": self.records,
            "fates": dict(sorted(self.fates.items())),
            "made": dict(sorted(self.made.items())),
            "topics": dict(sorted(self.topics.items())),
            "slowest_s": round(self.slowest_s, 4),
            "wrong": self.wrong[:100],
            "wrong_count": len(self.wrong),
        }


def _fates_of_the_valid(hostile: Hostile) -> tuple[Fate, ...]:
    """What may become of a record that is made as it should be: by where it stands."""
    if partition_of((hostile.key or b"").decode(), DEFAULT_PARTITIONS) == hostile.partition:
        return "accepted", "passed-over"
    return ("forwarded",) if hostile.topic in COMMAND_TOPICS else ("set-aside", "passed-over")


def _time_to_judge(hostile: Hostile) -> float:
    began = time.perf_counter()
    Tally()._judge(hostile)
    return time.perf_counter() - began


def run(seed: int, begin: int, end: int, tally: Tally) -> Tally:
    """The records from `begin` to `end` of a seed, added to the tally."""
    maker = Maker(seed, TOPICS, DEFAULT_PARTITIONS)
    for number in range(begin, end):
        tally.take(maker.make(number))
    return tally


def _resumed(found: dict[str, Any] | None) -> Tally:
    if found is None:
        return Tally()
    return Tally(
        records=found["records"],
        fates=Counter(found["fates"]),
        made=Counter(found["made"]),
        topics=Counter(found["topics"]),
        slowest_s=found["slowest_s"],
        wrong=list(found["wrong"]),
    )


def main(arguments: list[str]) -> int:
    """0: all were right. 1: something was not. 3: it was not finished within `--for-s`; the same command goes on."""
    parser = argparse.ArgumentParser(prog="python -m proof.decoder", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--for-s", type=float, default=float("inf"), help="stop after so long; the next call goes on")
    parser.add_argument("--only", type=int, help="make this one record, show it, and judge it")
    asked = parser.parse_args(arguments)
    if asked.only is not None:
        hostile = Maker(asked.seed, TOPICS, DEFAULT_PARTITIONS).make(asked.only)
        tally = Tally()
        tally.take(hostile)
        print(hostile, tally.fates, *tally.wrong, sep="\n")
        return 1 if tally.wrong else 0
    tally = _resumed(results.read("decoder", asked.seed))
    began, first = time.monotonic(), tally.records
    while tally.records < asked.count and time.monotonic() - began < asked.for_s:
        run(asked.seed, tally.records, min(asked.count, tally.records + CHUNK), tally)
        path = results.write("decoder", asked.seed, tally.as_json())
        rate = (tally.records - first) / (time.monotonic() - began)
        print(f"{tally.records:,} of {asked.count:,}, {rate:,.0f}/s, {len(tally.wrong)} wrong, {path.name}", flush=True)
    for found in tally.wrong[:10]:
        print(f"wrong: {found}; again: python -m proof.decoder --seed {asked.seed} --only {found['number']}")
    if tally.wrong:
        return 1
    return 0 if tally.records >= asked.count else 3


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
