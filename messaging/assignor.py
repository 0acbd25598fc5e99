"""Who owns partition *p*: one member, of every topic that the group reads.

The members are dealt the partitions of the group's first topic by name order (a service's own command topic, see below) and get
partition *p* of all their other topics with it. Two topics are therefore never assigned apart, and in a rolling deployment, where
new members read one topic more than old ones, an old owner of *p* simply does not get *p* of the new topic (docs/adr/0003).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


def deal(members: Mapping[str, Iterable[str]], partitions: int) -> dict[str, list[int]]:
    """Which member owns which partitions: as evenly as can be, by the order of the members' names."""
    names = sorted(members)
    dealt: dict[str, list[int]] = {name: [] for name in names}
    for partition in range(partitions):
        dealt[names[partition % len(names)]].append(partition)
    return dealt


class CoPartitionAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """Assigns partition *p* of all topics to the same member."""

    name = "co-partition"
    version = 0

    @classmethod
    def assign(
        cls, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """See `AbstractPartitionAssignor.assign`."""
        topics = {member: list(metadata.subscription) for member, metadata in members.items()}
        known = [len(cluster.partitions_for_topic(t) or ()) for t in sorted({t for ts in topics.values() for t in ts})]
        # All topics have the same count (a service refuses to start otherwise); one whose metadata is not there yet has none.
        dealt = deal(topics, max(known, default=0))
        return {
            member: ConsumerProtocolMemberAssignment(
                cls.version, [(topic, dealt[member]) for topic in sorted(topics[member])], b""
            )
            for member in topics
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """See `AbstractPartitionAssignor.metadata`."""
        return ConsumerProtocolMemberMetadata(cls.version, sorted(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        """See `AbstractPartitionAssignor.on_assignment`: there is nothing to remember."""
