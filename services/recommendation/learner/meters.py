"""The learner's metrics: a closed vocabulary. Labels are topics and outcomes, never ids."""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

from messaging.logs import DROPPED

Outcome = Literal["learnt", "known", "passed-over", "dead-letter"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("learnt", "known", "passed-over", "dead-letter")


class LearnerMeters:
    """What one learner counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(DROPPED)
        self._records = Counter(
            "recommendation_learner_records_total", "Records settled", ["topic", "outcome"], registry=self.registry
        )
        self._dead = Counter(
            "recommendation_learner_dead_letters_total",
            "Records set aside",
            ["topic", "reason"],
            registry=self.registry,
        )
        self._told = Counter("recommendation_learner_told_total", "Lists told", registry=self.registry)
        self._recoveries = Counter(
            "recommendation_learner_recoveries_total",
            "Tables read back after a start or a rebalance",
            registry=self.registry,
        )
        self._again = Counter(
            "recommendation_learner_fetched_again_total", "Records lost on the way", registry=self.registry
        )
        self._state = Gauge("recommendation_learner_state", "Sizes and depths", ["what"], registry=self.registry)

    def settled(self, topic: str, outcome: Outcome) -> None:
        """A record is done with."""
        self._records.labels(topic, outcome).inc()

    def passed_over(self, topic: str, count: int) -> None:
        """So many records were of no concern."""
        self._records.labels(topic, "passed-over").inc(count)

    def dead_lettered(self, topic: str, reason: str) -> None:
        """A record went to the dead letters."""
        self.settled(topic, "dead-letter")
        self._dead.labels(topic, reason).inc()

    def told(self, count: int) -> None:
        """So many lists were told."""
        self._told.inc(count)

    def fetched_again(self, count: int) -> None:
        """So many partitions had to be read again from where they stood."""
        self._again.inc(count)

    def recovered(self) -> None:
        """The table was read back."""
        self._recoveries.inc()

    def state(self, what: Literal["baskets", "skus", "untold"], value: int) -> None:
        """How much there is of it now."""
        self._state.labels(what).set(value)
