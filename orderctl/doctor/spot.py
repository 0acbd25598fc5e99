"""One service's partition, looked at because of one order: what the rules about services are asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contracts.topics import (
    COMMAND_TOPICS,
    EVENT_TOPICS,
    SUBSCRIPTIONS,
    dead_letter_topic,
)
from orderctl.doctor.facts import Failure, GroupFacts, PartitionFacts, Request, ServiceFacts, World

#: A turn of the loop that lasts longer waits for something; so does an outbox that nothing leaves.
TOO_LONG: Final = timedelta(seconds=3)
#: Failures of these are told with a word before them, and do not keep records from being handled.
ASIDE: Final = ("publishing:", "an effect of kind")


@dataclass(frozen=True, slots=True)
class Spot:
    """`request`: what the order has asked of the service, where it is known; `since`: since when the order waits; `key`: its id."""

    world: World
    service: str
    partition: int
    key: str
    since: datetime | None = None
    request: Request | None = None

    @property
    def facts(self) -> ServiceFacts:
        """The service."""
        return self.world.services.get(self.service) or ServiceFacts(self.service)

    @property
    def here(self) -> PartitionFacts | None:
        """The partition, where a process that answered owns it."""
        return self.facts.partition(self.partition)

    @property
    def earlier(self) -> PartitionFacts | None:
        """The partition a moment earlier, where it was looked at twice."""
        before = self.world.before.get(self.service)
        return before.partition(self.partition) if before is not None else None

    @property
    def group(self) -> GroupFacts | None:
        """The consumer group, where the broker told of it."""
        return self.world.kafka.groups.get(self.service)

    @property
    def topics(self) -> tuple[str, ...]:
        """What the service cannot work without: what it reads, what it writes, and where it puts what it cannot handle."""
        reads = SUBSCRIPTIONS.get(self.service, ())
        writes = {f"{self.service}.events.v1"} & EVENT_TOPICS
        if self.service == "orders":
            writes |= COMMAND_TOPICS
        dead = (dead_letter_topic(topic, self.service) for topic in reads)
        return tuple(dict.fromkeys((*reads, *sorted(writes), *dead)))

    @property
    def unread(self) -> tuple[str, int, int] | None:
        """Where the service stands with records behind it: topic, next offset to read, end. The request's topic comes first."""
        first = [self.request.topic] if self.request is not None else []
        for topic in dict.fromkeys((*first, *SUBSCRIPTIONS.get(self.service, ()))):
            stands, end = self.offset(topic), self.end(topic)
            if stands is not None and end is not None and end > stands:
                return topic, stands, end
        return None

    def offset(self, topic: str) -> int | None:
        """The next offset that the service reads there: told by the service, else the last that its group told the broker."""
        if self.here is not None and topic in self.here.offsets:
            return self.here.offsets[topic]
        return self.group.offsets.get((topic, self.partition)) if self.group is not None else None

    def end(self, topic: str) -> int | None:
        """Where the topic's partition ends, asked by us, else as the service was told."""
        asked = self.world.kafka.ends.get((topic, self.partition))
        return asked if asked is not None or self.here is None else self.here.ends.get(topic)

    @property
    def consumed(self) -> bool | None:
        """Whether the service has read the request; None where that cannot be told."""
        if self.request is None or self.request.offset is None:
            return None
        stands = self.offset(self.request.topic)
        return None if stands is None else stands > self.request.offset

    @property
    def standing_error(self) -> Failure | None:
        """The last failure, if nothing has been handled since and it kept records from being handled."""
        here = self.here
        if here is None or here.last_error is None or here.last_error.text.startswith(ASIDE):
            return None
        moved = here.last_progress_at is not None and here.last_progress_at > here.last_error.at
        return None if moved and not here.failing else here.last_error

    @property
    def busy_for(self) -> timedelta | None:
        """For how long the turn at hand has lasted, where that is too long."""
        here = self.here
        if here is None or here.busy_since is None or here.now - here.busy_since < TOO_LONG:
            return None
        return here.now - here.busy_since


def at(topic: str, partition: int, offset: int) -> str:
    """`payment.commands.v1 3/881`."""
    return f"{topic} {partition}/{offset}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
