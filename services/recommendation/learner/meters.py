"""The learner's metrics, out of the vocabulary in `contracts/metrics.py`."""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import CollectorRegistry

from contracts import metrics
from contracts.topics import ORDERS_EVENTS, RECOMMENDATION_BASKETS
from messaging.logs import DROPPED
from messaging.meters import make_counter, make_gauge

Outcome = Literal["learnt", "known", "passed-over", "dead-letter"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("learnt", "known", "passed-over", "dead-letter")
#: What it reads as it comes; its changelog it reads back.
TOPICS: Final = (ORDERS_EVENTS, RECOMMENDATION_BASKETS)


class LearnerMeters:
    """What one learner counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(DROPPED)
        self._records = make_counter(metrics.LEARNER_RECORDS, self.registry)
        self._dead = make_counter(metrics.LEARNER_DEAD_LETTERS, self.registry)
        self._told = make_counter(metrics.LEARNER_TOLD, self.registry)
        self._recoveries = make_counter(metrics.LEARNER_RECOVERIES, self.registry)
        self._again = make_counter(metrics.LEARNER_FETCHED_AGAIN, self.registry)
        self._state = make_gauge(metrics.LEARNER_STATE, self.registry)
        # From the start, so that the first is seen as an increase.
        for topic in TOPICS:
            for outcome in OUTCOMES:
                self._records.labels(topic, outcome)
            for reason in metrics.DEAD_LETTER_REASONS:
                self._dead.labels(topic, reason)

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

    def state(self, what: Literal["baskets", "skus", "unreadable", "untold"], value: int) -> None:
        """How much there is of it now."""
        self._state.labels(what).set(value)
