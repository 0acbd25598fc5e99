"""`python -m proof.hostile.target CORPUS... [-libFuzzer options]`: what atheris runs, as a process of its own.

libFuzzer ends the process: with 0 after `-runs`, with 77 at the first record that the judge finds wrong, which it keeps.
"""

from __future__ import annotations

import sys
from random import Random

import atheris

with atheris.instrument_imports(include=["contracts", "messaging"]):  # whose branches guide it
    from contracts.topics import DEFAULT_PARTITIONS
    from proof.hostile.judge import judge, record_of
    from proof.hostile.maker import Maker
    from proof.hostile.packing import bent, pack, unpack
    from proof.hostile.readers import INTERESTS, TOPICS, readers_of

MAKER = Maker(0, TOPICS, DEFAULT_PARTITIONS)


def test_one_input(packed: bytes) -> None:
    """Judge one record as each of its readers gets it. Raises what is wrong with it."""
    record = record_of(unpack(packed, TOPICS, DEFAULT_PARTITIONS))
    for service in readers_of(record.topic):
        judge(record, DEFAULT_PARTITIONS, INTERESTS[service])


def mutate(packed: bytes, most_bytes: int, seed: int) -> bytes:
    """Every other time the document in the record is bent, as the grammar's maker does it; else the bytes are, which know no
    document. Of the records that reach a branch libFuzzer keeps the shortest, and few of those are messages: so every third time it
    is one of the maker's that is mutated."""
    random = Random(seed)  # noqa: S311 - it must repeat, that is all
    if random.random() < 0.33:
        packed = pack(MAKER.make(random.getrandbits(39)), TOPICS, DEFAULT_PARTITIONS) or packed
    found = bent(packed, MAKER, random, TOPICS, DEFAULT_PARTITIONS) if random.random() < 0.5 else None
    if found is not None and len(found) <= most_bytes:
        return found
    mutated: bytes = atheris.Mutate(packed[:most_bytes], most_bytes)
    return mutated


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input, custom_mutator=mutate)
    atheris.Fuzz()
