"""What must be true of the whole system once everything has come to its end, whatever happened on the way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from audit.facts import OUTCOMES
from audit.rules import Breach
from contracts.envelope import InvalidCommand, Unreadable, decode_command, decode_event, event_type
from contracts.letters import word_of
from contracts.topics import ORDERS_COMMANDS, ORDERS_EVENTS, ORDERS_OPERATIONS
from messaging.partitioner import partition_of
from simulation.system import System
from simulation.views import Event, ToldVerdict, verdicts_of


def broken_promises(system: System, *, read_again: bool = False) -> list[str]:
    """Every promise that is broken, by the audit's rules and beyond them, in words, behind the name of its rule. The system must
    have finished (see `System.finish`). `read_again`: a service was made to read old commands once more, and has answered them."""
    events = _events(system)
    return [
        *(told(breach) for breach in system.audit()),
        *_left_behind(system),
        *_ended_wrongly(system, events),
        *_answered_wrongly(system, events, read_again),
    ]


def told(breach: Breach) -> str:
    """A breach in words."""
    about = f" ({breach.about})" if breach.about else ""
    return f"{breach.rule}: {breach.kind} {breach.subject}{about}: expected {breach.expected}; found {breach.found}"


def check_promises(system: System) -> None:
    """Raises `AssertionError` with the promises that are broken, if any is."""
    __tracebackhide__ = True
    found = broken_promises(system)
    if found:
        raise AssertionError("Broken promises:\n" + "\n".join(f"  {line}" for line in found))


def _events(system: System) -> Mapping[str, list[Event]]:
    """The events of each order; one that was delivered again counts once."""
    found: dict[str, dict[str, Event]] = defaultdict(dict)
    for record in system.records(ORDERS_EVENTS):
        event = decode_event(event_type(record.value, record.headers), record.value)
        found[event.subject].setdefault(event.id, event)
    return {key: list(events.values()) for key, events in found.items()}


def _left_behind(system: System) -> Iterator[str]:
    for service, part in system.parts.of.items():
        if part.database.timers:
            yield f"no-timer-is-left: {service} has {list(part.database.timers)}"
        if part.database.effects:
            yield f"no-effect-is-left: {service} has {list(part.database.effects)}"
        if part.database.parked:
            yield f"no-message-waits: {service} has {list(part.database.parked)}"


def _ended_wrongly(system: System, events: Mapping[str, list[Event]]) -> Iterator[str]:
    for order in system.orders():
        order_id = order["order_id"]
        kinds = Counter(event.type for event in events.get(order_id, ()))
        ends = [OUTCOMES[event.type] for event in events.get(order_id, ()) if event.type in OUTCOMES]
        if ends != [order["status"]]:
            yield f"one-end-is-told: {order_id} is {order['status']} and was told to have ended as {ends}"
        if order["paused"] or order["waiting_for"] is not None or order["deadline"] is not None:
            yield f"nothing-waits-after-the-end: {order_id} has ended and still waits: {order}"
        needed, resolved = kinds["orders.attention-needed.v1"], kinds["orders.attention-resolved.v1"]
        if needed != resolved:
            yield f"attention-is-resolved: {order_id} needed it {needed} times and that was resolved {resolved} times"


def _answered_wrongly(system: System, events: Mapping[str, list[Event]], read_again: bool) -> Iterator[str]:
    asked: Counter[tuple[str, str]] = Counter()
    senders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in (*system.records(ORDERS_COMMANDS), *system.records(ORDERS_OPERATIONS)):
        if word_of(record.headers) is not None:
            continue  # an operator's word about a command that came before
        try:
            command = decode_command(record.topic, record.key, record.value, record.headers)
        except Unreadable:
            continue
        # On a foreign partition it is not decided but sent on.
        if record.partition == partition_of(command.subject, system.broker.partitions):
            command_id = command.command_id if isinstance(command, InvalidCommand) else command.id
            asked[command.subject, command_id] += 1
            senders[command.subject, command_id].add(command.source)
    answered: dict[tuple[str, str], list[ToldVerdict]] = defaultdict(list)
    for order_id, told_of in events.items():
        for verdict in verdicts_of(told_of):
            answered[order_id, verdict.command_id].append(verdict)
    for (order_id, command_id), times in asked.items():
        given = answered[order_id, command_id]
        firsts = sum(not verdict.duplicate for verdict in given)
        often = len(given) >= times if read_again else len(given) == times
        if not often or firsts > len(senders[order_id, command_id]):
            yield f"every-command-is-answered: {order_id}: {command_id} came {times} times and was answered {given}"
