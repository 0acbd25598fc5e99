"""The runtime's metrics, out of the vocabulary in `contracts/metrics.py`. Counted once per batch, not per record."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from pydantic_core import from_json

from contracts import customer, inventory, metrics, orders
from contracts.metrics import Metric
from contracts.registry import COMMANDS
from contracts.topics import (
    COMMAND_TOPICS,
    CUSTOMER_COMMANDS,
    INVENTORY_COMMANDS,
    ORDERS_COMMANDS,
    ORDERS_OPERATIONS,
    SUBSCRIPTIONS,
)
from messaging.logs import DROPPED
from messaging.ports import Wire
from messaging.tracing import TracedBatch

#: What a partition's loop tells of its depths, and as which metric.
_DEPTHS: Final = {"lag": metrics.LAG, "outbox-waiting": metrics.OUTBOX_WAITING, "parked-keys": metrics.PARKED_KEYS}
#: How a verdict that is none of `command-accepted` is called, whoever tells it.
_REJECTED: Final = ".command-rejected.v1"
#: Why a command is rejected, by the topic that it belongs on. On the other command topics there are no verdicts.
REJECTION_REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    ORDERS_COMMANDS: get_args(orders.RejectionReason),
    ORDERS_OPERATIONS: get_args(orders.RejectionReason),
    INVENTORY_COMMANDS: get_args(inventory.CommandRefusal),
    CUSTOMER_COMMANDS: get_args(customer.CommandRefusal),
}
_TOPIC_OF: Final = {type_: topic for topic, types in COMMANDS.items() for type_ in types}


def make_counter(metric: Metric, registry: CollectorRegistry | None) -> Counter:
    """A counter of the vocabulary."""
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def make_gauge(metric: Metric, registry: CollectorRegistry | None) -> Gauge:
    """A gauge of the vocabulary."""
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def make_histogram(metric: Metric, registry: CollectorRegistry | None) -> Histogram:
    """A histogram of the vocabulary."""
    return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry)


class Meters:
    """What one process counts about its own message handling."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(DROPPED)
        self._service = service
        self._consumed = make_counter(metrics.CONSUMED, self.registry)
        self._published = make_counter(metrics.PUBLISHED, self.registry)
        self._dead = make_counter(metrics.DEAD_LETTERS, self.registry)
        self._rejected = make_counter(metrics.REJECTED, self.registry)
        self._forwarded = make_counter(metrics.FORWARDED, self.registry)
        self._events = make_counter(metrics.EVENTS, self.registry)
        self._begin_at_zero()
        self._batch = make_histogram(metrics.BATCH_SIZE, self.registry).labels(service)
        self._phase = make_histogram(metrics.PHASE, self.registry)
        self._depths = {what: make_gauge(metric, self.registry) for what, metric in _DEPTHS.items()}
        self._phases: dict[str, Histogram] = {}
        self._by_topic: dict[str, Counter] = {}
        self._by_type: dict[str, Counter] = {}

    def _begin_at_zero(self) -> None:
        """What is rare is told from the start: of a counter that appears with its first event no increase is ever seen."""
        for event in metrics.LABELS["event"] or ():
            self._events.labels(self._service, event)
        for topic in SUBSCRIPTIONS.get(self._service, ()):
            for reason in metrics.DEAD_LETTER_REASONS:
                self._dead.labels(self._service, topic, reason)
            for reason in REJECTION_REASONS.get(topic, ()):
                self._rejected.labels(self._service, topic, reason)
            if topic in COMMAND_TOPICS:
                self._forwarded.labels(self._service, topic)

    def consumed(self, topic: str, count: int) -> None:
        """So many records were settled: decided, forwarded, set aside or passed over."""
        counter = self._by_topic.get(topic)
        if counter is None:
            counter = self._by_topic[topic] = self._consumed.labels(self._service, topic)
        counter.inc(count)

    def published(self, wires: Sequence[Wire]) -> None:
        """These messages were decided and committed; they will be on their topics."""
        for type_, count in Tally([wire.type for wire in wires]).items():
            counter = self._by_type.get(type_)
            if counter is None:
                counter = self._by_type[type_] = self._published.labels(self._service, type_)
            counter.inc(count)
            if type_.endswith(_REJECTED):
                self._count_rejected(wire.value for wire in wires if wire.type == type_)

    def _count_rejected(self, values: Iterable[bytes | None]) -> None:
        for value in values:
            told = from_json(value or b"{}")["data"]
            # What is no command of ours came on one of the topics that the service reads, and belongs on its first.
            topic = _TOPIC_OF.get(told["command_type"]) or SUBSCRIPTIONS[self._service][0]
            self._rejected.labels(self._service, topic, told["reason"]).inc()

    def dead_lettered(self, topic: str, reason: str) -> None:
        """A record went to the dead letters."""
        self._dead.labels(self._service, topic, reason).inc()

    def forwarded(self, topic: str) -> None:
        """A command was sent on to the partition of its key."""
        self._forwarded.labels(self._service, topic).inc()

    def happened(self, event: str) -> None:
        """One of the `event`s in the vocabulary."""
        self._events.labels(self._service, event).inc()

    def batch(self, size: int) -> None:
        """A batch of this many items was committed."""
        self._batch.observe(size)

    def state(self, partition: int, what: str, value: float) -> None:
        """One of: outbox-waiting, lag, parked-keys."""
        self._depths[what].labels(self._service, str(partition)).set(value)

    def phase(self, name: str, *traced: TracedBatch) -> Timed:
        """Time one of: decode, load, decide, commit, publish; also for the traces of these batches."""
        histogram = self._phases.get(name)
        if histogram is None:
            histogram = self._phases[name] = self._phase.labels(self._service, name)
        return Timed(histogram, name, traced)


class Timed:
    """Times what stands in its `with`, however that ends."""

    __slots__ = ("_histogram", "_name", "_started", "_traced")

    def __init__(self, histogram: Histogram, name: str, traced: Sequence[TracedBatch]) -> None:
        self._histogram = histogram
        self._name = name
        self._traced = traced
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, *_: object) -> None:
        took_s = perf_counter() - self._started
        if not self._traced:
            self._histogram.observe(took_s)
            return
        self._histogram.observe(took_s, {"trace_id": f"{self._traced[0].at.trace:032x}"})
        for batch in self._traced:
            batch.phase(self._name, took_s)
