"""Handlers that fail at some messages for a while, so that lanes are opened, parked in, and drained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zlib import crc32

from messaging.decision import Decision, Message
from messaging.handler import Batch, Handler, Parts
from messaging.stamp import Stamped
from simulation.clock import START

#: From then on nothing fails any more.
MENDED_AT: Final = START + timedelta(days=1)


class Brittle:
    """A handler that cannot decide one in `of` messages until `MENDED_AT`; which ones follows from their ids. 0: none."""

    def __init__(self, handler: Handler, salt: int, of: int) -> None:
        self.name, self.topics, self.interests = handler.name, handler.topics, handler.interests
        self._handler = handler
        self._salt = salt
        self._of = of

    async def load(self, transaction: Any, parts: Parts) -> Batch:
        """See `Handler.load`."""
        return _BrittleBatch(await self._handler.load(transaction, parts), self._fails)

    def forget(self, partition: int) -> None:
        """See `Handler.forget`."""
        self._handler.forget(partition)

    def _fails(self, message: Message, now: datetime) -> bool:
        if not self._of or message.topic is None or now >= MENDED_AT:
            return False
        return crc32(f"{self._salt}/{message.uid}".encode()) % self._of == 0


class _BrittleBatch:
    def __init__(self, batch: Batch, fails: Any) -> None:
        self._batch = batch
        self._fails = fails

    def decide(self, message: Message, now: datetime) -> Decision[Any]:
        if self._fails(message, now):
            raise ValueError("told to fail")
        return self._batch.decide(message, now)

    def stage(self, transaction: Any, stamped: Sequence[Stamped]) -> None:
        self._batch.stage(transaction, stamped)

    def committed(self) -> None:
        self._batch.committed()
