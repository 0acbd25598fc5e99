"""The recommendation service as the runtime sees it. It has no state of its own: it answers from a copy of what was learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from contracts.topics import SUBSCRIPTIONS
from messaging.decision import Decision, Message
from messaging.handler import Parts
from messaging.stamp import Stamped
from services.recommendation.domain import Known, decide

SERVICE: Final = "recommendation"


class RecommendationHandler:
    """Answers from `known`, which somebody else keeps up to date; for tests and the simulation a dict given by hand will do."""

    name = SERVICE
    topics: tuple[str, ...] = SUBSCRIPTIONS[SERVICE]
    interests: Mapping[str, frozenset[str]] = {}

    def __init__(self, known: Known) -> None:
        self._known = known

    async def load(self, transaction: Any, parts: Parts) -> RecommendationBatch:
        """See `Handler.load`. There is nothing to load."""
        return RecommendationBatch(self._known)

    def forget(self, partition: int) -> None:
        """Nothing is kept for a partition."""


class RecommendationBatch:
    """See `messaging.handler.Batch`."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def decide(self, message: Message, now: datetime) -> Decision[None]:
        """See `Batch.decide`."""
        return decide(self._known, message)

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        """There is nothing to write."""

    def committed(self) -> None:
        """There is nothing to keep."""
