"""What several rules say."""

from __future__ import annotations

from orderctl.doctor.chain import Advice, Finding, Link
from orderctl.doctor.spot import Spot, at


def found(*links: Link, advice: tuple[Advice, ...]) -> Finding:
    """What a rule found."""
    return Finding(links, advice)


def stack(service: str, verb: str = "logs") -> str:
    """The devstack's verb for a service, as a command."""
    return f"python -m devstack {verb} {service}"


def stands_still(spot: Spot) -> tuple[Link, ...]:
    """That the group does not move, and where."""
    here, unread = spot.here, spot.unread
    if unread is None or here is None:
        return ()
    topic, stands, end = unread
    evidence = {"topic": topic, "partition": spot.partition, "offset": stands, "end": end}
    return (Link(f"{spot.service} stands still at {at(topic, spot.partition, stands)}, the end is {end}", evidence),)
