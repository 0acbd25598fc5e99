"""A world in which all is well, and what can be changed about it; for tests of the diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.topics import SUBSCRIPTIONS, all_topics
from messaging.partitioner import partition_of
from orderctl.doctor.facts import (
    Failure,
    GroupFacts,
    KafkaFacts,
    OrderFacts,
    PartitionFacts,
    Problem,
    ProcessFacts,
    ServiceFacts,
    World,
)
from orderctl.settings import SERVICES

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORDER = "ORDER-1"
P = partition_of(ORDER, 4)
CHARGES = "payment.commands.v1"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def partition(service: str, **changed: Any) -> PartitionFacts:
    """The order's partition of the service, at work and with nothing to do."""
    at_end = dict.fromkeys(SUBSCRIPTIONS[service], 100)
    well = PartitionFacts(
        partition=P,
        url=f"http://{service}",
        now=NOW,
        ready=True,
        failing=False,
        last_error=None,
        offsets=at_end,
        ends=at_end,
        ends_at=ago(1),
        lag=0,
        last_progress_at=ago(1),
        busy_since=None,
        outbox_waiting=0,
        outbox_since=None,
        next_due_at=None,
        timers_overdue=False,
        effects=0,
        buffered=0,
        parked=0,
    )
    return replace(well, **changed)


def process(service: str, *partitions: PartitionFacts, **changed: Any) -> ProcessFacts:
    well = ProcessFacts(
        url=f"http://{service}", identity=f"{service}-1", phase="working", ready=True, bootstrap_servers="kafka:9092"
    )
    return replace(well, partitions=partitions, **changed)


def world(
    processes: Mapping[str, ProcessFacts] | None = None,
    ends: Mapping[tuple[str, int], int] | None = None,
    kafka: KafkaFacts | None = None,
    **more: Any,
) -> World:
    """All is well but what is given."""
    changed = processes or {}
    services = {name: ServiceFacts(name, (changed.get(name) or process(name, partition(name)),)) for name in SERVICES}
    topics = {spec.name: spec.partitions for spec in all_topics()}
    groups = {name: GroupFacts("Stable", 1) for name in SERVICES}
    everywhere = {(topic, P): 100 for topics_of in SUBSCRIPTIONS.values() for topic in topics_of}
    broker = kafka or KafkaFacts("kafka:9092", None, topics, {**everywhere, **(ends or {})}, groups)
    return World(NOW, services, broker, **more)


def down(service: str, problem: Problem = "refused") -> dict[str, ProcessFacts]:
    """The service does not answer."""
    return {service: ProcessFacts(f"http://{service}", problem)}


def at_work(service: str, **changed: Any) -> dict[str, ProcessFacts]:
    """The service answers, and its partition is like this."""
    return {service: process(service, partition(service, **changed))}


def entry(kind: str, seconds_ago: float, **data: Any) -> dict[str, Any]:
    return {"type": kind, "at": ago(seconds_ago).isoformat(), "data": data}


def order(status: str = "PAYING", waiting_for: str | None = "payment", **changed: Any) -> OrderFacts:
    """An order that was approved a minute ago and waits for payment."""
    history = (entry("orders.order-started.v1", 90), entry("orders.payment-approved.v1", 60))
    found = OrderFacts(ORDER, True, status, waiting_for, created_at=ago(90), history=history)
    return replace(found, **changed)


def asked(
    offset: int | None = 100, name: str = "r1", kind: str = "orders.asked", seconds_ago: float = 59
) -> dict[str, Any]:
    """An entry with which the order's charge was asked for."""
    place = (
        {"topic": CHARGES, "partition": P, "offset": offset} if offset is not None else {"topic": None, "offset": None}
    )
    return {**entry(kind, seconds_ago), "sent": [{"type": "payment.charge.v1", "id": name, **place}]}


def failed(text: str, seconds_ago: float = 2) -> Failure:
    return Failure(ago(seconds_ago), text)
