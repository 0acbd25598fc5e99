"""A partition that is at work, and still the order gets no answer: timers, outbox, dead letters, others before it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from orderctl.doctor.chain import Advice, Finding, Link, quoting, since, span, verb
from orderctl.doctor.facts import DeadLetter
from orderctl.doctor.rules.saying import found, stack, stands_still
from orderctl.doctor.spot import TOO_LONG, Spot, at

#: With fewer records before the order's own the service is simply at work.
FEW: Final = 50


def timers_stand(spot: Spot) -> Finding | None:
    """A timer is due and does not fire, although the partition is otherwise at work."""
    here = spot.here
    if here is None or not here.timers_overdue or here.next_due_at is None:
        return None
    late = span(here.now - here.next_due_at)
    link = Link(
        f"the timers of {spot.service} stand: the earliest of partition {spot.partition} was due {late} ago",
        {"next_due_at": here.next_due_at, "lag": here.lag},
    )
    links = (link, *stands_still(spot))
    advice = Advice(
        f"A timer waits for the records that were appended before it. If none are read, restart {spot.service}; timers are rows, "
        "none is lost.",
        stack(spot.service, "restart"),
    )
    return found(*links, advice=(advice,))


def outbox_stuck(spot: Spot) -> Finding | None:
    """What was decided does not get to its topics."""
    here = spot.here
    if here is None or here.outbox_since is None or here.now - here.outbox_since < TOO_LONG:
        return None
    link = Link(
        f"the outbox of {spot.service} does not empty: {here.outbox_waiting} messages of partition {spot.partition} have been "
        f"waiting for {span(here.now - here.outbox_since)}",
        {"waiting": here.outbox_waiting, "since": here.outbox_since},
    )
    failed = here.last_error
    publishing = failed is not None and failed.text.startswith("publishing:")
    last = (quoting("its last failure", failed.text, {"at": failed.at}),) if failed is not None and publishing else ()
    advice = Advice(
        "The broker refuses or does not acknowledge: look at the topic's settings (max.message.bytes, min.insync.replicas) and at "
        "the broker's disk. Nothing is lost; it is published when the broker takes it.",
        stack(spot.service),
    )
    return found(link, *last, advice=(advice,))


def dead_letter(spot: Spot) -> Finding | None:
    """What was asked was set aside, so nobody will answer it."""
    mine = [letter for letter in spot.world.dead_letters if _is_ours(spot, letter)]
    if not mine:
        return None
    letter = max(mine, key=lambda found: found.at)
    stood, stands = (
        at(letter.topic, letter.partition, letter.offset),
        at(letter.letter_topic, letter.partition, letter.letter_offset),
    )
    link = Link(
        f"{spot.service} could not handle {letter.type or 'the record'} at {stood} and set it aside: {letter.reason}",
        {"dead_letter": stands, "reason": letter.reason, "error": letter.error, "at": letter.at},
    )
    why = quoting(f"the reason is told in its dead letter at {stands}", letter.error)
    name = _letter_name(spot.service, letter.topic, letter.partition, letter.offset)
    advice = Advice("Mend the cause, then send it again.", f"orderctl dlq replay {name}")
    return found(link, why, advice=(advice, Advice("What it was:", f"orderctl dlq show {name}")))


def _is_ours(spot: Spot, letter: DeadLetter) -> bool:
    if letter.service != spot.service or letter.key != spot.key:
        return False
    request = spot.request
    if request is not None and (letter.topic, letter.offset) == (request.topic, request.offset):
        return True
    return spot.since is None or letter.at >= spot.since


def parked(spot: Spot) -> Finding | None:
    """The order's messages wait behind one that could not be handled."""
    lane = next((lane for lane in spot.world.lanes if (lane.service, lane.key) == (spot.service, spot.key)), None)
    if lane is None:
        return None
    stood = at(lane.topic, lane.partition, lane.offset)
    link = Link(
        f"{spot.service} could not handle the record at {stood}; {lane.behind} more of this order wait behind it",
        {"topic": lane.topic, "partition": lane.partition, "offset": lane.offset, "waiting": lane.behind},
    )
    why = quoting("its failure", lane.error)
    if not lane.held:
        working = Advice("It is being handled again.", verb("doctor", spot.key))
        return Finding((link, why), (working,), "moving")
    letter = _letter_name(spot.service, lane.topic, lane.partition, lane.offset)
    advice = Advice(
        "Mend the cause, then have it handled again; what waits follows by itself.", f"orderctl dlq replay {letter}"
    )
    return found(link, why, advice=(advice, Advice("What it was:", f"orderctl dlq show {letter}")))


def _letter_name(service: str, topic: str, partition: int, offset: int) -> str:
    """As `orderctl dlq` names a letter."""
    return f"{service}/{topic}/{partition}/{offset}"


# --- behind -------------------------------------------------------------------------------------------------------------


def behind(spot: Spot) -> Finding | None:
    """The service is at work, and others come first; or it reads nothing although there is something."""
    unread, before, here = spot.unread, spot.earlier, spot.here
    if unread is None or before is None or here is None or spot.consumed:
        return None
    topic, stands, end = unread
    ahead = (end if spot.request is None or spot.request.offset is None else spot.request.offset) - stands
    moved = stands - before.offsets.get(topic, stands)
    if ahead < FEW and moved:
        return None
    if not moved:
        return _reads_nothing(spot)
    seconds = max((here.now - before.now).total_seconds(), 0.001)
    left = timedelta(seconds=ahead / (moved / seconds))
    link = Link(
        f"{spot.service} is behind: it stands at {at(topic, spot.partition, stands)}, {ahead} records come first, and it handles "
        f"about {moved / seconds:.0f} a second: {span(left)} to go",
        {
            "topic": topic,
            "partition": spot.partition,
            "offset": stands,
            "end": end,
            "per_second": round(moved / seconds),
        },
    )
    advice = Advice(
        f"It goes on by itself. If it stays behind, run another process of {spot.service} (up to one per partition).",
        "orderctl services",
    )
    return Finding((link,), (advice,), "behind")


def _reads_nothing(spot: Spot) -> Finding | None:
    """Nothing moved between two looks, and nothing is told to be wrong."""
    here = spot.here
    last = here.last_progress_at if here is not None else None
    if here is None or (last is not None and here.now - last < TOO_LONG):
        return None
    link = Link(f"nothing was handled{since(last, here.now)}, though nothing is told to be wrong")
    advice = Advice(
        f"The reader is rebuilt by itself after WATCHDOG_S (30 s). If that does not help, restart {spot.service}.",
        stack(spot.service, "restart"),
    )
    return found(*stands_still(spot), link, advice=(advice,))
