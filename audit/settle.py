"""Several databases are not one snapshot. So the audit waits until nothing is under way between them, and then looks at each; that
nothing moved while it looked is shown by the positions, which are the same after as before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from audit import sql
from audit.kafka import Broker, Ends
from audit.partitions import PartitionFacts
from audit.postgres import SERVICES, Database, Position, connected, live_positions, open_snapshots, partition_facts
from contracts.topics import SUBSCRIPTIONS

_PAUSE_S: Final = 0.2
_REASONS: Final = 8

Positions = Mapping[str, Mapping[int, Position]]


@dataclass(frozen=True, slots=True)
class Cut:
    """The databases as they are judged. `quiet`: nothing was under way between them, so all that they hold can be compared;
    otherwise `restless` says what was, and only orders that had ended before `began` can be. `open_payments`: charges
    whose end nobody knew yet."""

    databases: Mapping[str, Database]
    partitions: tuple[PartitionFacts, ...]
    positions: Positions
    ends: Ends
    began: datetime
    restless: tuple[str, ...]
    open_payments: int
    waited_s: float

    @property
    def quiet(self) -> bool:
        """Whether nothing was under way."""
        return not self.restless

    @property
    def parked(self) -> Mapping[str, tuple[str, ...]]:
        """The keys whose messages wait behind one that failed, with the services where they do. Their parties cannot agree yet."""
        found: dict[str, tuple[str, ...]] = {}
        for facts in self.partitions:
            for lane in facts.parked:
                found[lane.key] = (*found.get(lane.key, ()), facts.service)
        return found


@asynccontextmanager
async def settled(urls: Mapping[str, Sequence[str]], broker: Broker, timeout_s: float) -> AsyncIterator[Cut]:
    """The databases at rest, or as they are when `timeout_s` is over."""
    started = time.monotonic()
    deadline = started + timeout_s
    began: datetime | None = None
    async with AsyncExitStack() as stack:
        live = {}
        for name in SERVICES:
            live[name] = [await stack.enter_async_context(connected(name, url)) for url in urls[name]]
        while True:
            last = time.monotonic() >= deadline
            async with open_snapshots(urls) as databases:
                began = began or databases["orders"].as_of
                cut = await _look(databases, live, broker, began, time.monotonic() - started)
                if last or (cut.quiet and cut.open_payments == 0):
                    yield cut
                    return
            await asyncio.sleep(_PAUSE_S)


async def _look(
    databases: Mapping[str, Database], live: Mapping[str, Any], broker: Broker, began: datetime, waited_s: float
) -> Cut:
    partitions: list[PartitionFacts] = []
    for name in SERVICES:
        partitions += await partition_facts(databases[name])
    positions = {name: await databases[name].positions() for name in SERVICES}
    ends = await broker.ends(sorted({topic for name in SERVICES for topic in SUBSCRIPTIONS[name]}))
    after = {name: await live_positions(name, live[name]) for name in SERVICES}
    unsettled = sum(row[0] for row in await databases["payment"].fetch(sql.UNSETTLED_CHARGES))
    reasons = (*_under_way(partitions), *_unread(positions, ends), *_moved(positions, after))
    shown = (
        reasons if len(reasons) <= _REASONS else (*reasons[:_REASONS], f"and {len(reasons) - _REASONS} more reasons")
    )
    return Cut(databases, tuple(partitions), positions, ends, began, shown, unsettled, waited_s)


def _under_way(partitions: list[PartitionFacts]) -> list[str]:
    found = []
    for facts in partitions:
        where = f"{facts.service}/{facts.partition}"
        if facts.outbox:
            found.append(f"{where}: {len(facts.outbox)} messages are not published")
        if facts.effects:
            found.append(f"{where}: {len(facts.effects)} calls are under way")
    return found


def _unread(positions: Positions, ends: Ends) -> list[str]:
    """What stands on a topic and its reader has not taken. A reader that was never there has read nothing."""
    found = []
    for name, partitions in positions.items():
        for (topic, partition), end in sorted(ends.items()):
            if topic not in SUBSCRIPTIONS[name]:
                continue
            position = partitions.get(partition)
            read = 0 if position is None else position.offsets.get(topic, 0)
            if read != end:
                found.append(f"{name} has read {topic}/{partition} up to {read} of {end}")
    return found


def _moved(before: Positions, after: Positions) -> list[str]:
    """What was decided while we looked. That it is published was recorded meanwhile changes nothing."""
    return [
        f"{name} was working"
        for name in before
        if {p: (at.next_seq, at.offsets) for p, at in before[name].items()}
        != {p: (at.next_seq, at.offsets) for p, at in after[name].items()}
    ]
