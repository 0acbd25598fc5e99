"""Partition *p* of everything has one owner, also while a deployment adds a topic; and it is Java's partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from messaging.assignor import CoPartitionAssignor, deal
from messaging.partitioner import partition_of

NAMES = st.sets(st.text("abcxyz0189-", min_size=1, max_size=8), min_size=1, max_size=9)


class Cluster:
    """What the assignor asks of the client's metadata."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._counts[topic])) if topic in self._counts else None


def assign(members: Mapping[str, Sequence[str]], counts: Mapping[str, int]) -> dict[str, dict[str, list[int]]]:
    metadata: dict[str, ConsumerProtocolMemberMetadata] = {
        name: CoPartitionAssignor.metadata(topics) for name, topics in members.items()
    }
    found = CoPartitionAssignor.assign(Cluster(counts), metadata)
    return {name: dict(assignment.assignment) for name, assignment in found.items()}


@given(NAMES, st.integers(1, 20))
def test_partitions_are_dealt_evenly_each_to_one(names: set[str], partitions: int) -> None:
    dealt = deal({name: [] for name in names}, partitions)
    assert sorted(p for owned in dealt.values() for p in owned) == list(range(partitions))
    sizes = [len(owned) for owned in dealt.values()]
    assert max(sizes) - min(sizes) <= 1


@given(NAMES, st.integers(1, 20))
def test_the_deal_hangs_on_the_names_alone(names: set[str], partitions: int) -> None:
    forwards = deal({name: [] for name in sorted(names)}, partitions)
    assert forwards == deal({name: [] for name in sorted(names, reverse=True)}, partitions)


@given(NAMES, st.integers(1, 8))
def test_one_member_owns_a_partition_of_all_topics(names: set[str], partitions: int) -> None:
    found = assign({name: ["commands", "events"] for name in names}, {"commands": partitions, "events": partitions})
    for topics in found.values():
        assert topics["commands"] == topics["events"]


@given(NAMES, NAMES, st.integers(1, 8))
def test_in_a_rolling_deployment_with_one_more_topic_no_partition_has_two_owners(
    old: set[str], new: set[str], partitions: int
) -> None:
    """Old members read two topics, new ones three. What an old owner does not read waits for its successor."""
    members = {
        **{f"old-{name}": ["commands", "events"] for name in old},
        **{f"new-{name}": ["commands", "events", "added"] for name in new},
    }
    found = assign(members, {"commands": partitions, "events": partitions, "added": partitions})
    owners: dict[int, set[str]] = {}
    for member, topics in found.items():
        assert set(topics) == set(members[member])
        for owned in topics.values():
            for partition in owned:
                owners.setdefault(partition, set()).add(member)
    assert sorted(owners) == list(range(partitions))
    assert all(len(names) == 1 for names in owners.values())


def test_a_topic_whose_metadata_is_not_there_yet_is_assigned_all_the_same() -> None:
    found = assign({"m": ["commands", "added"]}, {"commands": 4})
    assert found == {"m": {"commands": [0, 1, 2, 3], "added": [0, 1, 2, 3]}}


# From Kafka's own UtilsTest.testMurmur2.
JAVA = [
    ("21", -973932308),
    ("foobar", -790332482),
    ("a-little-bit-long-string", -985981536),
    ("a-little-bit-longer-string", -1486304829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ("abc", 479470107),
]


@pytest.mark.parametrize(("key", "hashed"), JAVA)
def test_keys_hash_as_in_the_java_client(key: str, hashed: int) -> None:
    assert murmur2(key.encode()) == hashed & 0xFFFFFFFF
    assert partition_of(key, 12) == (hashed & 0x7FFFFFFF) % 12
