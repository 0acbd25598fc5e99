"""Kafka behind the runtime's ports: publishing prepared batches, and reading the partitions that a group gives to this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, ProducerClosed

from messaging.clients import make_admin, make_group_consumer, make_producer
from messaging.errors import PublishUnknownError, TopicMismatchError
from messaging.logs import get_logger
from messaging.ports import Record, Wire, size_of, wire_headers
from messaging.records import INTERESTS
from messaging.settings import Settings

log = get_logger(__name__)

PUBLISH_DEADLINE_S: Final = 15.0
STOP_DEADLINE_S: Final = 2.0
#: A prepared batch is closed at this size; a single record may be larger.
BATCH_BYTES: Final = 512 * 1024
#: So long a patient topic's partition is left alone once it has given records.
REST_S: Final = 0.25


async def stop_client(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop a client; one that hangs (aiokafka#1101) is left to itself after a deadline.

    With the broker away, the client's `stop` lets out the `CancelledError` of a task of its own. That must not pass for ours:
    it runs as a task, which is looked at from outside."""
    stopping = asyncio.create_task(client.stop())
    done, _ = await asyncio.wait({stopping}, timeout=STOP_DEADLINE_S)
    if done and not stopping.cancelled() and stopping.exception() is None:
        return
    log.warning("kafka-client-not-stopped", reason="gave-up" if done else "hangs")
    stopping.cancel()
    connections = client._client if isinstance(client, AIOKafkaConsumer) else client.client
    closing = asyncio.create_task(connections.close())
    await asyncio.wait({closing}, timeout=1)
    if closing.done() and not closing.cancelled() and closing.exception() is not None:
        log.info("kafka-connections-not-closed", error=closing.exception())


