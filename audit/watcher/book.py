"""What was seen at the last look, as a collector of metrics. What a source did not tell this time is not told on."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from contracts import metrics
from contracts.metrics import Metric


class Sample(NamedTuple):
    """A value of a gauge. `labels` are in the metric's order."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


#: Ages: of several, the oldest counts.
_AGES: Final = frozenset(
    metric.name
    for metric in (
        metrics.OUTBOX_OLDEST,
        metrics.CONSUMER_STILL,
        metrics.ORDERS_OLDEST,
        metrics.ORDERS_ATTENTION_OLDEST,
    )
)


def merged(told: Sequence[Sequence[Sample]]) -> list[Sample]:
    """What the databases of one service told, as if there were one: sums, and of ages the oldest."""
    if len(told) == 1:
        return list(told[0])
    found: dict[tuple[str, tuple[str, ...]], Sample] = {}
    for sample in (one for samples in told for one in samples):
        key = (sample.metric.name, sample.labels)
        before = found.get(key)
        if before is not None:
            together = max if sample.metric.name in _AGES else operator.add
            sample = sample._replace(value=together(before.value, sample.value))  # noqa: PLW2901
        found[key] = sample
    return list(found.values())


class Book(Collector):
    """The samples by the source that they came from."""

    def __init__(self) -> None:
        self._pages: dict[str, list[Sample]] = {}

    def write(self, source: str, samples: Iterable[Sample]) -> None:
        """Replace all that is known from this source."""
        self._pages[source] = list(samples)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See `Collector.collect`."""
        families: dict[str, GaugeMetricFamily] = {}
        for metric, value, labels in (sample for page in list(self._pages.values()) for sample in page):
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            family.add_metric(labels, value)
        yield from families.values()
