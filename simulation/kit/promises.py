"""What must be true of the whole system once everything has come to its end, whatever happened on the way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from audit.facts import OUTCOMES
from contracts.envelope import InvalidCommand, Unreadable, decode_command
from contracts.letters import word_of
from contracts.topics import ORDERS_COMMANDS, ORDERS_OPERATIONS
from messaging.partitioner import partition_of
from simulation.system import System


def broken_promises(system: System) -> list[str]:
    """Every promise that is broken, by the audit's rules and beyond them, in words. The system must have finished (see
    `System.finish`)."""
    return [
        *(str(breach) for breach in system.audit()),
        *_left_behind(system),
        *_ended_wrongly(system),
        *_answered_wrongly(system),
    ]


def check_promises(system: System) -> None:
    """Raises `AssertionError` with the promises that are broken, if any is."""
    __tracebackhide__ = True
    found = broken_promises(system)
    if found:
        raise AssertionError("Broken promises:\n" + "\n".join(f"  {told}" for told in found))


def _left_behind(system: System) -> Iterator[str]:
    for service, part in system.parts.of.items():
        if part.database.timers:
            yield f"{service} has timers left: {list(part.database.timers)}"
        if part.database.effects:
            yield f"{service} has effects left: {list(part.database.effects)}"


def _ended_wrongly(system: System) -> Iterator[str]:
    for order in system.orders():
        order_id, told = order["order_id"], system.told(order["order_id"])
        ends = [OUTCOMES[event.type] for event in system.events(order_id) if event.type in OUTCOMES]
        if ends != [order["status"]]:
            yield f"{order_id} is {order['status']} and was told to have ended as {ends}"
        if order["paused"] or order["waiting_for"] is not None or order["deadline"] is not None:
            yield f"{order_id} has ended and still waits: {order}"
        if told.count("attention-needed") != told.count("attention-resolved"):
            yield f"{order_id} needed attention {told.count('attention-needed')} times and that was not resolved as often"


def _answered_wrongly(system: System) -> Iterator[str]:
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
    for (order_id, command_id), times in asked.items():
        told = [verdict for verdict in system.verdicts(order_id) if verdict.command_id == command_id]
        firsts = sum(not verdict.duplicate for verdict in told)
        if len(told) != times or firsts > len(senders[order_id, command_id]):
            yield f"{order_id}: {command_id} came {times} times and was answered {told}"