class KafkaPublisher:
    """Publishes outbox rows. After a failure the producer is thrown away: what it still had under way may come or not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._discarded: set[asyncio.Task[None]] = set()

    async def publish(self, wires: Sequence[Wire]) -> list[int]:
        """See `Publisher.publish`."""
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(PUBLISH_DEADLINE_S):
                producer = await self._started()
                targets = _by_target(wires)
                sent = await asyncio.gather(*(self._send(producer, batch) for batch in targets.values()))
                offsets = {target: iter(found) for target, found in zip(targets, sent, strict=True)}
                return [next(offsets[wire.topic, wire.partition]) for wire in wires]
        except (TimeoutError, KafkaError, OSError) as error:
            self._discard(producer)
            raise PublishUnknownError(f"{type(error).__name__}: {error}") from error

    async def _send(self, producer: AIOKafkaProducer, wires: Sequence[Wire]) -> list[int]:
        """Append all rows of one topic and partition; returns their offsets."""
        topic, partition = wires[0].topic, wires[0].partition
        offsets: list[int] = []
        count, size = 0, 0
        builder = producer.create_batch()
        for wire in wires:
            length = size_of(wire.key, wire.value, wire_headers(wire))
            if count and size + length > BATCH_BYTES:
                offsets += await self._deliver(producer, builder, topic, partition, count)
                builder, count, size = producer.create_batch(), 0, 0
            if builder.append(timestamp=None, key=wire.key, value=wire.value, headers=wire_headers(wire)) is None:
                raise PublishUnknownError(f"an outbox row of {length} bytes is too large for {topic}")
            count, size = count + 1, size + length
        offsets += await self._deliver(producer, builder, topic, partition, count)
        return offsets

    @staticmethod
    async def _deliver(producer: AIOKafkaProducer, builder: Any, topic: str, partition: int, count: int) -> list[int]:
        future = await producer.send_batch(builder, topic, partition=partition)
        first = int((await future).offset)
        # A repeat that the broker recognized, but of which it no longer knows where it is, has no offset.
        return list(range(first, first + count)) if first >= 0 else [-1] * count

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = make_producer(self._settings.bootstrap_servers, self._settings.identity)
                try:
                    await producer.start()
                except BaseException:
                    self._discard(producer)
                    raise
                self._producer = producer
            return self._producer

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        if producer is None:
            return
        if self._producer is producer:
            self._producer = None
        task = asyncio.get_running_loop().create_task(_abandon(producer))
        self._discarded.add(task)
        task.add_done_callback(self._discarded.discard)

    async def close(self) -> None:
        """Stop the producer, within a deadline."""
        if self._producer is not None:
            await stop_client(self._producer)
            self._producer = None


def _by_target(wires: Sequence[Wire]) -> dict[tuple[str, int], list[Wire]]:
    targets: dict[tuple[str, int], list[Wire]] = {}
    for wire in wires:
        targets.setdefault((wire.topic, wire.partition), []).append(wire)
    return targets


async def check_topics(settings: Settings, topics: Sequence[str]) -> None:
    """Raises `TopicMismatchError` where a topic is missing or has another partition count than the contract's."""
    admin = make_admin(settings.bootstrap_servers, settings.identity)
    try:
        await admin.start()
        described = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(list(topics))}
    finally:
        await admin.close()
    for topic in topics:
        found = described.get(topic, 0)
        if found != settings.partitions:
            told = "does not exist" if found == 0 else f"has {found} partitions"
            raise TopicMismatchError(
                f"Topic {topic} {told}, but TOPIC_PARTITIONS is {settings.partitions}: create the topics first (`make up` "
                f"does; never let the broker create them). With orders there, TOPIC_PARTITIONS must stay what it was: see "
                f'"More partitions" in docs/operations.md.'
            )


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Stop a producer without waiting for what it has under way. Its sender never gives up (aiokafka#1101): left alone, each
    abandoned producer would append its records again when the broker comes back, hours later."""
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    # Whoever else waits for this producer is told now, not by a deadline.
    producer._message_accumulator.fail_all(ProducerClosed())
    await stop_client(producer)


Changed = Callable[[set[int]], Awaitable[None]]
Deliver = Callable[[int, list[Record]], None]


class GroupReader(ConsumerRebalanceListener):  # type: ignore[misc]
    """This process's membership in the service's group, and its reading. `on_assigned` and `on_revoked` get partition numbers;
    an assigned partition stays paused until `seek` says where to read. `patient` are the topics for whose records nobody waits:
    a partition of theirs that gave some is let rest, so that the next fetch brings many (see `pump`). Of the topics in `interests`
    only events of these types are read (see `messaging.records`)."""

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        on_assigned: Changed,
        on_revoked: Changed,
        patient: frozenset[str] = frozenset(),
        interests: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._settings = settings
        self._topics = tuple(topics)
        self._interests = {
            topic: frozenset(name.encode() for name in named) for topic, named in (interests or {}).items()
        }
        self._patient = patient
        self._resting: set[TopicPartition] = set()
        self._rested_at = 0.0
        self._held: set[int] = set()
        self._trouble: TopicMismatchError | None = None
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._consumer = make_group_consumer(
            settings.bootstrap_servers,
            settings.identity,
            settings.group_id,
            settings.instance_id,
            settings.session_timeout_ms,
        )

    async def start(self) -> None:
        """Join the group. Raises `TopicMismatchError` where the topics are not as the contract says."""
        await check_topics(self._settings, self._topics)
        interests = INTERESTS.set(self._interests)
        try:
            await self._consumer.start()
        finally:
            INTERESTS.reset(interests)
        self._consumer.subscribe(list(self._topics), listener=self)

    async def stop(self) -> None:
        """Leave the group and close, within a deadline."""
        await stop_client(self._consumer)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Called by the client before a rebalance."""
        self._resting.clear()
        await self._on_revoked({tp.partition for tp in revoked})

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Called by the client after a rebalance; nothing may be read before the database has said from where."""
        self._resting.clear()
        self._held.clear()
        if assigned:
            self._consumer.pause(*assigned)
        partitions = {tp.partition for tp in assigned}
        self._trouble = self._mismatch(partitions, assigned)
        if self._trouble is None:
            await self._on_assigned(partitions)

    def _mismatch(self, partitions: set[int], assigned: Any) -> TopicMismatchError | None:
        """Why these partitions must not be worked on. It is raised by `pump`: who called us would swallow it."""
        for partition in sorted(partitions):
            if partition >= self._settings.partitions:
                return TopicMismatchError(
                    f"there is a partition {partition}, but TOPIC_PARTITIONS is {self._settings.partitions}"
                )
            missing = [t for t in self._topics if TopicPartition(t, partition) not in assigned]
            if missing:
                return TopicMismatchError(f"partition {partition} of {missing} is assigned to somebody else")
        return None

    def _tps(self, partition: int) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for topic in self._topics]

    def seek(self, partition: int, offsets: dict[str, int]) -> None:
        """Read the partition from these offsets on."""
        for tp in self._tps(partition):
            self._consumer.seek(tp, offsets[tp.topic])
        self.go_on(partition)

    def hold(self, partition: int) -> None:
        """Fetch nothing more for the partition until `go_on`."""
        self._held.add(partition)
        self._consumer.pause(*self._tps(partition))

    def go_on(self, partition: int) -> None:
        """Fetch for the partition again."""
        self._held.discard(partition)
        self._resting.difference_update(self._tps(partition))
        self._consumer.resume(*self._tps(partition))

    async def pump(self, deliver: Deliver) -> None:
        """Hand records over as they come, until cancelled. Raises `TopicMismatchError`, see `_mismatch`.

        One task drains all partitions at once: the client fetches nothing from a broker while anything that came from it is
        not taken, so a partition that is busy would hold up all others (measured: 250 instead of 40 ms at 50 orders/s). What
        was drained is delivered in the same step, so that nothing read before a `seek` can come after it.

        Every step of every order stands on `orders.events.v1`. Who follows it without being waited for would be woken, and wake
        the broker, by each; resting makes that a few fetches a second, and of many small batches one.
        """
        clock = asyncio.get_running_loop().time
        while self._trouble is None:
            rest_s = self._rested_at - clock() if self._resting else 1.0
            found = await self._consumer.getmany(timeout_ms=max(0, int(rest_s * 1000)))
            for tp, raws in found.items():
                deliver(tp.partition, [_record(raw) for raw in raws])
            if self._resting and clock() >= self._rested_at:
                self.hurry()
            self._rest({tp for tp in found if tp.topic in self._patient}, clock())
        raise self._trouble

    def _rest(self, found: set[TopicPartition], now: float) -> None:
        tired = found & self._consumer.assignment()
        if not tired:
            return
        if not self._resting:
            self._rested_at = now + REST_S
        self._resting |= tired
        self._consumer.pause(*tired)

    def hurry(self) -> None:
        """End the rest of the patient topics: something waits for what may stand there."""
        rested = {tp for tp in self._resting if tp.partition not in self._held} & self._consumer.assignment()
        self._resting.clear()
        if rested:
            self._consumer.resume(*rested)

    def gone(self) -> list[str]:
        """The topics that are not there any more, as far as the client knows; it asks nobody."""
        return [topic for topic in self._topics if not self._consumer.partitions_for_topic(topic)]

    async def ends(self, partition: int) -> dict[str, int]:
        """The end of each topic's partition, asked of the broker now."""
        return (await self.all_ends([partition]))[partition]

    async def all_ends(self, partitions: Sequence[int]) -> dict[int, dict[str, int]]:
        """`ends` of several partitions, asked at once."""
        found = await self._consumer.end_offsets([tp for partition in partitions for tp in self._tps(partition)])
        return {partition: {tp.topic: found[tp] for tp in self._tps(partition)} for partition in partitions}

    async def positions(self, partition: int) -> dict[str, int]:
        """How far each topic's partition was read. Everything below has been delivered by `pump`."""
        return {tp.topic: await self._consumer.position(tp) for tp in self._tps(partition)}

    async def begins(self, partition: int) -> dict[str, int]:
        """The first offset that is still there of each topic's partition."""
        found = await self._consumer.beginning_offsets(self._tps(partition))
        return {tp.topic: offset for tp, offset in found.items()}

    async def ends_of(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """The end of other topics' partition (those that this service writes)."""
        if not topics:
            return {}
        found = await self._consumer.end_offsets([TopicPartition(topic, partition) for topic in topics])
        return {tp.topic: offset for tp, offset in found.items()}

    async def commit(self, offsets: Mapping[int, Mapping[str, int]]) -> None:
        """Tell the group's offsets to Kafka, for lag tools only."""
        await self._consumer.commit(
            {
                TopicPartition(topic, partition): offset
                for partition, of in offsets.items()
                for topic, offset in of.items()
            }
        )


def _record(raw: Any) -> Record:
    return Record(
        raw.topic,
        raw.partition,
        raw.offset,
        raw.key,
        raw.value,
        raw.headers,
        datetime.fromtimestamp(raw.timestamp / 1000, UTC),
    )
