"""What the watcher asks the broker: where topics end, and how far a group has come that keeps its offsets there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from messaging.clients import make_admin, make_reader
from messaging.kafka import stop_client

#: An offset by topic and partition.
Offsets = dict[tuple[str, int], int]


@dataclass(slots=True)
class Broker:
    """Connections that are made when they are first needed. Whoever was not answered says `close`, and they are made anew."""

    bootstrap_servers: str
    _reader: AIOKafkaConsumer | None = None
    _admin: AIOKafkaAdminClient | None = None

    async def ends(self, topics: Collection[str], partitions: int) -> Offsets:
        """The next offset to be written, of each partition of these topics."""
        wanted = [TopicPartition(topic, p) for topic in sorted(topics) for p in range(partitions)]
        if self._reader is None:
            self._reader = make_reader(self.bootstrap_servers, "watcher")
            await self._reader.start()
        found = await self._reader.end_offsets(wanted)
        return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def committed(self, group: str) -> Offsets:
        """What the group has committed; nothing if it never did."""
        if self._admin is None:
            self._admin = make_admin(self.bootstrap_servers, "watcher")
            await self._admin.start()
        found = await self._admin.list_consumer_group_offsets(group)
        return {(tp.topic, tp.partition): told.offset for tp, told in found.items() if told.offset >= 0}

    async def close(self) -> None:
        """Let go of the broker."""
        reader, self._reader, admin, self._admin = self._reader, None, self._admin, None
        if reader is not None:
            await stop_client(reader)
        if admin is not None:
            await admin.close()
