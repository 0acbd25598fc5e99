"""What was seen at the last look, as a collector of metrics. What a source did not tell this time is not told on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from contracts.metrics import Metric


class Sample(NamedTuple):
    """A value of a gauge. `labels` are in the metric's order."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


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
