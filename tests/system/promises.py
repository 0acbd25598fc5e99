"""What must be true of the whole system once everything has come to its end, whatever happened on the way."""

from __future__ import annotations

from collections import Counter, defaultdict

from contracts.envelope import Unreadable, decode_command
from contracts.orders import OrderCompleted
from contracts.topics import COMMAND_TOPICS, ORDERS_COMMANDS, ORDERS_EVENTS
from messaging.partitioner import partition_of
from simulation import System

ENDS = {"order-completed", "order-cancelled", "order-failed"}


def check(system: System) -> None:
    """Everything; the system must have finished."""
    nothing_is_left(system)
    every_order_has_one_outcome(system)
    every_command_has_one_verdict(system)
    money_is_conserved(system)
    stock_is_conserved(system)
    history_tells_what_was_told(system)


def nothing_is_left(system: System) -> None:
    for service, part in system.parts.of.items():
        assert not part.database.timers, f"{service} has timers left"
        assert not part.database.effects, f"{service} has effects left"


def every_order_has_one_outcome(system: System) -> None:
    for order in system.orders():
        told = system.told(order["order_id"])
        ends = [word for word in told if word in ENDS]
        assert len(ends) == 1, f"{order['order_id']} ended as {ends}"
        assert ends == [f"order-{order['status'].lower()}"]
        assert told.count("attention-needed") == told.count("attention-resolved")
        assert order["waiting_for"] is None


def every_command_has_one_verdict(system: System) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    firsts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in system.records(ORDERS_COMMANDS):
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


def money_is_conserved(system: System) -> None:
    balance: Counter[str] = Counter()
    charges: Counter[str] = Counter()
    for order in system.orders():
        for entry in system.gateway_entries(order["order_id"]):
            sign = 1 if entry.kind.value == "charge" else -1
            balance[order["order_id"]] += sign * entry.amount_minor
            charges[order["order_id"]] += sign > 0
        kept = order["total_minor"] if order["status"] == "COMPLETED" else 0
        assert balance[order["order_id"]] == kept, f"{order['order_id']} paid {balance[order['order_id']]}"
        assert charges[order["order_id"]] <= 1
        ours = sum(c["captured_minor"] - c["refunded_minor"] for c in system.charges(order["order_id"]))
        assert ours == kept, f"{order['order_id']}: the payment service has {ours}, the gateway {kept}"


def stock_is_conserved(system: System) -> None:
    sold: Counter[str] = Counter()
    for order in system.orders():
        for event in system.events(order["order_id"]):
            if isinstance(event.data, OrderCompleted):
                for item in event.data.items:
                    sold[item.sku] += item.quantity
    for sku in system.parts.inventory.stock:
        row = system.stock(sku)
        assert row["on_hand"] >= 0
        assert row["held"] == 0, f"{sku} is held although every order has ended"
        assert row["shipped"] == sold[sku]
        assert row["on_hand"] + row["held"] + row["shipped"] == row["received"] + row["adjusted"]


def history_tells_what_was_told(system: System) -> None:
    for order in system.orders():
        order_id = order["order_id"]
        kept = [entry["event_id"] for entry in system.history(order_id) if entry["event_id"] is not None]
        assert kept == [event.id for event in system.events(order_id)]
        sequences = [entry["sequence"] for entry in system.history(order_id)]
        assert sequences == sorted(set(sequences))


def dead_letters(system: System) -> list[tuple[str, str]]:
    """Where dead letters stand, and why."""
    topics = [f"{topic}.{service}.dlq" for topic in {*COMMAND_TOPICS, ORDERS_EVENTS} for service in system.parts.of]
    return sorted(
        (topic, dict(record.headers)["dlq-reason"].decode()) for topic in topics for record in system.records(topic)
    )
