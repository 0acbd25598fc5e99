"""Latencies in a histogram: constant memory, an answer at any time, within 1 % of the exact one."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

_GROWTH: Final = 1.02  # the middle of a bucket is at most 1 % off
_LOG_GROWTH: Final = math.log(_GROWTH)
_LEAST_S: Final = 1e-6


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Seconds. `max_s` and `mean_s` are exact; all are None where nothing was measured."""

    count: int
    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None


class Histogram:
    """Adds up durations."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._sum_s = 0.0
        self._max_s = 0.0
        self.count = 0

    def add(self, seconds: float) -> None:
        """One more duration."""
        self._buckets[math.floor(math.log(max(seconds, _LEAST_S)) / _LOG_GROWTH)] += 1
        self._sum_s += seconds
        self._max_s = max(self._max_s, seconds)
        self.count += 1

    def percentile(self, percent: float) -> float | None:
        """The duration that `percent` of all do not exceed, or None where there are none."""
        if not self.count:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        passed = 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            if passed >= rank:
                middle: float = _GROWTH ** (bucket + 0.5)
                return min(middle, self._max_s)
        return self._max_s

    def summary(self) -> LatencySummary:
        """What there is to say."""
        if not self.count:
            return LatencySummary(0, None, None, None, None, None, None)
        return LatencySummary(
            self.count,
            self._sum_s / self.count,
            self.percentile(50),
            self.percentile(90),
            self.percentile(95),
            self.percentile(99),
            self._max_s,
        )
