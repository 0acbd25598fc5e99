"""What must be true of the whole system once everything has come to its end, whatever happened on the way."""

from __future__ import annotations

from collections import Counter, defaultdict

from contracts.envelope import Unreadable, decode_command
from contracts.topics import COMMAND_TOPICS, ORDERS_COMMANDS, ORDERS_EVENTS, ORDERS_OPERATIONS
from messaging.partitioner import partition_of
from simulation import System

ENDS = {"order-completed", "order-cancelled", "order-failed", "greeted"}


def check(system: System) -> None:
    """Everything; the system must have finished."""
    assert system.audit() == []
    nothing_is_left(system)
    every_order_has_one_outcome(system)
    every_command_is_answered_each_time(system)


def nothing_is_left(system: System) -> None:
    for service, part in system.parts.of.items():
        assert not part.database.timers, f"{service} has timers left"
        assert not part.database.effects, f"{service} has effects left"


def every_order_has_one_outcome(system: System) -> None:
    for order in system.orders():
        told = system.told(order["order_id"])
        ends = [word for word in told if word in ENDS]
        assert len(ends) == 1, f"{order['order_id']} ended as {ends}"
        assert ends == ["greeted" if order["workflow"] == "greet" else f"order-{order['status'].lower()}"]
        assert not order["paused"]
        assert told.count("attention-needed") == told.count("attention-resolved")
        assert (order["waiting_for"], order["deadline"]) == (None, None)


def every_command_is_answered_each_time(system: System) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    firsts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in (*system.records(ORDERS_COMMANDS), *system.records(ORDERS_OPERATIONS)):
        try:
            command = decode_command(record.topic, record.key, record.value, record.headers)
        except Unreadable:
            continue
        if record.partition == partition_of(command.subject, system.broker.partitions):
            command_id = getattr(command, "command_id", None) or command.id  # type: ignore[union-attr]
            asked[command.subject, command_id] += 1
            firsts[command.subject, command_id].add(command.source)
    for (order_id, command_id), times in asked.items():
        told = [verdict for verdict in system.verdicts(order_id) if verdict.command_id == command_id]
        assert len(told) == times, f"{command_id} came {times} times and was answered {told}"
        assert sum(not verdict.duplicate for verdict in told) <= len(firsts[order_id, command_id])


def dead_letters(system: System) -> list[tuple[str, str]]:
    """Where dead letters stand, and why."""
    topics = [f"{topic}.{service}.dlq" for topic in {*COMMAND_TOPICS, ORDERS_EVENTS} for service in system.parts.of]
    return sorted(
        (topic, dict(record.headers)["dlq-reason"].decode()) for topic in topics for record in system.records(topic)
    )
