"""`python -m proof.hostile.target CORPUS... [-libFuzzer options]`: what atheris runs, as a process of its own.

libFuzzer ends the process: with 0 after `-runs`, with 77 at the first record that the judge finds wrong, which it keeps.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["contracts", "messaging"]):  # whose branches guide it
    from contracts.topics import DEFAULT_PARTITIONS
    from proof.hostile.judge import judge, record_of
    from proof.hostile.packing import unpack
    from proof.hostile.readers import INTERESTS, TOPICS, readers_of


def test_one_input(packed: bytes) -> None:
    """Judge one record as each of its readers gets it. Raises what is wrong with it."""
    record = record_of(unpack(packed, TOPICS, DEFAULT_PARTITIONS))
    for service in readers_of(record.topic):
        judge(record, DEFAULT_PARTITIONS, INTERESTS[service])


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
