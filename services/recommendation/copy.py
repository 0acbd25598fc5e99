"""The service's copy of what was learnt: read from the compacted topic, from its beginning, and kept up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from contracts.topics import RECOMMENDATION_PAIRS
from messaging.backoff import longer
from messaging.clients import make_reader
from messaging.kafka import stop_client
from messaging.logs import get_logger
from messaging.settings import Settings
from services.recommendation.pairs import Pair, read

log = get_logger(__name__)

RETRY_FIRST_S: Final = 0.2
LOOK_EVERY_S: Final = 10.0


class ReaderStalledError(Exception):
    """Records wait on the topic and the reader receives none (aiokafka#1037): it has to be made anew."""


class PairsCopy:
    """What is known of each SKU. `pairs` is one and the same dict for ever, so that others may hold on to it."""

    def __init__(self) -> None:
        self.pairs: dict[str, tuple[Pair, ...]] = {}
        self.unreadable = 0

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Take over one record. The last one of a SKU stands; one without a value takes the SKU away."""
        if value is None:
            self.pairs.pop((key or b"").decode(errors="replace"), None)
            return
        told = read(value)
        if told is None or key != told.sku.encode():
            self.unreadable += 1
            log.warning("record-not-the-learners", topic=RECOMMENDATION_PAIRS)
            return
        self.pairs[told.sku] = told.best


class CopyReader:
    """Keeps a `PairsCopy` up to date in the background. While the broker is away the copy stays as it is."""

    def __init__(self, settings: Settings, copy: PairsCopy) -> None:
        self._settings = settings
        self._copy = copy
        self._next: dict[TopicPartition, int] = {}
        self._until: Mapping[TopicPartition, int] | None = None
        self._loaded = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> bool:
        """Whether everything that stood on the topic when reading began has been read."""
        return self._loaded.is_set()

    def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.create_task(self._run(), name="pairs-copy")

    async def wait_loaded(self, patience_s: float) -> bool:
        """Wait until the copy is loaded, for so long at most. Returns whether it is."""
        try:
            await asyncio.wait_for(self._loaded.wait(), patience_s)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End the reading; what was read stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        wait_s = RETRY_FIRST_S
        while True:
            reader = make_reader(self._settings.bootstrap_servers, f"{self._settings.identity}-pairs")
            try:
                await reader.start()
                wait_s = RETRY_FIRST_S
                await self._follow(reader)
            except (KafkaError, OSError, TimeoutError, ReaderStalledError) as error:
                log.warning("copy-stands-still", topic=RECOMMENDATION_PAIRS, error=error, retry_in_s=wait_s)
            finally:
                await stop_client(reader)
            await asyncio.sleep(wait_s)
            wait_s = longer(wait_s)

    async def _follow(self, reader: AIOKafkaConsumer) -> None:
        partitions = [TopicPartition(RECOMMENDATION_PAIRS, number) for number in range(self._settings.partitions)]
        reader.assign(partitions)
        fresh = [tp for tp in partitions if tp not in self._next]
        if fresh:
            await reader.seek_to_beginning(*fresh)
        for tp, offset in self._next.items():
            reader.seek(tp, offset)
        if self._until is None:
            self._until = await reader.end_offsets(partitions)
        looked_at = monotonic()
        while True:
            found = await reader.getmany(timeout_ms=500)
            for records in found.values():
                for record in records:
                    self._copy.apply(record.key, record.value)
            # The position, not the last record's offset: compaction may have taken the tail.
            self._next = {tp: await reader.position(tp) for tp in partitions}
            if not self.loaded and all(self._next[tp] >= end for tp, end in self._until.items()):
                log.info("copy-loaded", topic=RECOMMENDATION_PAIRS, count=len(self._copy.pairs))
                self._loaded.set()
            if found:
                looked_at = monotonic()
            elif monotonic() - looked_at >= LOOK_EVERY_S:
                looked_at = monotonic()
                await self._look(reader, partitions)

    async def _look(self, reader: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        """Nothing came for a while: is there nothing?"""
        ends = await reader.end_offsets(partitions)
        behind = [tp.partition for tp, end in ends.items() if end > self._next[tp]]
        if behind:
            raise ReaderStalledError(f"nothing comes of partitions {behind} though records wait")
