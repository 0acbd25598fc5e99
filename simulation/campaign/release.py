"""Yesterday's release of the orders service, as far as today's code can play it: it knows version 1 of the workflow alone, so it
reads two topics less, and an order that names no version gets that one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from contracts.topics import CUSTOMER_EVENTS, RECOMMENDATION_EVENTS
from messaging.decision import Decision, Message
from messaging.handler import Batch, Handler, Parts
from services.orders.domain import signals

_NEW_TOPICS: Final = frozenset({CUSTOMER_EVENTS, RECOMMENDATION_EVENTS})


class Yesterday:
    """See `messaging.handler.Handler`."""

    def __init__(self, handler: Handler) -> None:
        self.name = handler.name
        self.topics = tuple(topic for topic in handler.topics if topic not in _NEW_TOPICS)
        self.interests: Mapping[str, frozenset[str]] = {
            topic: types for topic, types in handler.interests.items() if topic not in _NEW_TOPICS
        }
        self.load_today = handler.load
        self.forget = handler.forget

    async def load(self, transaction: Any, parts: Parts) -> Batch:
        """See `Handler.load`."""
        return YesterdaysBatch(await self.load_today(transaction, parts))


class YesterdaysBatch:
    """See `messaging.handler.Batch`."""

    def __init__(self, batch: Batch) -> None:
        self.stage, self.committed = batch.stage, batch.committed
        self._batch = batch

    def decide(self, message: Message, now: datetime) -> Decision[Any]:
        """See `Batch.decide`."""
        with _yesterday():
            return self._batch.decide(message, now)


@contextmanager
def _yesterday() -> Iterator[None]:
    """The release's constants as they were: `docs/versions.md` says how a new version is deployed."""
    known, default = signals.SUPPORTED_VERSIONS, signals.DEFAULT_VERSION
    vars(signals).update(SUPPORTED_VERSIONS=frozenset({1}), DEFAULT_VERSION=1)
    try:
        yield
    finally:
        vars(signals).update(SUPPORTED_VERSIONS=known, DEFAULT_VERSION=default)
