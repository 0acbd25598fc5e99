"""The broker and its topics."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Final

from orderctl.doctor.chain import Advice, Finding, Link
from orderctl.doctor.rules.saying import found
from orderctl.doctor.spot import Spot, listed

#: Ends that a service was told within this time show that the broker talks to it, whatever it does with us.
FRESH: Final = timedelta(seconds=10)


def broker_away(spot: Spot) -> Finding | None:
    """The broker answers nobody."""
    kafka, here = spot.world.kafka, spot.here
    if kafka.problem is None:
        return None
    if here is not None and here.ends_at is not None and here.now - here.ends_at < FRESH:
        return None  # it talks to the service: what is wrong is where we look for it
    link = Link(f"the broker at {kafka.bootstrap_servers} does not answer: {kafka.problem}")
    return found(link, advice=(Advice("Start the broker; everything goes on by itself then.", "make status"),))


def topic_missing(spot: Spot) -> Finding | None:
    """A topic that the service reads or writes is not there."""
    known = spot.world.kafka.topics
    missing = [topic for topic in spot.topics if topic not in known]
    if spot.world.kafka.problem is not None or not missing:
        return None
    link = Link(
        f"the broker has no topic {listed(missing)}, which {spot.service} cannot work without", {"topics": missing}
    )
    advice = Advice(
        "Create what is missing, with the partition count of the others; a service that ended starts again by itself.",
        "python -m devstack topics",
    )
    return found(link, advice=(advice,))


def partition_counts(spot: Spot) -> Finding | None:
    """A topic has another partition count than the others: every service that reads it refuses to start."""
    known = spot.world.kafka.topics
    if not known or spot.world.kafka.problem is not None:
        return None
    usual = Counter(known[topic] for topic in spot.topics if topic in known).most_common(1)[0][0]
    other = {topic: known[topic] for topic in spot.topics if known.get(topic, usual) != usual}
    if not other:
        return None
    told = listed([f"{topic} has {count} partitions" for topic, count in other.items()])
    link = Link(f"{told}, the others have {usual}: {spot.service} refuses that at its start", {"partitions": other})
    advice = Advice(
        f"All topics need the same partition count. If nothing stands on it yet, delete the topic and create it with {usual}."
    )
    return found(link, advice=(advice,))
