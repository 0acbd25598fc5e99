"""What is known when a diagnosis is made. Frozen data, nothing else; `parse` functions take what the services answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from contracts.topics import ORDERS_COMMANDS

Problem = Literal["refused", "timeout", "no-progress", "error"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong last, and when."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """One partition, as its owner tells it at `/progress`. `url`: the process that owns it; `now`: the time by its clock, by which
    its other times are read; `ends_at`: when it last asked the broker for the ends."""

    partition: int
    url: str
    now: datetime
    ready: bool
    failing: bool
    last_error: Failure | None
    offsets: Mapping[str, int]
    ends: Mapping[str, int]
    ends_at: datetime | None
    lag: int | None
    last_progress_at: datetime | None
    busy_since: datetime | None
    outbox_waiting: int
    outbox_since: datetime | None
    next_due_at: datetime | None
    timers_overdue: bool
    effects: int
    buffered: int
    parked: int


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One process that was asked for `/progress`. `problem` None: it answered; `told`: its answer as it came."""

    url: str
    problem: Problem | None = None
    detail: str = ""
    identity: str = ""
    phase: str = ""
    ready: bool = False
    started_at: datetime | None = None
    last_error: Failure | None = None
    bootstrap_servers: str = ""
    topic_partitions: int | None = None
    group: str = ""
    partitions: tuple[PartitionFacts, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service: all of its processes that were asked."""

    name: str
    processes: tuple[ProcessFacts, ...] = ()

    @property
    def answering(self) -> tuple[ProcessFacts, ...]:
        """Those that answered."""
        return tuple(process for process in self.processes if process.problem is None)

    def partition(self, number: int) -> PartitionFacts | None:
        """The partition, where a process that answered owns it."""
        found = (p for process in self.answering for p in process.partitions if p.partition == number)
        return next(found, None)


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A consumer group as the broker knows it; the offsets are those that the service told it last, some seconds ago."""

    state: str
    members: int
    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KafkaFacts:
    """What the broker says. `problem` None: it answered."""

    bootstrap_servers: str
    problem: str | None = None
    topics: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[tuple[str, int], int] = field(default_factory=dict)
    groups: Mapping[str, GroupFacts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that a service set aside. `topic`, `partition` and `offset` say where it stood, `letter_topic` and `letter_offset`
    where it stands now."""

    service: str
    topic: str
    partition: int
    offset: int
    letter_topic: str
    letter_offset: int
    key: str
    type: str
    reason: str
    error: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Lane:
    """A key of a service whose messages wait behind one that could not be handled: the head, a dead letter by now. `held`: until
    somebody says what becomes of it; else the lane is being worked off."""

    service: str
    key: str
    partition: int
    held: bool
    behind: int
    topic: str
    offset: int
    error: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record about the order that stands on a topic and was not read yet."""

    topic: str
    partition: int
    offset: int
    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Request:
    """What the order has asked of a participant and has no answer to. `offset` None: it is not known to be on its topic."""

    service: str
    type: str
    topic: str
    offset: int | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """The order as the query API tells it, and what happened to it. `found` None: nobody could be asked."""

    order_id: str
    found: bool | None
    status: str = ""
    waiting_for: str | None = None
    reason: str | None = None
    deadline: datetime | None = None
    paused: bool = False
    created_at: datetime | None = None
    history: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """Everything but the order. `before`: the services a moment earlier, where it was worth a second look; `unasked`: what could
    not be asked, in words."""

    now: datetime
    services: Mapping[str, ServiceFacts]
    kafka: KafkaFacts
    before: Mapping[str, ServiceFacts] = field(default_factory=dict)
    dead_letters: tuple[DeadLetter, ...] = ()
    lanes: tuple[Lane, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    unasked: tuple[str, ...] = ()

    @property
    def partition_count(self) -> int | None:
        """How many partitions the topics have; None where the broker did not say."""
        return self.kafka.topics.get(ORDERS_COMMANDS)


# --- from JSON --------------------------------------------------------------------------------------------------------


def moment(value: object) -> datetime | None:
    """A time in RFC 3339, where it is one."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def parse_process(url: str, told: Mapping[str, Any], asked_at: datetime) -> ProcessFacts:
    """A process from its answer, which came at `asked_at`. What it does not tell (another version) is as if nothing were wrong."""
    now = moment(told.get("now")) or asked_at
    return ProcessFacts(
        url=url,
        identity=str(told.get("identity") or ""),
        phase=str(told.get("phase") or ""),
        ready=bool(told.get("ready")),
        started_at=moment(told.get("started_at")),
        last_error=_failure(told.get("last_error")),
        bootstrap_servers=str(told.get("bootstrap_servers") or ""),
        topic_partitions=_typed(told.get("topic_partitions"), int),
        group=str(told.get("group") or ""),
        partitions=tuple(_partition(url, one, now) for one in told.get("partitions") or () if isinstance(one, Mapping)),
        told=told,
    )


def parse_ready(url: str, service: str, status: int, told: Mapping[str, Any] | None) -> ProcessFacts:
    """A process of `service` from its answer to `/readyz`: 200 or 503, with who it is. Anything else is none."""
    told = told or {}
    ready = told.get("ready")
    if status != (200 if ready is True else 503):
        return ProcessFacts(url, "error", f"it answered {status} to /readyz")
    if not isinstance(ready, bool):
        return ProcessFacts(url, "error", f"it answered {status} to /readyz, and not who it is")
    if told.get("service") != service:
        return ProcessFacts(
            url, "error", f"it is no process of {service}: {str(told.get('service'))[:64]} answers there"
        )
    phase = "ready" if ready else "not ready"
    return ProcessFacts(url, identity=str(told.get("identity") or ""), phase=phase, ready=ready, told=told)


def _partition(url: str, told: Mapping[str, Any], now: datetime) -> PartitionFacts:
    outbox, timers = told.get("outbox") or {}, told.get("timers") or {}
    return PartitionFacts(
        partition=int(told.get("partition") or 0),
        url=url,
        now=now,
        ready=bool(told.get("ready")),
        failing=bool(told.get("failing")),
        last_error=_failure(told.get("last_error")),
        offsets=dict(told.get("offsets") or {}),
        ends=dict(told.get("ends") or {}),
        ends_at=moment(told.get("ends_at")),
        lag=_typed(told.get("lag"), int),
        last_progress_at=moment(told.get("last_progress_at")),
        busy_since=moment(told.get("busy_since")),
        outbox_waiting=int(outbox.get("waiting") or 0),
        outbox_since=moment(outbox.get("oldest_at")),
        next_due_at=moment(timers.get("next_due_at")),
        timers_overdue=bool(timers.get("overdue")),
        effects=int(told.get("effects_under_way") or 0),
        buffered=int(told.get("buffered") or 0),
        parked=int(told.get("parked") or 0),
    )


def parse_order(order_id: str, told: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> OrderFacts:
    """An order from the query API's answers."""
    return OrderFacts(
        order_id=order_id,
        found=True,
        status=str(told.get("status") or ""),
        waiting_for=_typed(told.get("waiting_for"), str),
        reason=_typed(told.get("reason"), str),
        deadline=moment(told.get("deadline")),
        paused=bool(told.get("paused")),
        created_at=moment(told.get("created_at")),
        history=tuple(history),
    )


def parse_lane(service: str, told: Mapping[str, Any]) -> Lane:
    """A lane from `GET /lanes`."""
    head = told.get("head") or {}
    return Lane(
        service=service,
        key=str(told.get("key") or ""),
        partition=int(told.get("partition") or 0),
        held=bool(told.get("held")),
        behind=int(told.get("waiting") or 0),
        topic=str(head.get("topic") or ""),
        offset=int(head.get("offset") or 0),
        error=str(head.get("error") or ""),
    )


def _failure(told: object) -> Failure | None:
    if not isinstance(told, Mapping):
        return None
    at = moment(told.get("at"))
    return None if at is None else Failure(at, str(told.get("text") or ""))


def _typed(value: object, kind: type[T]) -> T | None:
    return value if isinstance(value, kind) else None
