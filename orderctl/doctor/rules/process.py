"""The process: whether it runs, answers, has its database and its session, and owns the partition."""

from __future__ import annotations

from typing import Any

from orderctl.doctor.chain import Advice, Finding, Link, quoting, since, verb
from orderctl.doctor.facts import ProcessFacts
from orderctl.doctor.rules.saying import found, stack
from orderctl.doctor.spot import Spot, at, listed


def service_down(spot: Spot) -> Finding | None:
    """Nothing listens where the service should be."""
    if not _all_are(spot, "refused"):
        return None
    urls = [process.url for process in spot.facts.processes]
    link = Link(f"{spot.service} does not run: nothing listens at {listed(urls)}", {"urls": urls})
    advice = [
        Advice(f"Start {spot.service}; its log tells why it ended.", stack(spot.service)),
        Advice(
            f"If it ends again at once with exit code 2, a setting of its own is wrong and its log names it: the topics have "
            f"{spot.world.partition_count or 'an unknown number of'} partitions (TOPIC_PARTITIONS), the broker that we see is at "
            f"{spot.world.kafka.bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS)."
        ),
    ]
    if spot.group is not None and spot.group.members > 0:
        elsewhere = f"Its group still has {spot.group.members} members: unless it ended within the last seconds, it runs elsewhere."
        advice.append(Advice(f"{elsewhere} Say where with {spot.service.upper()}_PROCESS_URLS."))
    return found(link, *_group_stands(spot), advice=tuple(advice))


def service_hangs(spot: Spot) -> Finding | None:
    """The port is open and nobody answers."""
    if not _all_are(spot, "timeout"):
        return None
    urls = [process.url for process in spot.facts.processes]
    link = Link(f"{spot.service} hangs: {listed(urls)} takes the connection and does not answer", {"urls": urls})
    advice = Advice(
        f"Restart {spot.service}; what it had under way is taken up again, nothing is lost.",
        stack(spot.service, "restart"),
    )
    return found(link, *_group_stands(spot), advice=(advice,))


def no_progress_told(spot: Spot) -> Finding | None:
    """Something answers there, but it is not this service."""
    processes = spot.facts.processes
    if spot.facts.answering or not processes:
        return None
    told = listed([f"{process.url} ({process.detail})" for process in processes])
    link = Link(f"{spot.service} cannot be asked: {told}", {"urls": [process.url for process in processes]})
    name = f"{spot.service.upper()}_PROCESS_URLS"
    return found(link, *_group_stands(spot), advice=(Advice(f"Is that {spot.service}? Say where it is with {name}."),))


def _all_are(spot: Spot, problem: str) -> bool:
    processes = spot.facts.processes
    return bool(processes) and all(process.problem == problem for process in processes)


def _group_stands(spot: Spot) -> tuple[Link, ...]:
    """Where the group stood when it last told the broker: all that is known of a service that does not answer."""
    group, unread = spot.group, spot.unread
    if group is None:
        return ()
    evidence: dict[str, Any] = {"group_state": group.state, "members": group.members}
    if unread is None:
        return (Link(f"its group is {group.state.lower()} with {group.members} members", evidence),)
    topic, stands, end = unread
    evidence |= {"topic": topic, "partition": spot.partition, "offset": stands, "end": end}
    waits = f"the group stands at {at(topic, spot.partition, stands)} and the topic ends at {end}: {end - stands} records wait"
    return (Link(waits, evidence),)


def no_database_at_start(spot: Spot) -> Finding | None:
    """The process waits for its database and has not begun."""
    process = _one_in(spot, "starting")
    if process is None:
        return None
    words, evidence = f"{spot.service} has not begun to work", _evidence(process)
    failed = process.last_error
    link = quoting(words, failed.text, evidence) if failed else Link(f"{words}: it has only just started", evidence)
    name = f"{spot.service.upper()}_DATABASE_URL"
    return found(
        link,
        advice=(Advice(f"Start the database, or correct {name} of {spot.service} and restart it.", "make status"),),
    )


def other_broker(spot: Spot) -> Finding | None:
    """The process was given another broker than the one we see, and gets no session there."""
    process = _one_in(spot, "joining")
    kafka = spot.world.kafka
    if process is None or kafka.problem is not None or process.bootstrap_servers in ("", kafka.bootstrap_servers):
        return None
    if process.last_error is None:
        return None
    link = Link(
        f"{spot.service} has no session with its broker: it was given {process.bootstrap_servers}, and the broker that answers "
        f"us is at {kafka.bootstrap_servers}",
        _evidence(process),
    )
    last = quoting("its last failure", process.last_error.text)
    advice = Advice(f"Correct KAFKA_BOOTSTRAP_SERVERS of {spot.service} and restart it.", stack(spot.service))
    return found(link, last, advice=(advice,))


def no_partition(spot: Spot) -> Finding | None:
    """The partition belongs to no process that was asked."""
    answering = spot.facts.answering
    if not answering or spot.here is not None:
        return None
    told = [process.last_error.text for process in answering if process.last_error is not None]
    link = Link(
        f"no process of {spot.service} that was asked owns partition {spot.partition}",
        {"asked": [process.url for process in answering], "members": spot.group.members if spot.group else None},
    )
    links = (link, *(quoting("its last failure", text) for text in told[:1]))
    if spot.group is not None and spot.group.members > len(answering):
        name = f"{spot.service.upper()}_PROCESS_URLS"
        return found(
            *links,
            advice=(Advice(f"Its group has {spot.group.members} members: name the others in {name} and ask again."),),
        )
    again = f"It joins its group: ask again in a few seconds. If it stays so, restart {spot.service}."
    return found(*links, advice=(Advice(again, stack(spot.service, "restart")),))


def not_taken_over(spot: Spot) -> Finding | None:
    """The partition is assigned and not taken over yet."""
    here = spot.here
    if here is None or here.ready:
        return None
    link = Link(f"{spot.service} has not taken partition {spot.partition} over{since(here.busy_since, here.now)}")
    return found(link, advice=(Advice("Ask again in a few seconds.", verb("doctor", spot.key)),))


def _one_in(spot: Spot, phase: str) -> ProcessFacts | None:
    """A process in this phase, where none works on the partition."""
    if spot.here is not None:
        return None
    return next((process for process in spot.facts.answering if process.phase == phase), None)


def _evidence(process: ProcessFacts) -> dict[str, Any]:
    return {"url": process.url, "identity": process.identity, "bootstrap_servers": process.bootstrap_servers}
