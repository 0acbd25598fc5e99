"""The runtime's metrics: a closed vocabulary. Labels are topics, reasons and phases, never ids."""

from __future__ import annotations

from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from messaging.logs import DROPPED

_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_TIME_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Meters:
    """What one process counts about its own message handling."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(DROPPED)
        self._service = service
        self._consumed = self._counter("messaging_consumed_total", "Records read and settled", "topic")
        self._dead = self._counter("messaging_dead_letters_total", "Records set aside", "topic", "reason")
        self._forwarded = self._counter("messaging_forwarded_total", "Commands sent on to their own partition", "topic")
        self._events = self._counter("messaging_events_total", "Things that should be rare", "event")
        self._batch = Histogram(
            "messaging_batch_size", "Items per transaction", ["service"], buckets=_BATCH_BUCKETS, registry=self.registry
        ).labels(service)
        self._phase = Histogram(
            "messaging_phase_seconds",
            "Time per phase of a batch",
            ["service", "phase"],
            buckets=_TIME_BUCKETS,
            registry=self.registry,
        )
        self._gauges = Gauge(
            "messaging_state", "Depths and ages", ["service", "partition", "what"], registry=self.registry
        )
        self._phases: dict[str, Histogram] = {}
        self._by_topic: dict[str, Counter] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, ["service", *labels], registry=self.registry)

    def consumed(self, topic: str, count: int) -> None:
        """So many records were settled: decided, forwarded, set aside or passed over."""
        counter = self._by_topic.get(topic)
        if counter is None:
            counter = self._by_topic[topic] = self._consumed.labels(self._service, topic)
        counter.inc(count)

    def dead_lettered(self, topic: str, reason: str) -> None:
        """A record went to the dead letters."""
        self._dead.labels(self._service, topic, reason).inc()

    def forwarded(self, topic: str) -> None:
        """A command was sent on to the partition of its key."""
        self._forwarded.labels(self._service, topic).inc()

    def happened(self, event: str) -> None:
        """One of: fence-lost, store-error, stale-row, publish-unknown, rebuilt, rewound, handler-failed."""
        self._events.labels(self._service, event).inc()

    def batch(self, size: int) -> None:
        """A batch of this many items was committed."""
        self._batch.observe(size)

    def state(self, partition: int, what: str, value: float) -> None:
        """One of: outbox-waiting, lag, parked-keys, buffered, owned."""
        self._gauges.labels(self._service, str(partition), what).set(value)

    def phase(self, name: str) -> Timed:
        """Time one of: decode, load, decide, commit, publish."""
        histogram = self._phases.get(name)
        if histogram is None:
            histogram = self._phases[name] = self._phase.labels(self._service, name)
        return Timed(histogram)


class Timed:
    """Times what stands in its `with`, however that ends."""

    __slots__ = ("_histogram", "_started")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._histogram.observe(perf_counter() - self._started)
